"""Leases: fenced by epoch, kept by beats, taken from the dead, narrowed after crashes."""

import contextlib
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.catalogue.tables import Queue, Shard, Worker
from core.errors import EnvironmentFault, Fenced, JobError, ShardError, Unavailable, VyazError
from core.ledger import leases
from core.ledger.fail import MAX_ATTEMPTS, fail, lose_slot
from core.ledger.finish import Outcome, finish_surely, give_back
from core.ledger.leases import Lease
from core.ledger.slots import reap
from core.ledger.states import Instruction, JobState, ShardState
from core.ledger.tick import sweep
from tests.core.ledger.conftest import Ledger


def report(ledger: Ledger, lease: Lease, error: VyazError) -> None:
    with ledger.database.transaction() as session:
        fail(session, lease, error, 0.5)


def let_waiting_shards_go(ledger: Ledger) -> None:
    """Skip the back-off."""
    with ledger.database.transaction() as session:
        session.execute(sa.update(Shard).values(not_before=sa.func.clock_timestamp()))


def tick(ledger: Ledger) -> list[str]:
    with ledger.database.transaction() as session:
        return sweep(session, ledger.settings)


def test_whoever_lost_the_lease_changes_nothing(ledger: Ledger) -> None:
    job, first, second = ledger.submit(ledger.owner(), total=64), ledger.slot(), ledger.slot()
    lease = ledger.held(first)
    tick(ledger)  # the database may be older than a lease
    ledger.expire(lease)
    tick(ledger)
    taken = ledger.held(second)

    with pytest.raises(Fenced):
        ledger.finish(lease)
    assert ledger.job(job).done == 0
    ledger.finish(taken)
    assert ledger.job(job).done == taken.stop - taken.start


def test_a_short_finish_returns_the_rest_with_no_attempt_used(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=256, shard_size=256), ledger.slot()
    ledger.finish(ledger.held(slot), upto=128)
    rest = ledger.held(slot)

    assert (rest.start, rest.stop, rest.attempts, ledger.job(job).done) == (128, 256, 1, 128)


def test_a_beat_extends_a_lease_that_ran_out_but_was_not_taken(ledger: Ledger) -> None:
    ledger.submit(ledger.owner())
    slot = ledger.slot()
    lease = ledger.held(slot)
    ledger.expire(lease)

    with ledger.database.transaction() as session:
        assert leases.beat(session, slot, lease, 10, ledger.settings) == Instruction.GO_ON
    with ledger.database.transaction() as session:
        assert session.scalar(sa.select(Shard.lease_until > sa.func.clock_timestamp()))


def test_a_beat_tells_the_holder_that_another_job_waits(ledger: Ledger) -> None:
    owner, slot = ledger.owner(), ledger.slot()
    ledger.submit(owner, kind="train", total=1000)
    lease = ledger.held(slot)
    ledger.submit(owner, total=64)

    with ledger.database.transaction() as session:
        assert leases.beat(session, slot, lease, 10, ledger.settings) == Instruction.YIELD


def test_a_beat_with_an_old_epoch_is_told_that_it_is_lost(ledger: Ledger) -> None:
    ledger.submit(ledger.owner())
    slot = ledger.slot()
    lease = ledger.held(slot)
    with ledger.database.transaction() as session:
        lose_slot(session, slot, "killed")

    with ledger.database.transaction() as session:
        assert leases.beat(session, slot, lease, 10, ledger.settings) == Instruction.LOST


def test_an_answer_lost_after_the_commit_counts_once(ledger: Ledger) -> None:
    class AnswerLost(Database):
        """Commits, and then fails to hear of it."""

        lost = False

        @contextlib.contextmanager
        def transaction(self) -> Iterator[Session]:
            with super().transaction() as session:
                yield session
            if not self.lost:
                self.lost = True
                raise Unavailable("the answer was lost")

    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    lease = ledger.held(slot)
    database = AnswerLost(ledger.database.engine.url.render_as_string(hide_password=False))
    finish_surely(database, lease, Outcome(lease.stop, 1.0))
    database.close()

    assert (ledger.job(job).done, ledger.job(job).state) == (64, JobState.DONE)


def test_a_commit_that_never_happened_is_not_taken_for_one(ledger: Ledger) -> None:
    def cut_own_connection(session: Session) -> dict[str, object]:
        session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return {}

    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    lease = ledger.held(slot)

    with pytest.raises(Unavailable):
        finish_surely(ledger.database, lease, Outcome(lease.stop, 1.0), cut_own_connection)
    assert (ledger.job(job).done, ledger.shards(job)[0].state) == (0, ShardState.LEASED)


@pytest.mark.parametrize("guilty", [0, 37, 99])
def test_crashes_narrow_a_shard_down_to_its_guilty_item(ledger: Ledger, guilty: int) -> None:
    job = ledger.submit(ledger.owner(), total=100, shard_size=100)
    crashes = 0
    while True:
        slot = ledger.slot()
        lease = ledger.claim(slot)
        if lease is None:
            break
        if lease.start <= guilty < lease.stop:
            crashes += 1
            with ledger.database.transaction() as session:
                lose_slot(session, slot, "segmentation fault")
        else:
            ledger.finish(lease)
    ended = ledger.job(job)

    assert (ended.state, ended.done, ended.failed) == (JobState.DONE, 99, 1)
    assert [s.start for s in ledger.shards(job) if s.state == ShardState.QUARANTINED] == [guilty]
    assert crashes <= 10


