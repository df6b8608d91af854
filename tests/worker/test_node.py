"""A node at work, killed and drained: every item once."""

import os
import signal
import subprocess
import time
from pathlib import Path

import redis

from core.ledger.states import JobState
from tests.worker.conftest import Fleet

SLOW = {"seconds_per_item": 0.002}


def child_of(fleet: Fleet, node: subprocess.Popen[bytes]) -> int:
    return next(slot.pid for slot in fleet.slots() if slot.parent_pid == node.pid)


def test_a_ring_has_a_job_done_and_every_row_written_once(fleet: Fleet) -> None:
    fleet.node()
    job = fleet.submit(5000)
    ended = fleet.finished(job)

    assert (ended.state, ended.done, ended.failed) == (JobState.DONE, 5000, 0)
    assert fleet.indexes(job) == list(range(5000))


def test_a_slot_says_where_it_is_and_what_it_does(fleet: Fleet) -> None:
    node = fleet.node()
    (slot,) = fleet.slots()

    assert (slot.queue, slot.device, slot.state, slot.parent_pid) == ("cpu", "cpu", "idle", node.pid)
    job = fleet.submit(5000, spec=SLOW)
    fleet.wait_until(lambda: fleet.slots()[0].state == "busy" and fleet.slots()[0].shard_id is not None, "busy")
    fleet.finished(job)
    fleet.wait_until(lambda: fleet.slots()[0].state == "idle" and fleet.slots()[0].shard_id is None, "idle")


def test_the_parent_never_loads_torch(fleet: Fleet) -> None:
    node = fleet.node()

    assert "libtorch" not in Path(f"/proc/{node.pid}/maps").read_text()


def test_a_killed_child_costs_no_item_and_its_parent_goes_on(fleet: Fleet) -> None:
    node = fleet.node()
    job = fleet.submit(4000, spec=SLOW)
    for part in (0.2, 0.5):
        fleet.wait_until(lambda part=part: fleet.job(job).done > 4000 * part, "some way into the job")
        os.kill(child_of(fleet, node), signal.SIGKILL)
        fleet.wait_until(lambda: fleet.slots() != [], "a new child")
    ended = fleet.finished(job)

    assert (ended.state, ended.done, ended.failed) == (JobState.DONE, 4000, 0)
    assert fleet.indexes(job) == list(range(4000))
    assert node.poll() is None


def test_a_killed_node_costs_no_item_when_another_is_there(fleet: Fleet) -> None:
    fleet.beat()
    first = fleet.node()
    job = fleet.submit(4000, spec=SLOW)
    fleet.wait_until(lambda: fleet.job(job).done > 500, "some way into the job")
    fleet.node()
    os.killpg(first.pid, signal.SIGKILL)
    ended = fleet.finished(job)

    assert (ended.state, ended.done, ended.failed) == (JobState.DONE, 4000, 0)
    assert fleet.indexes(job) == list(range(4000))


def test_an_idle_slot_replaces_a_lost_ring_though_no_beat_runs(fleet: Fleet, valkey: "redis.Redis[bytes]") -> None:
    fleet.node()
    time.sleep(2)  # a slot rings when it registers; on busy cores it hears that ring late
    job = fleet.submit(640, ring=False)
    valkey.flushall()

    assert fleet.finished(job, seconds=20).done == 640


def test_a_drained_node_finishes_its_block_and_uses_no_attempt(fleet: Fleet) -> None:
    node = fleet.node()
    job = fleet.submit(6400, spec=SLOW, shard_size=6400)
    fleet.wait_until(lambda: fleet.slots()[0].state == "busy", "busy")
    time.sleep(0.5)
    node.terminate()
    status = node.wait(timeout=10)
    stopped = fleet.job(job).done
    fleet.node()
    fleet.ringer.ring(["cpu"])
    ended = fleet.finished(job)

    assert status == 0
    assert 0 < stopped < 6400
    assert stopped % 64 == 0
    assert ended.done == 6400
    assert {shard.attempts for shard in fleet.shards()} == {1}


def test_a_poison_item_is_quarantined_and_all_others_are_delivered(fleet: Fleet) -> None:
    node = fleet.node()
    job = fleet.submit(64, spec={"faults": {"23": "exit"}})
    ended = fleet.finished(job, seconds=90)

    assert (ended.state, ended.done, ended.failed) == (JobState.DONE, 63, 1)
    assert fleet.indexes(job) == [index for index in range(64) if index != 23]
    assert node.poll() is None


def test_items_that_fail_are_counted_and_cost_no_others(fleet: Fleet) -> None:
    fleet.node()
    ended = fleet.finished(fleet.submit(1000, spec={"faults": {"5": "item", "700": "item"}}))

    assert (ended.state, ended.done, ended.failed) == (JobState.DONE, 998, 2)


def test_messages_that_are_not_ours_are_ignored_and_the_node_lives(fleet: Fleet) -> None:
    node = fleet.node()
    app = fleet.ringer._app
    app.send_task("worker.tasks.ring", kwargs={"v": 99, "shard": 1}, queue="cpu")
    app.send_task("worker.tasks.remove_everything", queue="cpu")
    with app.connection_for_write() as connection, connection.Producer() as producer:
        producer.publish(
            b"\x80\x04.", routing_key="cpu", content_type="application/x-python-serialize", content_encoding="binary"
        )
    ended = fleet.finished(fleet.submit(640))

    assert ended.done == 640
    assert node.poll() is None
