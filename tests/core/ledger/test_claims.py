"""Choosing and claiming: every item once, in the right order, by the right slot."""

import threading
from collections import Counter

import pytest

from core.ledger.leases import BLOCK
from core.ledger.states import JobState, Priority
from tests.core.ledger.conftest import Ledger


def test_claims_cover_every_item_once_in_whole_blocks(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=1000)
    slots = [ledger.slot(), ledger.slot()]
    seen: list[tuple[int, int]] = []
    while lease := ledger.claim(slots[len(seen) % 2]):
        seen.append((lease.start, lease.stop))
        ledger.finish(lease, seconds=0.1 * (lease.stop - lease.start))

    assert [index for start, stop in sorted(seen) for index in range(start, stop)] == list(range(1000))
    assert all(start % BLOCK == 0 for start, _ in seen)
    assert ledger.job(job).state == JobState.DONE


def test_first_shard_is_one_block_and_later_ones_follow_the_measured_rate(ledger: Ledger) -> None:
    ledger.submit(ledger.owner(), total=1_000_000)
    slot = ledger.slot()
    first = ledger.held(slot)
    ledger.finish(first, seconds=first.stop * 0.02)
    second = ledger.held(slot)

    assert first.stop - first.start == BLOCK
    assert second.stop - second.start == int(ledger.settings.shard_seconds / 0.02 / BLOCK) * BLOCK


@pytest.mark.parametrize(("slots", "blocks"), [(1, 84), (2, 28), (4, 12)])
def test_a_shard_leaves_work_for_the_other_slots(ledger: Ledger, slots: int, blocks: int) -> None:
    ledger.submit(ledger.owner(), total=BLOCK * 85)
    slot, *_ = [ledger.slot() for _ in range(slots)]
    first = ledger.held(slot)
    ledger.finish(first, seconds=0.000_1)

    second = ledger.held(slot)

    assert second.stop - second.start == BLOCK * blocks


def test_many_slots_at_once_finish_each_item_exactly_once(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), total=BLOCK * 100, shard_size=BLOCK)
    starts: Counter[int] = Counter()
    lock = threading.Lock()

    def work() -> None:
        slot = ledger.slot()
        while lease := ledger.claim(slot):
            ledger.finish(lease)
            with lock:
                starts[lease.start] += 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert starts == Counter(dict.fromkeys(range(0, BLOCK * 100, BLOCK), 1))
    assert (ledger.job(job).done, ledger.job(job).state) == (BLOCK * 100, JobState.DONE)


def test_device_seconds_follow_the_owners_weights(ledger: Ledger) -> None:
    light, heavy = ledger.owner("light"), ledger.owner("heavy", weight=3.0)
    jobs = {ledger.submit(owner, total=10_000_000, shard_size=BLOCK): owner for owner in (light, heavy)}
    slot = ledger.slot()
    served: Counter[object] = Counter()
    for _ in range(80):
        lease = ledger.held(slot)
        served[jobs[lease.job_id]] += 1
        ledger.finish(lease, seconds=2.0)

    assert served[heavy] / served[light] == 3.0


def test_a_newcomer_is_served_next_and_the_long_job_is_not_starved(ledger: Ledger) -> None:
    old, new = ledger.owner("old"), ledger.owner("new")
    ledger.submit(old, total=10_000_000, shard_size=BLOCK)
    slot = ledger.slot()
    for _ in range(20):
        ledger.finish(ledger.held(slot), seconds=5.0)
    ledger.submit(new, total=10_000_000, shard_size=BLOCK)
    owners = []
    for _ in range(10):
        lease = ledger.held(slot)
        owners.append(lease.owner_id)
        ledger.finish(lease, seconds=5.0)

    assert new in owners[:2]
    assert owners.count(new) in (5, 6)


def test_a_new_job_of_the_same_owner_is_served_before_the_rest_of_a_long_one(ledger: Ledger) -> None:
    owner = ledger.owner()
    ledger.submit(owner, total=10_000_000, shard_size=BLOCK)
    slot = ledger.slot()
    for _ in range(5):
        ledger.finish(ledger.held(slot), seconds=20.0)
    young = ledger.submit(owner, total=BLOCK)

    assert young in [ledger.held(slot).job_id for _ in range(2)]


def test_classes_are_strict(ledger: Ledger) -> None:
    owner = ledger.owner()
    ledger.submit(owner, priority=Priority.BULK)
    urgent = ledger.submit(owner, priority=Priority.INTERACTIVE)

    assert ledger.held(ledger.slot()).job_id == urgent


def test_a_slot_claims_only_from_its_queue_and_its_engine(ledger: Ledger) -> None:
    owner = ledger.owner()
    ledger.submit(owner, queues=("gpu",))
    ledger.submit(owner, needs={"engine": 2})

    assert ledger.claim(ledger.slot("cpu", engine=1)) is None
    assert ledger.claim(ledger.slot("cpu", engine=2)) is not None
    assert ledger.claim(ledger.slot("gpu", engine=1)) is not None


def test_a_train_job_is_worked_on_by_one_slot_at_a_time(ledger: Ledger) -> None:
    ledger.submit(ledger.owner(), kind="train", total=1000)
    first, second = ledger.slot(), ledger.slot()
    lease = ledger.held(first)

    assert (lease.start, lease.stop) == (0, 1000)
    assert ledger.claim(second) is None
    ledger.finish(lease, upto=300)
    assert (ledger.held(second).start, ledger.claim(first)) == (300, None)


def test_the_closing_shard_comes_when_all_others_are_finished(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), kind="dataset", total=BLOCK * 2, shard_size=BLOCK)
    first, second = ledger.slot(), ledger.slot()
    one, two = ledger.held(first), ledger.held(second)
    ledger.finish(one)
    waiting = ledger.claim(first)
    ledger.finish(two)
    closing = ledger.held(first)

    assert waiting is None
    assert (closing.closing, ledger.job(job).state) == (True, JobState.RUNNING)
    ledger.finish(closing)
    assert (ledger.job(job).state, ledger.job(job).done) == (JobState.DONE, BLOCK * 2)


def test_a_job_waits_for_the_one_it_comes_after(ledger: Ledger) -> None:
    owner, slot = ledger.owner(), ledger.slot()
    first = ledger.submit(owner, total=BLOCK)
    second = ledger.submit(owner, total=BLOCK, after_id=first)
    lease = ledger.held(slot)
    blocked = ledger.claim(slot)
    ledger.finish(lease)

    assert (lease.job_id, blocked) == (first, None)
    assert ledger.held(slot).job_id == second


def test_cancelling_a_job_fails_those_that_wait_for_it(ledger: Ledger) -> None:
    owner = ledger.owner()
    first = ledger.submit(owner)
    second = ledger.submit(owner, after_id=first)
    third = ledger.submit(owner, after_id=second)
    ledger.order(first, "cancel")

    assert {ledger.job(second).state, ledger.job(third).state} == {JobState.FAILED}
