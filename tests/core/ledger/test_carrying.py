"""A slot that stores one shard while it works on the next: which of the two a crash is laid to."""

import uuid

import pytest

from core.catalogue.tables import Worker
from core.ledger.audit import audit
from core.ledger.fail import lose_slot
from core.ledger.leases import BLOCK
from core.ledger.slots import idle
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
    assert found[stored.start, stored.stop] == (ShardState.RETURNED, 1)
    assert found[worked.start, worked.stop] == (ShardState.SPLIT, 1)
    assert found[worked.start, worked.start + BLOCK] == found[worked.stop - BLOCK, worked.stop] == ("returned", 0)


def test_an_innocent_item_is_not_condemned_with_the_poison_beside_it(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=2, shard_size=1)
    for _ in range(3):
        slot = ledger.slot()
        assert [ledger.held(slot).start, ledger.held(slot).start] == [0, 1]
        lose(ledger, slot)

    assert [(s.start, s.state) for s in ledger.shards(job)] == [(0, ShardState.RETURNED), (1, ShardState.QUARANTINED)]
    ledger.finish(ledger.held(ledger.slot()))
    assert (ledger.job(job).state, ledger.job(job).done, ledger.job(job).failed) == (JobState.DONE, 1, 1)
    with ledger.database.transaction() as session:
        assert audit(session, None, job).problems == []


def test_a_shard_whose_storing_kills_again_and_again_is_taken_apart_in_the_end(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=4 * BLOCK, shard_size=2 * BLOCK)
    for _ in range(4):
        slot = ledger.slot()
        first = ledger.held(slot)
        ledger.held(slot)
        lose(ledger, slot)

    assert (first.start, first.attempts) == (0, 4)
    assert [s.state for s in ledger.shards(job) if s.id == first.shard_id] == [ShardState.SPLIT]


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
