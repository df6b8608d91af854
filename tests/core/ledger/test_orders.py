"""What users order: submit, pause, resume, cancel, retry, remove."""

import threading
import uuid

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Job, Table
from core.errors import Conflict, Invalid, NotFound
from core.ledger import jobs, leases
from core.ledger.jobs import Submission
from core.ledger.states import Instruction, JobState
from tests.core.ledger.conftest import Ledger


def count_rows(ledger: Ledger) -> int:
    with ledger.database.transaction() as session:
        return sum(
            session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in Table.metadata.sorted_tables
        )


def test_submitting_ten_million_writes_at_most_three_rows(ledger: Ledger) -> None:
    owner = ledger.owner()
    before = count_rows(ledger)
    ledger.submit(owner, total=10_000_000)

    assert count_rows(ledger) - before <= 3


@pytest.mark.parametrize("total", [0, -1, 2**63])
def test_a_count_out_of_range_is_refused(ledger: Ledger, total: int) -> None:
    with pytest.raises(Invalid, match=str(total)):
        ledger.submit(ledger.owner(), total=total)


def test_one_key_makes_one_job_however_often_it_is_sent(ledger: Ledger) -> None:
    owner = ledger.owner()
    made: set[uuid.UUID] = set()

    def send() -> None:
        made.add(ledger.submit(owner, idempotency_key="order-7", body={"count": 640}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1
    assert ledger.submit(ledger.owner("another"), idempotency_key="order-7", body={"count": 640}) not in made


def test_a_key_used_with_another_body_is_refused(ledger: Ledger) -> None:
    owner = ledger.owner()
    ledger.submit(owner, idempotency_key="order-7", body={"count": 640})

    with pytest.raises(Invalid, match="another body"):
        ledger.submit(owner, idempotency_key="order-7", body={"count": 641})


def test_a_paused_job_is_not_claimed_and_its_holder_is_told(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), shard_size=64), ledger.slot()
    lease = ledger.held(slot)
    ledger.order(job, "pause")

    with ledger.database.transaction() as session:
        told = leases.beat(session, slot, lease, 0, ledger.settings)
    assert told == Instruction.PAUSE
    ledger.finish(lease, upto=0)
    assert ledger.claim(slot) is None
    ledger.order(job, "resume")
    assert ledger.held(slot).start == 0


def test_a_cancelled_job_keeps_what_was_finished_and_starts_nothing(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), shard_size=64), ledger.slot()
    ledger.finish(ledger.held(slot))
    lease = ledger.held(slot)
    ledger.order(job, "cancel")

    with ledger.database.transaction() as session:
        told = leases.beat(session, slot, lease, 64, ledger.settings)
    assert told == Instruction.CANCEL
    ledger.finish(lease)
    assert (ledger.job(job).state, ledger.job(job).done, ledger.claim(slot)) == (JobState.CANCELLED, 128, None)


def test_retry_opens_quarantined_items_again(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    ledger.finish(ledger.held(slot), failed=(7, 9))
    ended = ledger.job(job)
    ledger.order(job, "retry")
    again = ledger.held(slot)
    ledger.finish(again)
    ledger.finish(ledger.held(slot))

    assert (ended.state, ended.done, ended.failed) == (JobState.DONE, 62, 2)
    assert (again.start, again.stop) == (7, 8)
    assert (ledger.job(job).state, ledger.job(job).done, ledger.job(job).failed) == (JobState.DONE, 64, 0)


def test_retry_goes_on_with_a_cancelled_job(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=192, shard_size=64), ledger.slot()
    lease = ledger.held(slot)
    ledger.order(job, "cancel")
    ledger.finish(lease, upto=32)
    ledger.order(job, "retry")
    while again := ledger.claim(slot):
        ledger.finish(again)

    assert (ledger.job(job).state, ledger.job(job).done) == (JobState.DONE, 192)


@pytest.mark.parametrize(
    ("verb", "after"), [("resume", ()), ("retry", ()), ("pause", ("cancel",)), ("cancel", ("cancel",))]
)
def test_an_order_that_does_not_fit_the_state_is_a_conflict(ledger: Ledger, verb: str, after: tuple[str, ...]) -> None:
    job = ledger.submit(ledger.owner())
    for earlier in after:
        ledger.order(job, earlier)

    with pytest.raises(Conflict, match=verb):
        ledger.order(job, verb)


def test_another_owners_job_is_not_found(ledger: Ledger) -> None:
    job, stranger = ledger.submit(ledger.owner()), ledger.owner("stranger")

    with pytest.raises(NotFound), ledger.database.transaction() as session:
        jobs.order(session, stranger, job, "cancel")


def test_a_running_job_cannot_be_removed_and_a_finished_one_leaves_nothing(ledger: Ledger) -> None:
    job, slot = ledger.submit(ledger.owner(), total=64), ledger.slot()
    with pytest.raises(Conflict, match="cancel it first"), ledger.database.transaction() as session:
        jobs.remove(session, None, job)
    ledger.finish(ledger.held(slot))
    with ledger.database.transaction() as session:
        jobs.remove(session, None, job)

    with ledger.database.transaction() as session:
        assert session.get(Job, job) is None


def test_an_owner_that_was_away_does_not_come_back_with_a_claim_on_the_whole_fleet(ledger: Ledger) -> None:
    away, busy = ledger.owner("away"), ledger.owner("busy")
    ledger.submit(busy, total=10_000_000, shard_size=64)
    slot = ledger.slot()
    for _ in range(10):
        ledger.finish(ledger.held(slot), seconds=30.0)
    ledger.submit(away, total=10_000_000, shard_size=64)
    owners = []
    for _ in range(8):
        lease = ledger.held(slot)
        owners.append(lease.owner_id)
        ledger.finish(lease, seconds=30.0)

    assert owners.count(busy) >= 3


def test_a_submission_of_an_unknown_kind_names_the_known_ones(ledger: Ledger) -> None:
    owner = ledger.owner()

    with pytest.raises(Invalid, match="generate"), ledger.database.transaction() as session:
        jobs.submit(session, owner, Submission("paint", {}, 1))
