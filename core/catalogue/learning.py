"""Tables of what is learnt and from what: models and their versions, datasets and theirs, training runs."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.catalogue.table import Table, created, uuid_key


class Model(Table):
    """A name under which versions of weights are kept."""

    __tablename__ = "model"

    id: Mapped[uuid.UUID] = uuid_key()
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = created()


class ModelVersion(Table):
    """One immutable set of weights, named by its SHA-256."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model_id", "number"),)

    id: Mapped[uuid.UUID] = uuid_key()
    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model.id"))
    number: Mapped[int] = mapped_column(Integer)
    family: Mapped[str]
    config: Mapped[dict[str, Any]]
    path: Mapped[str]
    digest: Mapped[bytes]
    size: Mapped[int]
    training_run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("training_run.id"))
    created_at: Mapped[datetime] = created()
    figures: Mapped[dict[str, Any] | None]


class Alias(Table):
    """A movable name for a version: `letters@production`."""

    __tablename__ = "alias"

    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    model_version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model_version.id"))
    updated_at: Mapped[datetime] = created()


class Dataset(Table):
    """A named source of letters. Without an owner it is built in and everybody's."""

    __tablename__ = "dataset"
    __table_args__ = (UniqueConstraint("owner_id", "name", postgresql_nulls_not_distinct=True),)

    id: Mapped[uuid.UUID] = uuid_key()
    owner_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("owner.id"))
    name: Mapped[str]
    kind: Mapped[str]
    config: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = created()


class DatasetVersion(Table):
    """One immutable, content-hashed state of a dataset."""

    __tablename__ = "dataset_version"
    __table_args__ = (UniqueConstraint("dataset_id", "number"), UniqueConstraint("dataset_id", "digest"))

    id: Mapped[uuid.UUID] = uuid_key()
    dataset_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dataset.id"))
    number: Mapped[int] = mapped_column(Integer)
    path: Mapped[str]
    digest: Mapped[bytes]
    size: Mapped[int]
    report: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = created()


class TrainingRun(Table):
    """One training, from its first segment on; `checkpoint` is where the last committed segment ended."""

    __tablename__ = "training_run"

    id: Mapped[uuid.UUID] = uuid_key()
    job_number: Mapped[int] = mapped_column(unique=True)
    """No foreign key: where weights came from is remembered when the job is gone."""
    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model.id"))
    dataset_version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dataset_version.id"))
    family: Mapped[str]
    config: Mapped[dict[str, Any]]
    step: Mapped[int] = mapped_column(server_default=text("0"))
    device_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    checkpoint: Mapped[str | None]
    checkpoint_digest: Mapped[bytes | None]
    created_at: Mapped[datetime] = created()


class Metric(Table):
    """One figure of a training run at one step."""

    __tablename__ = "metric"

    training_run_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("training_run.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]
