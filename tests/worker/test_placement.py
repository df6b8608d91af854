"""Nodes that join by settings alone, and what their slots say of themselves."""

import os
import signal
import sys
from dataclasses import replace

import pytest

from core.errors import Invalid
from core.ledger.kinds import JobKind
from core.registry import Family
from tests.worker.conftest import Fleet
from vyaz.up import commands
from vyaz.up.processes import Command
from worker import device

VYAZ = (sys.executable, "-m", "vyaz", "worker")


def test_a_cpu_node_with_two_slots_joins_and_works_and_drains(fleet: Fleet) -> None:
    node = fleet.start(Command("joined", (*VYAZ, "--queue", "cpu", "--slots", "2")))
    fleet.wait_until(lambda: len(fleet.slots()) == 2, "two slots registered")
    job = fleet.submit(640, spec={"seconds_per_item": 0.002}, shard_size=64)
    ended = fleet.finished(job)
    slots = fleet.slots()
    workers = {shard.slot_id for shard in fleet.shards()}
    node.send_signal(signal.SIGTERM)

    assert ended.done == 640
    assert workers == {slot.id for slot in slots}
    assert {slot.parent_pid for slot in slots} == {node.pid}  # the command became the node
    assert all(slot.kinds == list(JobKind) and slot.families == list(Family) for slot in slots)
    assert all(slot.memory is not None and 2**20 < slot.memory <= _machine() // 2 for slot in slots)
    assert node.wait(30) == 0


def test_a_ring_taken_by_a_slot_that_cannot_use_it_is_passed_on(fleet: Fleet) -> None:
    small = replace(commands.worker("cpu", 1, "cpu"), environment={"VYAZ_SLOTS": "64"})
    for _ in range(2):
        fleet.start(small)
    fleet.node()
    fleet.wait_until(lambda: len(fleet.slots()) == 3, "three slots")
    jobs = []
    for _ in range(10):  # without a beat, which would replace a ring that came to nothing
        jobs.append(fleet.submit(64, needs={"memory": _machine() // 8}))
        fleet.finished(jobs[-1], 20)
    largest = max(fleet.slots(), key=lambda slot: slot.memory or 0)

    assert {shard.slot_id for shard in fleet.shards()} == {largest.id}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--queue", "gpu"), "does not fit the device"),
        (("--device", "cuda:0", "--slots", "2"), "a GPU has one slot"),
    ],
)
def test_a_node_that_could_not_work_does_not_start(fleet: Fleet, options: tuple[str, ...], said: str) -> None:
    node = fleet.start(Command("refused", (*VYAZ, *options)))

    assert node.wait(30) == 1
    assert said in fleet.log()


def test_a_slot_sees_its_own_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(device.VISIBLE, raising=False)

    assert (device.pin("cuda:3"), os.environ[device.VISIBLE]) == ("cuda:0", "3")


def test_a_place_among_visible_gpus_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device.VISIBLE, "GPU-a,GPU-b")

    assert (device.pin("cuda:1"), os.environ[device.VISIBLE]) == ("cuda:0", "GPU-b")
    monkeypatch.setenv(device.VISIBLE, "GPU-a")
    with pytest.raises(Invalid, match="names only 1"):
        device.pin("cuda:1")


def test_the_cpu_needs_no_pin() -> None:
    assert device.pin("cpu") == "cpu"


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
