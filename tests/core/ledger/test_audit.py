"""Histories: those that the ledger writes are legal, and each rule is seen when it is broken behind its back."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Event, Job, Shard
from core.errors import NotFound, ShardError
from core.ledger import audit, slots
from core.ledger.fail import fail
from core.ledger.leases import BLOCK
from core.ledger.states import ShardState
from tests.core.ledger.conftest import Ledger

Change = Callable[[Any], object]


def found(ledger: Ledger, job: uuid.UUID) -> list[str]:
    with ledger.database.transaction() as session:
        return audit.audit(session, None, job).problems


def finished_job(ledger: Ledger) -> uuid.UUID:
    """A job of four shards: one finished, one split by a crash, one given back in part, one with a failed item."""
    job = ledger.submit(ledger.owner(), total=4 * BLOCK, shard_size=BLOCK)
    first, second = ledger.slot(), ledger.slot()
    ledger.finish(ledger.held(first))
    ledger.held(second)
    with ledger.database.transaction() as session:
        slots.leave(session, second)
    ledger.finish(ledger.held(first), upto=BLOCK + 20)
    ledger.order(job, "pause")
    ledger.order(job, "resume")
    while lease := ledger.claim(first):
        ledger.finish(lease, failed=(lease.start,) if lease.start == 2 * BLOCK else ())
    return job


def test_what_the_ledger_writes_is_legal(ledger: Ledger) -> None:
    job = finished_job(ledger)
    row = ledger.job(job)

    assert (row.state, row.done, row.failed) == ("done", 4 * BLOCK - 1, 1)
    assert found(ledger, job) == []


def test_a_retried_item_is_no_second_time(ledger: Ledger) -> None:
    job = finished_job(ledger)
    ledger.order(job, "retry")
    ledger.finish(ledger.held(ledger.slot()))

    assert ledger.job(job).state == "done"
    assert found(ledger, job) == []


def test_cancelled_and_failed_jobs_are_legal(ledger: Ledger) -> None:
    owner, slot = ledger.owner(), ledger.slot()
    cancelled = ledger.submit(owner)
    late = ledger.held(slot)
    ledger.order(cancelled, "cancel")
    ledger.finish(late)  # its guard won
    failed = ledger.submit(owner, total=BLOCK)
    for _ in range(5):
        lease = ledger.held(slot)
        with ledger.database.transaction() as session:
            fail(session, lease, ShardError("told to"), 1.0)
            session.execute(sa.update(Shard).values(not_before=sa.func.clock_timestamp()))

    assert ledger.job(failed).state == "failed"
    assert found(ledger, cancelled) == found(ledger, failed) == []


def test_a_running_job_is_legal_while_it_runs(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=4 * BLOCK, shard_size=BLOCK)
    ledger.finish(ledger.held(ledger.slot()))
    ledger.held(ledger.slot())

    assert found(ledger, job) == []


def test_anothers_job_is_not_to_be_audited(ledger: Ledger) -> None:
    job, other = ledger.submit(ledger.owner()), ledger.owner("other")

    with ledger.database.transaction() as session, pytest.raises(NotFound):
        audit.audit(session, other, job)


def last(what: str) -> Any:
    return sa.select(sa.func.max(Event.id)).where(Event.what == what).scalar_subquery()


def copy_of(what: str) -> Any:
    columns = (Event.job_number, Event.shard_id, Event.epoch, Event.what)
    names = [column.key for column in columns]
    return sa.insert(Event).from_select(names, sa.select(*columns).where(Event.id == last(what)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (sa.delete(Event).where(Event.what == "submitted"), "before the job was submitted"),
        (copy_of("started"), "started while the job was"),
        (copy_of("done"), "done while the job was done"),
        (copy_of("resumed"), "resumed while the job was done"),
        (copy_of("leased"), "leased after it was finished"),
        (copy_of("finished"), "held by None"),
        (sa.update(Event).where(Event.id == last("leased")).values(epoch=0), "at epoch 0 after"),
        (sa.delete(Event).where(Event.id == last("finished")), "says not finished"),
        (sa.update(Event).where(Event.id == last("finished")).values(epoch=9), "at epoch 9, held by 1"),
        (sa.update(Job).values(done=Job.done - 1), "items are counted"),
        (sa.update(Job).values(state="running"), "its history ends with done"),
        (sa.update(Shard).where(Shard.start == 0).values(start=1), "are missing, or there twice"),
        (sa.update(Shard).where(Shard.start == 0).values(state=ShardState.LEASED), "its history says held by None"),
    ],
)
def test_each_broken_rule_is_seen(ledger: Ledger, change: Any, problem: str) -> None:
    job = finished_job(ledger)
    with ledger.database.transaction() as session:
        session.execute(change.execution_options(synchronize_session=False))

    assert problem in " / ".join(found(ledger, job))


def test_a_lease_while_another_holds_is_seen(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner())
    ledger.held(ledger.slot())
    with ledger.database.transaction() as session:
        session.execute(copy_of("leased"))
        session.execute(sa.update(Event).where(Event.id == last("leased")).values(epoch=2))

    assert "leased at epoch 2 while epoch 1 held it" in " / ".join(found(ledger, job))
