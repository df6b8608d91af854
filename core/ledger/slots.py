"""Slots: one row for every process that can hold a lease."""

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.tables import Shard, Worker
from core.errors import VyazError
from core.ledger.fail import WORKED_THROUGH_FIRST, crash, lose_slot
from core.ledger.states import ShardState, SlotState

log = structlog.get_logger(__name__)

LIVE = timedelta(seconds=15)
"""A slot that has not beaten for so long is not counted as live."""
KEPT = timedelta(days=1)
"""How long the row of a gone slot is kept, for people to read."""


@dataclass(frozen=True)
class Slot:
    """What a process says of itself when it registers."""

    node: str
    host: str
    pid: int
    parent_pid: int
    queue: str
    device: str
    device_class: str
    version: str
    engine: int
    memory: int | None = None
    kinds: list[str] | None = None
    families: list[str] | None = None


def register(session: Session, slot: Slot) -> uuid.UUID:
    """Add the slot and return its id."""
    row = {**asdict(slot), "state": SlotState.IDLE}
    return session.scalars(insert(Worker).returning(Worker.id), [row]).one()


def count_live(session: Session) -> int:
    """How many slots are there."""
    return session.scalar(sa.select(sa.func.count()).where(Worker.state != SlotState.GONE)) or 0


def keep_alive(session: Session, slot_id: uuid.UUID) -> bool:
    """Say that an idle slot is still there; False if it was taken for dead meanwhile."""
    alive = sa.update(Worker).where(Worker.id == slot_id, Worker.state != SlotState.GONE)
    alive = alive.values(heartbeat_at=sa.func.clock_timestamp()).returning(Worker.id)
    return session.execute(alive.execution_options(synchronize_session=False)).first() is not None


def idle(session: Session, slot_id: uuid.UUID, shard_id: int) -> None:
    """A slot whose lease was lost holds nothing any more, unless it has claimed something else by now."""
    free = sa.update(Worker).where(Worker.id == slot_id, Worker.state == SlotState.BUSY, Worker.shard_id == shard_id)
    session.execute(free.values(state=SlotState.IDLE, shard_id=None).execution_options(synchronize_session=False))


def drain(session: Session, slot_id: uuid.UUID) -> None:
    """Let the slot claim nothing more."""
    draining = sa.update(Worker).where(Worker.id == slot_id, Worker.state != SlotState.GONE)
    session.execute(draining.values(state=SlotState.DRAINING).execution_options(synchronize_session=False))


def leave(session: Session, slot_id: uuid.UUID) -> None:
    """Mark the slot gone; a shard it still holds is taken apart."""
    lose_slot(session, slot_id, "the slot left")


def lose_dead(session: Session, machine: str, is_alive: Callable[[int], bool]) -> list[Worker]:
    """Lose every slot of this machine whose process is dead; returns their rows. Only that machine can tell."""
    mine = session.scalars(
        sa.select(Worker).where(Worker.node.startswith(f"{machine}:", autoescape=True), Worker.state != SlotState.GONE)
    ).all()
    dead = [slot for slot in mine if not is_alive(slot.pid)]
    return [slot for slot in dead if _in_part(session, partial(lose_slot, session, slot.id, "its process died"))]


def reap(session: Session) -> int:
    """Take expired shards from slots that fell silent; forget slots long gone. Returns how many shards were taken."""
    expired = sa.select(Shard).where(Shard.state == ShardState.LEASED, Shard.lease_until < sa.func.clock_timestamp())
    expired = expired.order_by(*WORKED_THROUGH_FIRST)
    taken = session.scalars(expired.with_for_update(skip_locked=True, key_share=True)).all()
    for shard in taken:
        _in_part(session, partial(crash, session, shard, "its slot fell silent"))
    silent = sa.select(Worker.id).where(
        Worker.state != SlotState.GONE, Worker.heartbeat_at < sa.func.clock_timestamp() - LIVE
    )
    # One that was stopped in the middle of a beat holds its row: the tick must not wait for it.
    free = sa.update(Worker).where(Worker.id.in_(silent.with_for_update(skip_locked=True, key_share=True)))
    session.execute(free.values(state=SlotState.GONE, shard_id=None).execution_options(synchronize_session=False))
    old = sa.delete(Worker).where(
        Worker.state == SlotState.GONE, Worker.heartbeat_at < sa.func.clock_timestamp() - KEPT
    )
    session.execute(old.execution_options(synchronize_session=False))
    return len(taken)


def _in_part(session: Session, change: Callable[[], None]) -> bool:
    """Make one change of several; one that cannot be made (a kind that this version does not know) stops no other."""
    try:
        with session.begin_nested():
            change()
    except VyazError as error:
        log.error("a lost shard is left to another version", reason=str(error))
        return False
    return True


def extend_all(session: Session, seconds: float) -> None:
    """Extend every lease once, after a gap in which nobody could beat."""
    longer = sa.update(Shard).where(Shard.state == ShardState.LEASED)
    until = sa.func.clock_timestamp() + timedelta(seconds=seconds)
    session.execute(longer.values(lease_until=until).execution_options(synchronize_session=False))
