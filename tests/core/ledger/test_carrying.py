"""A slot that stores one shard while it works on the next: which of the two a crash is laid to."""

import uuid

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Event, Job, Worker
from core.errors import Unforeseen
from core.ledger.audit import audit
from core.ledger.fail import fail, lose_slot
from core.ledger.finish import give_back
from core.ledger.leases import BLOCK, beat
from core.ledger.slots import idle, reap
from core.ledger.states import JobState, ShardState, SlotState
from tests.core.ledger.conftest import Ledger


def lose(ledger: Ledger, slot: uuid.UUID) -> None:
    with ledger.database.transaction() as session:
        lose_slot(session, slot, "killed by signal 11")


def test_a_crash_is_laid_to_the_shard_that_was_worked_on(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=4 * BLOCK, shard_size=2 * BLOCK), ledger.slot()
    stored, worked = ledger.held(slot), ledger.held(slot)
    lose(ledger, slot)

    found = {(s.start, s.stop): (s.state, s.attempts) for s in ledger.shards(job)}
    assert found[stored.start, stored.stop] == (ShardState.RETURNED, 0)
    assert found[worked.start, worked.stop] == (ShardState.SPLIT, 1)
    assert found[worked.start, worked.start + BLOCK] == found[worked.stop - BLOCK, worked.stop] == ("returned", 0)


def test_an_innocent_item_is_not_condemned_with_the_poison_beside_it(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=3, shard_size=1)
    for poison in (1, 1, 1, 2, 2, 2):
        slot = ledger.slot()
        assert [ledger.held(slot).start, ledger.held(slot).start] == [0, poison]
        lose(ledger, slot)

    assert [(s.start, s.state) for s in ledger.shards(job)] == [(0, "returned"), (1, "quarantined"), (2, "quarantined")]
    assert told(ledger, job) == {"crashed": 6, "returned": 6, "quarantined": 2}
    ledger.finish(ledger.held(ledger.slot()))
    assert (ledger.job(job).state, ledger.job(job).done, ledger.job(job).failed) == (JobState.DONE, 1, 2)
    with ledger.database.transaction() as session:
        assert audit(session, None, job).problems == []


def test_a_shard_that_was_worked_through_and_is_the_only_one_is_blamed(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=2 * BLOCK, shard_size=2 * BLOCK), ledger.slot()
    lease = ledger.held(slot)
    with ledger.database.transaction() as session:
        beat(session, slot, lease, lease.stop, ledger.settings)
    lose(ledger, slot)

    assert [s.state for s in ledger.shards(job) if s.id == lease.shard_id] == [ShardState.SPLIT]


def test_the_one_that_is_stored_is_spared_though_it_was_cut_later(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=4 * BLOCK, shard_size=2 * BLOCK), ledger.slot()
    back, other = ledger.held(ledger.slot()), ledger.held(slot)
    with ledger.database.transaction() as session:
        give_back(session, back, 0.0)
    assert ledger.held(slot).shard_id == back.shard_id < other.shard_id
    lose(ledger, slot)

    found = {s.id: s.state for s in ledger.shards(job)}
    assert (found[other.shard_id], found[back.shard_id]) == (ShardState.RETURNED, ShardState.SPLIT)


def test_a_shard_of_a_slot_of_which_nothing_is_known_is_blamed(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=2 * BLOCK, shard_size=2 * BLOCK), ledger.slot()
    lease = ledger.held(slot)
    with ledger.database.transaction() as session:
        beat(session, slot, lease, lease.stop, ledger.settings)
        session.execute(sa.update(Worker).values(shard_id=None))  # as of one that fell silent before its lease ran out
    ledger.expire(lease)
    with ledger.database.transaction() as session:
        reap(session)

    assert [s.state for s in ledger.shards(job) if s.id == lease.shard_id] == [ShardState.SPLIT]


def test_an_error_that_nobody_foresaw_is_laid_to_the_shard_whose_storing_raised_it(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=4 * BLOCK, shard_size=2 * BLOCK), ledger.slot()
    stored, worked = ledger.held(slot), ledger.held(slot)
    with ledger.database.transaction() as session:
        fail(session, stored, Unforeseen("a row that cannot be written"), 1.0)

    found = {s.id: s.state for s in ledger.shards(job)}
    assert (found[stored.shard_id], found[worked.shard_id]) == (ShardState.SPLIT, ShardState.LEASED)
    assert state(ledger, slot) == (SlotState.BUSY, worked.shard_id)


@pytest.mark.parametrize("upto", [BLOCK, 2 * BLOCK])
def test_both_are_finished_in_any_order_and_the_slot_is_idle_only_then(ledger: Ledger, upto: int) -> None:
    job, slot = ledger.submit(ledger.owner(), total=4 * BLOCK, shard_size=2 * BLOCK), ledger.slot()
    first, second = ledger.held(slot), ledger.held(slot)
    ledger.finish(first, upto=upto)

    assert state(ledger, slot) == (SlotState.BUSY, second.shard_id)
    with ledger.database.transaction() as session:
        idle(session, slot, first.shard_id)  # as after a lease that was lost
    assert state(ledger, slot) == (SlotState.BUSY, second.shard_id)
    ledger.finish(second)
    assert state(ledger, slot) == (SlotState.IDLE, None)
    assert ledger.job(job).done == upto + 2 * BLOCK


def state(ledger: Ledger, slot: uuid.UUID) -> tuple[str, int | None]:
    with ledger.database.transaction() as session:
        row = session.get_one(Worker, slot)
        return row.state, row.shard_id


def told(ledger: Ledger, job: uuid.UUID) -> dict[str, int]:
    """How often a shard of the job ended otherwise than well, and how."""
    with ledger.database.transaction() as session:
        mine = sa.select(Event.what, sa.func.count()).join(Job, Job.number == Event.job_number).where(Job.id == job)
        ends = mine.where(Event.what.in_(("crashed", "returned", "quarantined"))).group_by(Event.what)
        return dict(session.execute(ends).all())
