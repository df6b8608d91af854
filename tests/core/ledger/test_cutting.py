"""Shards cut ahead for a large fleet: taken side by side, by slots of their own speed, and never from an ended job."""

import threading
import uuid
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Job
from core.errors import Fenced
from core.ledger import jobs
from core.ledger.audit import audit
from core.ledger.leases import BLOCK, Lease, claim
from core.ledger.states import JobState, ShardState
from tests.core.ledger.conftest import Ledger

FLEET = 16
AHEAD = FLEET // 4
SOON, BLOCKED = 20.0, 0.5  # seconds


def fleet(ledger: Ledger, device_class: str = "test") -> list[uuid.UUID]:
    return [ledger.slot(device_class=device_class) for _ in range(FLEET)]


def states(ledger: Ledger, job: uuid.UUID) -> list[str]:
    return [shard.state for shard in ledger.shards(job)]


def test_one_claim_cuts_for_a_fourth_of_the_fleet(ledger: Ledger) -> None:
    job, slots = ledger.submit(ledger.owner(), total=BLOCK * 100), fleet(ledger)
    first = ledger.held(slots[0])

    assert states(ledger, job) == [ShardState.LEASED, *[ShardState.RETURNED] * (AHEAD - 1)]
    assert (first.start, ledger.job(job).next_index) == (0, BLOCK * AHEAD)
    assert [ledger.held(slot).start for slot in slots[1:AHEAD]] == [BLOCK * n for n in range(1, AHEAD)]
    assert ledger.job(job).next_index == BLOCK * AHEAD


def test_a_small_fleet_cuts_one_by_one_and_nobody_cuts_past_the_end(ledger: Ledger) -> None:
    small = ledger.submit(ledger.owner(), total=BLOCK * 100)
    ledger.held(ledger.slot())

    assert states(ledger, small) == [ShardState.LEASED]
    ledger.order(small, "cancel")
    short = ledger.submit(ledger.owner("other"), total=BLOCK + 1)
    ledger.held(fleet(ledger)[0])
    assert [(shard.start, shard.stop) for shard in ledger.shards(short)] == [(0, BLOCK), (BLOCK, BLOCK + 1)]


def test_what_is_cut_is_taken_though_somebody_holds_the_jobs_row(ledger: Ledger) -> None:
    job, slots = ledger.submit(ledger.owner(), total=BLOCK * 100), fleet(ledger)
    ledger.held(slots[0])
    # As a finish of the same job does, until its commit.
    with ledger.database.transaction() as session:
        session.scalars(sa.select(Job).where(Job.id == job).with_for_update(key_share=True)).one()
        with ThreadPoolExecutor() as pool:
            taken = [pool.submit(ledger.claim, slot) for slot in slots[1:AHEAD]]
            assert wait(taken, SOON).not_done == set()
            cut = pool.submit(ledger.claim, slots[AHEAD])
            assert wait([cut], BLOCKED).done == set()
            session.commit()
            assert lease_of(cut).start == BLOCK * AHEAD
    assert sorted(lease_of(each).start for each in taken) == [BLOCK * n for n in range(1, AHEAD)]


def test_two_slots_take_two_shards_side_by_side(ledger: Ledger) -> None:
    ledger.submit(ledger.owner(), total=BLOCK * 100)
    first, second, third, *_ = fleet(ledger)
    ledger.held(first)
    with ledger.database.transaction() as session:
        mine = claim(session, second, ledger.settings)
        assert mine is not None  # and not committed yet
        assert ledger.held(third).start not in (mine.start, 0)


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_no_claim_slips_in_after_an_order_that_ends_the_job(ledger: Ledger, verb: str) -> None:
    job, slots = ledger.submit(ledger.owner(), total=BLOCK * 100), fleet(ledger)
    first = ledger.held(slots[0])
    with ThreadPoolExecutor() as pool:
        with ledger.database.transaction() as session:
            jobs.order(session, None, job, verb)
            late = pool.submit(ledger.claim, slots[1])
            assert wait([late], BLOCKED).done == set()
        assert late.result(SOON) is None
    ledger.finish(first)
    with ledger.database.transaction() as session:
        assert audit(session, None, job).problems == []


def test_an_order_waits_for_a_claim_that_began_before_it(ledger: Ledger) -> None:
    job, slots = ledger.submit(ledger.owner(), total=BLOCK * 100), fleet(ledger)
    ledger.held(slots[0])
    with ThreadPoolExecutor() as pool:
        with ledger.database.transaction() as session:
            assert claim(session, slots[1], ledger.settings) is not None
            order = pool.submit(ledger.order, job, "cancel")
            assert wait([order], BLOCKED).done == set()
        order.result(SOON)
    with ledger.database.transaction() as session:
        assert audit(session, None, job).problems == []


def test_what_was_cut_for_a_faster_device_is_left_to_it_while_there_is_something_to_cut(ledger: Ledger) -> None:
    job, fast = ledger.submit(ledger.owner(), total=BLOCK * 1000), fleet(ledger, "fast")
    ledger.finish(ledger.held(fast[0]), seconds=0.01)
    for slot in fast[1:AHEAD]:
        ledger.finish(ledger.held(slot), seconds=0.01)
    large = ledger.held(fast[0])
    small = ledger.held(ledger.slot(device_class="slow"))

    assert large.stop - large.start > BLOCK == small.stop - small.start
    with ledger.database.transaction() as session:
        session.execute(sa.update(Job).where(Job.id == job).values(next_index=Job.total))
    rest = ledger.held(ledger.slot(device_class="slow"))
    assert (rest.start, rest.stop - rest.start) == (large.stop, large.stop - large.start)


def test_what_is_in_hand_counts_for_whose_turn_it_is(ledger: Ledger) -> None:
    busy, other = ledger.owner("busy"), ledger.owner("other")
    ledger.submit(busy, total=BLOCK * 1000, shard_size=BLOCK)
    slot = ledger.slot()
    ledger.finish(ledger.held(slot), seconds=20.0)
    for _ in range(4):
        ledger.held(ledger.slot())
    ledger.submit(other, total=BLOCK * 1000, shard_size=BLOCK)
    turns = []
    for _ in range(4):
        lease = ledger.held(slot)
        turns.append(lease.owner_id)
        ledger.finish(lease, seconds=20.0)

    # The newcomer starts level with the 100 s of the other, of which 80 are in hand; so they take turns.
    assert sorted([turns.count(busy), turns.count(other)]) == [2, 2]


def test_a_large_fleet_at_once_makes_each_item_exactly_once(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=BLOCK * 200, shard_size=BLOCK)
    leases: list[Lease] = []
    lock = threading.Lock()

    def work(slot: uuid.UUID) -> None:
        while lease := ledger.claim(slot):
            with lock:
                leases.append(lease)
            try:
                ledger.finish(lease)
            except Fenced:  # pragma: no cover - would be seen below
                continue

    with ThreadPoolExecutor(FLEET) as pool:
        list(pool.map(work, fleet(ledger)))

    assert sorted(lease.start for lease in leases) == list(range(0, BLOCK * 200, BLOCK))
    assert (ledger.job(job).state, ledger.job(job).done) == (JobState.DONE, BLOCK * 200)
    with ledger.database.transaction() as session:
        assert audit(session, None, job).problems == []


def lease_of(claimed: Future[Lease | None]) -> Lease:
    lease = claimed.result(SOON)
    assert lease is not None
    return lease
