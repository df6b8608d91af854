"""The breaker, and what an exception that nobody foresaw does to a shard."""

import uuid

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Event, Job, Shard
from core.errors import Fenced, ShardError, Unavailable, Unforeseen, VyazError
from core.ledger.breaker import FIRST_SHARDS, SPARED
from core.ledger.fail import fail
from core.ledger.finish import Outcome, finish_surely
from core.ledger.leases import Lease
from core.ledger.slots import lose_slot
from core.ledger.states import JobState, ShardState
from tests.core.ledger.conftest import Ledger


def report(ledger: Ledger, lease: Lease, error: VyazError) -> None:
    with ledger.database.transaction() as session:
        fail(session, lease, error, 1.0)


def let_waiting_shards_go(ledger: Ledger) -> None:
    with ledger.database.transaction() as session:
        session.execute(sa.update(Shard).values(not_before=sa.func.clock_timestamp()))


def histories(ledger: Ledger, job: uuid.UUID) -> list[tuple[str, str | None]]:
    with ledger.database.transaction() as session:
        mine = sa.select(Event).join(Job, Job.number == Event.job_number).where(Job.id == job).order_by(Event.id)
        return [(event.what, event.actor) for event in session.scalars(mine)]


def test_a_job_whose_first_eight_shards_all_fail_is_paused_and_says_why(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=6400, shard_size=64), ledger.slot()
    for number in range(FIRST_SHARDS):
        assert ledger.job(job).state in (JobState.QUEUED, JobState.RUNNING)
        report(ledger, ledger.held(slot), ShardError(f"no such font, {number}"))

    assert ledger.job(job).state == JobState.PAUSED
    assert "none of its first 8 shards could be made; the last said: no such font, 7" in (ledger.job(job).reason or "")
    assert ("paused", "breaker") in histories(ledger, job)


def test_one_success_among_the_first_shards_keeps_the_job_running(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=6400, shard_size=64), ledger.slot()
    ledger.finish(ledger.held(slot))
    for _ in range(FIRST_SHARDS + 2):
        report(ledger, ledger.held(slot), ShardError("flaky"))

    assert ledger.job(job).state == JobState.RUNNING


def test_one_poison_item_at_the_beginning_never_looks_like_eight_shards(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=100, shard_size=100)
    for _ in range(9):  # halved to the lone item, which has three attempts
        slot = ledger.slot()
        ledger.held(slot)
        with ledger.database.transaction() as session:
            lose_slot(session, slot, "killed")

    assert ledger.job(job).state == JobState.RUNNING
    assert ledger.job(job).failed == 1


def test_a_job_of_which_more_than_one_in_a_hundred_fails_is_paused_once(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=6400, shard_size=640), ledger.slot()
    ledger.finish(ledger.held(slot), failed=tuple(range(SPARED)))
    spared = ledger.job(job).state
    first = ledger.held(slot)
    ledger.finish(first, failed=tuple(range(first.start, first.start + 10)))

    assert (spared, ledger.job(job).state) == (JobState.RUNNING, JobState.PAUSED)
    assert "18 of the first 1280 items could not be made" in (ledger.job(job).reason or "")
    ledger.order(job, "resume")
    again = ledger.held(slot)
    ledger.finish(again, failed=tuple(range(again.start, again.stop)))
    assert (ledger.job(job).state, ledger.job(job).reason) == (JobState.RUNNING, None)


def test_what_nobody_foresaw_halves_the_shard_and_quarantines_a_lone_item(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=2, shard_size=2), ledger.slot()
    report(ledger, ledger.held(slot), Unforeseen("ZeroDivisionError: division by zero"))
    parts = [(s.start, s.stop) for s in ledger.shards(job) if s.state == ShardState.RETURNED]
    for _ in range(3):
        report(ledger, ledger.held(slot), Unforeseen("ZeroDivisionError: division by zero"))
    ledger.finish(ledger.held(slot))

    assert parts == [(0, 1), (1, 2)]
    assert (ledger.job(job).state, ledger.job(job).done, ledger.job(job).failed) == (JobState.DONE, 1, 1)


def test_what_nobody_foresaw_in_a_training_is_tried_again_as_a_whole(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), kind="train", total=1000), ledger.slot()
    report(ledger, ledger.held(slot), Unforeseen("RuntimeError: odd"))

    assert [(s.state, s.attempts) for s in ledger.shards(job)] == [(ShardState.RETURNED, 1)]


def test_a_finish_that_is_tried_again_finds_that_it_was_done(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    lease = ledger.held(slot)
    ledger.finish(lease)
    ledger.finish(lease)

    assert (ledger.job(job).state, ledger.job(job).done) == (JobState.DONE, 64)


def test_a_finish_after_another_took_the_shard_is_still_fenced(ledger: Ledger) -> None:
    ledger.submit(ledger.owner(), total=1)
    slot = ledger.slot()
    lease = ledger.held(slot)
    with ledger.database.transaction() as session:
        lose_slot(session, slot, "killed")
    ledger.finish(ledger.held(ledger.slot()))

    with pytest.raises(Fenced):
        ledger.finish(lease)


def test_a_finish_that_did_not_commit_says_so_and_may_be_made_again(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    lease = ledger.held(slot)

    def cut(session: object) -> dict[str, object]:
        raise Unavailable("cut")

    with pytest.raises(Unavailable):
        finish_surely(ledger.database, lease, Outcome(lease.stop, 1.0), cut)
    ledger.finish(lease)

    assert ledger.job(job).done == 64