def test_what_lies_before_the_last_beats_mark_is_not_halved(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=640, shard_size=640), ledger.slot()
    lease = ledger.held(slot)
    with ledger.database.transaction() as session:
        leases.beat(session, slot, lease, 512, ledger.settings)
    with ledger.database.transaction() as session:
        lose_slot(session, slot, "killed")

    cuts = [(s.start, s.stop) for s in ledger.shards(job) if s.state == ShardState.RETURNED]
    assert cuts == [(0, 512), (512, 576), (576, 640)]


def test_a_training_that_crashes_three_times_fails_and_says_why(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), kind="train", total=1000)
    for _ in range(3):
        slot = ledger.slot()
        ledger.held(slot)
        with ledger.database.transaction() as session:
            lose_slot(session, slot, "out of memory")

    assert ledger.job(job).state == JobState.FAILED
    assert "out of memory, 3 times" in (ledger.job(job).reason or "")


def test_a_fault_of_the_environment_uses_no_attempt(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    for _ in range(MAX_ATTEMPTS + 2):
        report(ledger, ledger.held(slot), EnvironmentFault("no space left on device"))
        let_waiting_shards_go(ledger)

    again = ledger.held(slot)
    assert (ledger.job(job).state, again.attempts) == (JobState.RUNNING, 1)


def test_a_returned_shard_waits_before_it_is_tried_again(ledger: Ledger) -> None:
    ledger.submit(ledger.owner(), total=64)
    slot = ledger.slot()
    report(ledger, ledger.held(slot), ShardError("flaky"))

    assert ledger.claim(slot) is None
    let_waiting_shards_go(ledger)
    assert ledger.held(slot).attempts == 2


def test_a_shard_that_keeps_raising_fails_its_job(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    for _ in range(MAX_ATTEMPTS):
        report(ledger, ledger.held(slot), ShardError("always"))
        let_waiting_shards_go(ledger)

    assert (ledger.job(job).state, ledger.job(job).reason) == (JobState.FAILED, "always")


def test_an_error_of_the_jobs_own_fails_it_at_once(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner()), ledger.slot()
    report(ledger, ledger.held(slot), JobError("the weights are corrupt"))

    assert (ledger.job(job).state, ledger.job(job).reason) == (JobState.FAILED, "the weights are corrupt")
    assert ledger.claim(slot) is None


def test_a_tick_does_not_wait_for_a_slot_that_was_stopped_in_the_middle_of_a_beat(
    ledger: Ledger, database_url: str
) -> None:
    stopped = ledger.slot()
    with ledger.database.transaction() as session:
        past = sa.func.clock_timestamp() - sa.text("interval '1 minute'")
        session.execute(sa.update(Worker).values(heartbeat_at=past))
    another = Database(database_url, pooled=False)
    with another.transaction() as session:
        session.execute(sa.select(Worker).where(Worker.id == stopped).with_for_update())
        begun = time.monotonic()
        with ledger.database.transaction() as ticking:
            sweep(ticking, ledger.settings)

        assert time.monotonic() - begun < 3


def test_a_transaction_that_stands_still_is_ended_and_lets_its_locks_go(ledger: Ledger) -> None:
    with ledger.database.transaction() as session:
        limit = session.scalar(sa.text("SHOW idle_in_transaction_session_timeout"))

    assert limit == "5s"


def test_after_a_gap_without_any_tick_leases_are_extended_before_they_are_taken(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=64)
    lease = ledger.held(ledger.slot())
    ledger.expire(lease)
    with ledger.database.transaction() as session:
        long_ago = sa.func.clock_timestamp() - sa.text("interval '1 hour'")
        session.execute(sa.update(Queue).values(ticked_at=long_ago))
    tick(ledger)

    assert [shard.state for shard in ledger.shards(job)] == [ShardState.LEASED]
    ledger.expire(lease)
    tick(ledger)
    assert ShardState.LEASED not in [shard.state for shard in ledger.shards(job)]


def test_the_tick_names_a_queue_where_work_waits_for_an_idle_slot(ledger: Ledger) -> None:
    idle = ledger.slot()
    nothing = tick(ledger)
    ledger.submit(ledger.owner(), total=64)
    waiting = tick(ledger)
    ledger.held(idle)
    ledger.slot("gpu")
    taken = tick(ledger)

    assert (nothing, waiting, taken) == ([], ["cpu"], [])


def test_a_holder_of_an_earlier_epoch_can_neither_finish_nor_return_what_another_holds(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), kind="train", total=100)  # a crash does not split it: the row is taken again
    late = ledger.held(ledger.slot())
    ledger.expire(late)
    with ledger.database.transaction() as session:
        reap(session)
    later = ledger.held(ledger.slot())
    with pytest.raises(Fenced):
        ledger.finish(late)
    with pytest.raises(Fenced), ledger.database.transaction() as session:
        give_back(session, late, 1.0)

    assert (later.shard_id, later.epoch) == (late.shard_id, late.epoch + 1)
    assert (ledger.job(job).done, ledger.shards(job)[0].state) == (0, "leased")
    ledger.finish(later)
    assert ledger.job(job).state == "done"
