"""The tick: what must happen by itself, about once a second. Any number of beats may tick; none is the leader."""

import uuid
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from croniter import CroniterBadDateError, croniter
from sqlalchemy.orm import Session

from core.catalogue.tables import Queue, Worker
from core.errors import Invalid
from core.ledger.slots import extend_all, reap
from core.settings import Settings

TICK_LOCK = 0x7469_636B

WAITING = """
    SELECT DISTINCT slot.queue FROM (
        SELECT DISTINCT ON (w.queue, w.engine, w.kinds, w.families, w.memory) w FROM worker w
         WHERE w.state = 'idle' AND w.heartbeat_at > clock_timestamp() - interval '15 s' AND ({})
         ORDER BY w.queue, w.engine, w.kinds, w.families, w.memory, w.heartbeat_at DESC) idle(slot_row),
        LATERAL (SELECT (slot_row).*) slot
     WHERE vyaz_waits(slot_row, '{{}}')
"""
"""Queues on which work waits while a slot is idle; of slots that can do the same, one is asked."""
ANYWHERE = sa.text(WAITING.format("true"))
AT_PEERS = sa.text(f"""
    SELECT count(*) FROM worker WHERE queue = :queue AND state <> 'gone' AND EXISTS (
        {WAITING.format("w.queue = :queue AND w.id <> :slot")})
""")  # noqa: S608 - constants


def sweep(session: Session, settings: Settings) -> list[str]:
    """Take shards from dead slots, and name the queues on which work waits while a slot is idle.

    After a gap in which nobody could beat, all leases are extended once, so that a restart of PostgreSQL does not look
    like the death of every worker.
    """
    if not session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(TICK_LOCK))):
        return []
    now = sa.func.clock_timestamp()
    gap = session.scalar(sa.select(sa.func.extract("epoch", now - sa.func.min(Queue.ticked_at))))
    served = sa.select(sa.func.max(Worker.served)).where(Worker.queue == Queue.name).scalar_subquery()
    ticked = sa.update(Queue).values(ticked_at=now, served=sa.func.greatest(Queue.served, served))
    session.execute(ticked.execution_options(synchronize_session=False))
    # A lease may be one beat old when the gap begins, and the first beat after it another one late.
    if gap is not None and float(gap) > settings.lease_seconds - 2 * settings.heartbeat_seconds:
        extend_all(session, settings.lease_seconds)
    reap(session)
    return list(session.scalars(ANYWHERE))


def peers_in_need(session: Session, slot_id: uuid.UUID, queue: str) -> int:
    """How many slots the queue has, if work waits for an idle one of them that is not this; else 0."""
    return session.scalar(AT_PEERS, {"queue": queue, "slot": slot_id}) or 0


def next_due(cron: str, timezone: str, after: datetime) -> datetime:
    """The first time after `after` that the rule names, in UTC; raises `Invalid` for a bad rule or time zone.

    The rule is read on the wall clock of `timezone`: across a change of clocks "30 3" fires once a day, be its half
    hour skipped or had twice, and a rule for every hour goes on every hour.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(f"unknown time zone {timezone!r}; write one like Europe/Kyiv", "/timezone") from None
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise Invalid(f"not a cron rule: {cron!r}; five fields, like '0 3 * * *'", "/cron")
    try:
        return _next(cron, after.astimezone(zone))
    except CroniterBadDateError:
        raise Invalid(f"the cron rule {cron!r} names a day that never comes", "/cron") from None


def _next(cron: str, after: datetime) -> datetime:
    if cron.split()[1].startswith("*"):
        every: datetime = croniter(cron, after).get_next(datetime)
        return every.astimezone(UTC)
    rule = croniter(cron, after.replace(tzinfo=None))
    while True:
        wall: datetime = rule.get_next(datetime)
        due = wall.replace(tzinfo=after.tzinfo).astimezone(UTC)
        if due > after:
            return due
