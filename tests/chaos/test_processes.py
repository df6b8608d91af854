"""Processes killed, stopped and asked to stop: nothing is lost, nothing is worked twice for it, and in time."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable

import psutil
import pytest

from core.ledger.states import Priority
from tests.chaos.conftest import MakeRig
from tests.chaos.rig import QUICK, SLOW, Measure, Rig

AS_SHIPPED = {"lease_seconds": 9.0, "heartbeat_seconds": 3.0}


def one_long_shard(rig: Rig, total: int = 1600) -> tuple[subprocess.Popen[bytes], uuid.UUID]:
    """Two nodes, of which one works on the only shard of a job; returns that one."""
    rig.have_nodes(2)
    job = rig.submit(total, seed=3, spec=SLOW, shard_size=total)
    rig.wait_until(lambda: rig.leased(job) != [], "the shard leased")
    time.sleep(1)
    parent = next(slot.parent_pid for slot in rig.slots() if slot.shard_id is not None)
    return next(process for process in rig.processes if process.pid == parent), job


def lose_child(rig: Rig) -> float:
    """Seconds from the death of a working child until its work goes on in another slot."""
    node, job = one_long_shard(rig)
    (lost,) = rig.leased(job)
    rig.child(node).kill()
    seconds = rig.until_runs_elsewhere(job, lost)
    rig.finished(job, 90)
    rig.check(job)
    return seconds


def lose_node(rig: Rig) -> float:
    """Seconds from the death of a working node until its work goes on at another."""
    node, job = one_long_shard(rig)
    (lost,) = rig.leased(job)
    rig.kill(node)
    seconds = rig.until_runs_elsewhere(job, lost)
    rig.finished(job, 90)
    rig.check(job)
    return seconds


def test_the_work_of_a_killed_child_goes_on_elsewhere(make_rig: MakeRig, measure: Measure) -> None:
    rig = make_rig(**AS_SHIPPED)
    rig.beat()

    measure("`kill -9` of a child", [lose_child(rig) for _ in range(2)], median=3)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_the_work_of_20_killed_children_goes_on_elsewhere(make_rig: MakeRig, measure: Measure) -> None:
    rig = make_rig(**AS_SHIPPED)
    rig.beat()

    measure("`kill -9` of a child", [lose_child(rig) for _ in range(20)], median=3)


def machines_apart(make_rig: MakeRig) -> Rig:
    """A rig whose nodes are on machines of their own, as far as they know: only a lease tells that one is dead."""
    rig = make_rig(**AS_SHIPPED)
    if subprocess.run(["unshare", "--uts", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a name of its own for each node needs root")
    rig.apart = True
    rig.beat()
    return rig


def test_the_work_of_a_killed_node_goes_on_elsewhere(make_rig: MakeRig, measure: Measure) -> None:
    rig = machines_apart(make_rig)

    measure("`kill -9` of a node", [lose_node(rig)], median=15)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_the_work_of_10_killed_nodes_goes_on_elsewhere(make_rig: MakeRig, measure: Measure) -> None:
    rig = machines_apart(make_rig)

    measure("`kill -9` of a node", [lose_node(rig) for _ in range(10)], median=9, worst=15)


def to_node(node: subprocess.Popen[bytes]) -> None:
    node.terminate()


def to_group(node: subprocess.Popen[bytes]) -> None:
    os.killpg(node.pid, signal.SIGTERM)


def twice(node: subprocess.Popen[bytes]) -> None:
    os.killpg(node.pid, signal.SIGTERM)
    time.sleep(0.2)
    os.killpg(node.pid, signal.SIGTERM)


@pytest.mark.parametrize("send", [twice, *(pytest.param(one, marks=pytest.mark.chaos) for one in (to_node, to_group))])
def test_a_node_that_is_asked_to_stop_gives_back_what_it_holds_within_ten_seconds(
    rig: Rig, measure: Measure, send: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    rig.beat()
    node, job = one_long_shard(rig, 1600)
    begun = time.monotonic()
    send(node)
    status = node.wait(timeout=10 + 60)
    stopped = time.monotonic() - begun
    rig.wait_until(lambda: rig.leased(job) != [] or rig.job(job).done == 1600, "the other goes on")
    idle = time.monotonic() - begun - stopped
    rig.finished(job, 90)

    rig.check(job)
    assert status == 0
    assert {shard.attempts for shard in rig.shards()} == {1}
    assert idle < 2 * measure.stretch()
    measure(f"SIGTERM {send.__name__.replace('_', ' ')}", [stopped], worst=10)


def test_a_child_that_is_asked_to_stop_drains_and_is_replaced(rig: Rig, measure: Measure) -> None:
    node = rig.node()
    job = rig.submit(1600, seed=3, spec=SLOW, shard_size=1600)
    rig.wait_until(lambda: rig.leased(job) != [], "the shard leased")
    child = rig.child(node)
    begun = time.monotonic()
    child.send_signal(signal.SIGTERM)
    rig.wait_until(lambda: rig.job(job).done > 0, "its blocks are kept")
    rig.wait_until(lambda: rig.leased(job) != [], "it goes on in another child")
    seconds = time.monotonic() - begun
    rig.finished(job, 90)

    rig.check(job)
    assert node.poll() is None
    assert not child.is_running()
    assert {shard.attempts for shard in rig.shards()} == {1}
    measure("SIGTERM to a child", [seconds], worst=10)


@pytest.mark.chaos
def test_a_block_that_takes_too_long_for_a_drain_is_returned_with_no_attempt_used(rig: Rig, measure: Measure) -> None:
    node = rig.node()
    job = rig.submit(64, spec={"seconds_per_item": 0.5, "pictures": True})
    rig.wait_until(lambda: rig.leased(job) != [], "leased")
    begun = time.monotonic()
    node.terminate()
    node.wait(timeout=60)
    seconds = time.monotonic() - begun
    (shard,) = rig.shards()

    assert (shard.state, shard.attempts, rig.slots()) == ("returned", 0, [])
    measure("SIGTERM in a block of 32 s", [seconds], worst=10)


def test_a_drain_returns_what_is_stored_and_what_is_worked_on_with_no_attempt_used(rig: Rig, measure: Measure) -> None:
    node = rig.node()
    rig.arm("tar put", "hang")
    quick = rig.submit(64, seed=1, spec=QUICK, ring=False, priority=Priority.INTERACTIVE)
    slow = rig.submit(64, seed=2, spec={"seconds_per_item": 0.5, "pictures": True})
    rig.wait_until(lambda: rig.taken() == 1 and rig.leased(slow) != [], "one is stored, the other worked on")
    begun = time.monotonic()
    node.terminate()
    node.wait(timeout=60)
    seconds = time.monotonic() - begun

    assert [(shard.state, shard.attempts) for shard in rig.shards()] == [("returned", 0)] * 2
    assert rig.slots() == []
    rig.order(slow, "cancel")
    rig.node()
    rig.finished(quick, 60)
    rig.check(quick)
    measure("SIGTERM while one shard is stored and one worked on", [seconds], worst=10)


@pytest.mark.chaos
def test_a_node_whose_database_is_stopped_still_ends_in_time(rig: Rig, measure: Measure) -> None:
    node, job = one_long_shard(rig, 1600)
    try:
        rig.end_server("postgres", signal.SIGSTOP)
        begun = time.monotonic()
        node.terminate()
        node.wait(timeout=60)
        seconds = time.monotonic() - begun
    finally:
        rig.end_server("postgres", signal.SIGCONT)
    rig.beat()
    rig.finished(job, 90)
    rig.check(job)
    measure("SIGTERM with PostgreSQL stopped", [seconds], worst=10)


def test_a_child_that_has_grown_is_replaced_between_two_shards(make_rig: MakeRig) -> None:
    rig = make_rig(memory_growth=32)
    node = rig.node()
    job = rig.submit(128, shard_size=64, spec={"pictures": True})
    rig.finished(job)
    before = rig.child(node).pid
    grown = rig.submit(192, shard_size=64, spec={"pictures": True, "growth": 48})
    rig.finished(grown)

    rig.check(grown)
    rig.wait_until(lambda: [slot.pid for slot in rig.slots()] not in ([], [before]), "another child")
    assert node.poll() is None
    assert {shard.attempts for shard in rig.shards()} == {1}


AT_ONCE = 2
ZOMBIE = {"seconds_per_item": 0.02, "pictures": True}


def zombies(rig: Rig, times: int) -> int:
    """Stop a working child until its lease is another's, let it go on, and see its late finish refused."""
    stopped = 0
    while stopped < times:
        jobs = [rig.submit(64, seed=stopped + number, spec=ZOMBIE) for number in range(AT_ONCE)]
        rig.wait_until(lambda jobs=jobs: all(rig.leased(job) for job in jobs), "leased")
        lost = {job: rig.leased(job)[0] for job in jobs}
        pids = {slot.id: slot.pid for slot in rig.slots()}
        holders = [psutil.Process(pids[shard.slot_id]) for shard in lost.values()]
        for holder in holders:
            holder.suspend()
        for job, shard in lost.items():
            rig.until_runs_elsewhere(job, shard)
        for holder in holders:
            holder.resume()
        for job in jobs:
            rig.finished(job, 60)
            rig.check(job)
        stopped += AT_ONCE
        rig.wait_until(lambda: len(rig.slots()) == 2 * AT_ONCE, "all slots are back")
    return stopped


def test_a_stopped_worker_that_goes_on_later_changes_nothing(make_rig: MakeRig, measure: Measure) -> None:
    rig = make_rig(lease_seconds=2.0, heartbeat_seconds=0.5, tick_seconds=0.5)
    rig.beat()
    rig.have_nodes(2 * AT_ONCE)

    measure.count("SIGSTOP until the lease is lost, SIGCONT", "all fenced", f"{zombies(rig, 2)} of 2", 2)
    assert "fenced" in rig.log()


@pytest.mark.chaos
@pytest.mark.timeout(2400)
def test_200_stopped_workers_that_go_on_later_change_nothing(make_rig: MakeRig, measure: Measure) -> None:
    rig = make_rig(lease_seconds=2.0, heartbeat_seconds=0.5, tick_seconds=0.5)
    rig.beat()
    rig.have_nodes(2 * AT_ONCE)

    measure.count("SIGSTOP until the lease is lost, SIGCONT", "200 of 200 fenced", f"{zombies(rig, 200)} of 200", 200)
