"""Corners that a cold review found: each once left a job standing, a thread dead or an owner favoured."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from core.catalogue.database import Database
from core.catalogue.ingest import copy_variants
from core.catalogue.rows import VariantRow
from core.catalogue.tables import Fire, Job, Owner, Queue, Schedule, Shard, Worker
from core.errors import Conflict, JobError, ShardError, Unavailable
from core.ledger.fail import fail
from core.ledger.schedules import fire_due
from core.ledger.slots import Slot, lose_dead, register
from core.ledger.states import JobState, ShardState
from core.ledger.tick import sweep
from core.requests import submit_stored
from tests.core.ledger.conftest import Ledger


def tick(ledger: Ledger) -> None:
    with ledger.database.transaction() as session:
        sweep(session, ledger.settings)


def let_clock_stand(ledger: Ledger, seconds: float) -> None:
    """As if the last tick had been so long ago."""
    with ledger.database.transaction() as session:
        then = sa.func.clock_timestamp() - timedelta(seconds=seconds)
        session.execute(sa.update(Queue).values(ticked_at=then))


def test_retry_of_a_cancelled_job_whose_last_finish_won_is_done(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    lease = ledger.held(slot)
    ledger.order(job, "cancel")
    ledger.finish(lease)
    ledger.order(job, "retry")

    assert (ledger.job(job).state, ledger.job(job).done) == (JobState.DONE, 64)


def test_a_database_that_turned_read_only_is_unavailable(ledger: Ledger) -> None:
    def write() -> None:
        with ledger.database.transaction() as session:
            session.execute(sa.text("SET TRANSACTION READ ONLY"))
            session.execute(sa.update(Queue).values(served=1.0))

    with pytest.raises(Unavailable):
        write()


def test_a_connection_cut_in_a_copy_is_unavailable(ledger: Ledger, database_url: str) -> None:
    another = Database(database_url, pooled=False)
    ledger.submit(ledger.owner())

    def rows(backend: int) -> list[VariantRow]:
        with another.transaction() as session:
            session.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend})
        return [VariantRow(index, "", "null", b"", 0, 0, 0.0) for index in range(10_000)]

    def copy() -> None:
        with ledger.database.transaction() as session:
            backend = session.scalar(sa.text("SELECT pg_backend_pid()"))
            copy_variants(session, 1, 1, None, (row for row in rows(backend or 0)))

    with pytest.raises(Unavailable):
        copy()
    another.close()


def test_the_dead_of_another_machine_are_none_of_ours(ledger: Ledger) -> None:
    with ledger.database.transaction() as session:
        ours = register(session, Slot("vm/a/1:10", "vm", 11, 10, "cpu", "cpu", "test", "0", 1))
        register(session, Slot("vm/b/1:10", "vm", 11, 10, "cpu", "cpu", "test", "0", 1))
    with ledger.database.transaction() as session:
        assert [slot.id for slot in lose_dead(session, "vm/a/1", lambda pid: False)] == [ours]


def test_a_schedule_that_cannot_be_read_is_paused_and_the_others_fire(ledger: Ledger) -> None:
    owner = ledger.owner()
    past = datetime.now(UTC) - timedelta(minutes=5)
    with ledger.database.transaction() as session:
        for name, zone, due_at in (("lost", "Mars/Olympus", past - timedelta(hours=1)), ("well", "Europe/Kyiv", past)):
            request = {"kind": "null", "count": 64}
            row = {"name": name, "timezone": zone, "next_due_at": due_at, "cron": "0 3 * * *", "request": request}
            session.add(Schedule(owner_id=owner, **row))
    fired = []
    while True:
        with ledger.database.transaction() as session:
            one = fire_due(session, submit_stored)
        if one is None:
            break
        fired.append((one.schedule, one.job_id is not None))

    assert fired == [("lost", False), ("well", True)]
    with ledger.database.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Fire)) == 1


def test_a_shard_of_an_unknown_kind_does_not_stop_the_sweep(ledger: Ledger) -> None:
    owner = ledger.owner()
    strange, known = ledger.submit(owner, total=64), ledger.submit(owner, total=64)
    leases = [ledger.held(ledger.slot()) for _ in range(2)]
    tick(ledger)
    for lease in leases:
        ledger.expire(lease)
    with ledger.database.transaction() as session:
        session.execute(sa.update(Job).where(Job.id == strange).values(kind="paint"))
    tick(ledger)

    assert ShardState.LEASED not in [shard.state for shard in ledger.shards(known)]
    assert [shard.state for shard in ledger.shards(strange)] == [ShardState.LEASED]


def test_a_closed_dataset_job_is_submitted_again_and_not_retried(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), kind="dataset", total=64), ledger.slot()
    ledger.finish(ledger.held(slot), failed=(3,))
    ledger.finish(ledger.held(slot))

    with pytest.raises(Conflict, match="submit it again"):
        ledger.order(job, "retry")


def test_after_a_weekend_off_a_newcomer_does_not_have_the_fleet_to_itself(ledger: Ledger) -> None:
    old, new = ledger.owner("old"), ledger.owner("new")
    ledger.submit(old, total=64 * 1000, shard_size=64)
    slot = ledger.slot()
    for _ in range(10):
        ledger.finish(ledger.held(slot), seconds=100.0)
    tick(ledger)
    with ledger.database.transaction() as session:
        session.execute(sa.delete(Worker))
    ledger.submit(new, total=64 * 1000, shard_size=64)
    slot, owners = ledger.slot(), []
    for _ in range(10):
        lease = ledger.held(slot)
        owners.append(lease.owner_id)
        ledger.finish(lease, seconds=100.0)

    assert owners.count(old) in (4, 5, 6)


def test_an_owner_whose_job_was_paused_comes_back_without_a_claim_on_the_fleet(ledger: Ledger) -> None:
    paused, busy = ledger.owner("paused"), ledger.owner("busy")
    job = ledger.submit(paused, total=64 * 1000, shard_size=64)
    ledger.order(job, "pause")
    ledger.submit(busy, total=64 * 1000, shard_size=64)
    slot = ledger.slot()
    for _ in range(10):
        ledger.finish(ledger.held(slot), seconds=100.0)
    ledger.order(job, "resume")
    owners = []
    for _ in range(10):
        lease = ledger.held(slot)
        owners.append(lease.owner_id)
        ledger.finish(lease, seconds=100.0)

    assert owners.count(busy) in (4, 5, 6)


def test_a_gap_shorter_than_a_lease_does_not_take_shards_from_the_living(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=64)
    lease = ledger.held(ledger.slot())
    ledger.expire(lease)
    let_clock_stand(ledger, 8.0)
    tick(ledger)

    assert [shard.state for shard in ledger.shards(job)] == [ShardState.LEASED]


def test_a_job_after_one_that_failed_is_refused(ledger: Ledger) -> None:
    owner, slot = ledger.owner(), ledger.slot()
    first = ledger.submit(owner)
    with ledger.database.transaction() as session:
        fail(session, ledger.held(slot), JobError("corrupt"), 0.0)

    with pytest.raises(Conflict, match="failed"):
        ledger.submit(owner, after_id=first)


def test_retry_forgets_attempts_and_back_off(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    for _ in range(5):
        with ledger.database.transaction() as session:
            session.execute(sa.update(Shard).values(not_before=sa.func.clock_timestamp()))
        lease = ledger.held(slot)
        with ledger.database.transaction() as session:
            fail(session, lease, ShardError("always"), 0.0)
    ledger.order(job, "retry")

    assert ledger.held(slot).attempts == 1


def test_a_weight_changed_in_flight_gives_no_credit(ledger: Ledger) -> None:
    owner: uuid.UUID = ledger.owner()
    ledger.submit(owner, total=6400, shard_size=64)
    slot = ledger.slot()
    ledger.finish(ledger.held(slot), seconds=60.0)
    lease = ledger.held(slot)
    with ledger.database.transaction() as session:
        before = session.get_one(Owner, owner).virtual_time[0]
        session.execute(sa.update(Owner).values(weight=0.01))
    ledger.finish(lease, seconds=1.0)

    with ledger.database.transaction() as session:
        after = session.get_one(Owner, owner).virtual_time[0]
    assert after - before == pytest.approx(1.0 / 0.01)  # by the weight when it is finished, and nothing more
