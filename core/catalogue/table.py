"""What all tables share: how constraints are named, how types are stored, how keys and times are filled in."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, Double, LargeBinary, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("clock_timestamp()")
EMPTY = text("'{}'::jsonb")
TIMES = text("'{0,0}'::float8[]")


class Table(DeclarativeBase):
    """Names every constraint by one rule, so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        uuid.UUID: Uuid,
        str: Text,
        int: BigInteger,
        float: Double,
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        list[float]: ARRAY(Double),
        list[uuid.UUID]: ARRAY(Uuid),
    }


def uuid_key() -> Mapped[uuid.UUID]:
    """A key that PostgreSQL draws, in the order of time."""
    return mapped_column(primary_key=True, server_default=text("uuidv7()"))


def created() -> Mapped[datetime]:
    """When the row was written, by PostgreSQL's clock."""
    return mapped_column(server_default=NOW)
