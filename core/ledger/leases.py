"""A slot's right to one shard: claim it, keep it by heartbeats."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.ledger.states import Instruction
from core.settings import Settings

BLOCK = 64
"""Items in a block: the unit of progress inside a shard, and of every shard's cut."""

CLAIM = sa.text("SELECT * FROM vyaz_claim(:slot, :lease, :block, :aim)")
BEAT = sa.text("SELECT vyaz_beat(:slot, :shard, :epoch, :mark, :lease)")
CLAIMABLE = sa.text("SELECT vyaz_waits(w, '{}') FROM worker w WHERE w.id = :slot")


@dataclass(frozen=True)
class Lease:
    """One shard, for this epoch only, with what is needed to work on it."""

    shard_id: int
    job_id: uuid.UUID
    job_number: int
    owner_id: uuid.UUID
    kind: str
    start: int
    stop: int
    epoch: int
    attempts: int
    closing: bool
    spec: dict[str, Any]
    seed: int
    total: int
    after_id: uuid.UUID | None
    model_version_id: uuid.UUID | None
    more: bool
    """Whether something was still claimable after this: ring again."""


def claim(session: Session, slot_id: uuid.UUID, settings: Settings) -> Lease | None:
    """Take the shard whose turn it is, in one round trip; None when this slot can do nothing now."""
    parameters = {
        "slot": slot_id,
        "lease": timedelta(seconds=settings.lease_seconds),
        "block": BLOCK,
        "aim": settings.shard_seconds,
    }
    row = session.execute(CLAIM, parameters).one_or_none()
    if row is None:
        return None
    return Lease(**row._mapping)


def claimable(session: Session, slot_id: uuid.UUID) -> bool:
    """Whether this slot could claim something now."""
    return bool(session.scalar(CLAIMABLE, {"slot": slot_id}))


def beat(session: Session, slot_id: uuid.UUID, lease: Lease, mark: int, settings: Settings) -> Instruction:
    """Extend the lease, say how far the work has come, and hear what to do."""
    parameters = {
        "slot": slot_id,
        "shard": lease.shard_id,
        "epoch": lease.epoch,
        "mark": mark,
        "lease": timedelta(seconds=settings.lease_seconds),
    }
    return Instruction(session.scalar(BEAT, parameters))
