"""Owners: whom keys act for, and their weight in the fair choice."""

import re
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.tables import Owner
from core.errors import Invalid

OWNER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$"
MAX_WEIGHT = 1_000_000.0


def ensure(session: Session, name: str) -> Owner:
    """The owner of this name, made with weight 1 if new; raises `Invalid` for a name that cannot be."""
    if not re.fullmatch(OWNER_NAME, name):
        raise Invalid(f"{name[:80]!r} is no name for an owner; use letters, digits and . _ @ -, at most 63", "/owner")
    session.execute(insert(Owner).on_conflict_do_nothing(), [{"name": name}])
    return session.scalars(sa.select(Owner).where(Owner.name == name)).one()


def set_weight(session: Session, name: str, weight: float) -> Owner:
    """Give an owner, made if new, this share where several wait; raises `Invalid` unless 0 < weight <= a million."""
    if not 0 < weight <= MAX_WEIGHT:
        raise Invalid(f"weight is {weight:g}; it must lie above 0 and not above {MAX_WEIGHT:,.0f}", "/weight")
    owner = ensure(session, name)
    # The ledger charges device-seconds to this row under a lock; so does this.
    session.refresh(owner, with_for_update={"key_share": True})
    owner.weight = weight
    session.flush()
    return owner


def page(session: Session, after: str | None, limit: int) -> Sequence[Owner]:
    """Owners by name, those after `after`."""
    query = sa.select(Owner).order_by(Owner.name).limit(limit)
    if after is not None:
        query = query.where(Owner.name > after)
    return session.scalars(query).all()
