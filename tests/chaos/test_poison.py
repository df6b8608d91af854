"""One item that kills, fails or never ends: it alone is lost, in at most ten crashes, and a hopeless job is paused."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Event, Job
from tests.chaos.conftest import MakeRig
from tests.chaos.rig import QUICK, Measure, Rig

ITEMS, POISON = 100, 23
MEMORY = Path("/sys/fs/cgroup/memory")


def crashes(rig: Rig, job_id: uuid.UUID) -> int:
    """How often a lease of the job ended badly."""
    mine = sa.select(Event.id).join(Job, Job.number == Event.job_number).where(Job.id == job_id)
    return len(rig.rows(mine.where(Event.what == "crashed")))


def isolate(rig: Rig, fault: str, poison: int = POISON) -> int:
    """Have a job with one poison item done; how many crashes that took."""
    job = rig.submit(ITEMS, seed=4, spec=QUICK | {"faults": {str(poison): fault}})
    healthy = rig.submit(640, seed=5, spec=QUICK)
    rig.finished(job, 280)
    rig.finished(healthy, 60)
    rig.check(healthy)
    rig.check(job, (poison,))
    return crashes(rig, job)


@pytest.mark.parametrize("fault", ["raise", pytest.param("segfault", marks=pytest.mark.chaos)])
def test_a_poison_item_is_isolated_in_ten_crashes(rig: Rig, measure: Measure, fault: str) -> None:
    rig.beat()
    rig.node()
    took = isolate(rig, fault)

    assert took <= 10
    measure.count(f"poison item: {fault}", "<= 10 crashes, all others delivered", f"{took} crashes", 1)


@pytest.mark.chaos
def test_a_poison_item_at_the_very_beginning_does_not_stop_its_job(rig: Rig) -> None:
    rig.node()

    assert isolate(rig, "raise", poison=0) <= 10


def test_an_item_without_end_is_ended_though_its_heart_beats(make_rig: MakeRig, measure: Measure) -> None:
    rig = make_rig(stall_seconds=2.0)
    rig.node()
    job = rig.submit(1, spec=QUICK | {"faults": {"0": "spin"}})
    rig.finished(job, 120)

    assert rig.job(job).failed == 1
    assert crashes(rig, job) == 3
    measure.count("item without end, alone", "quarantined after 3", f"{crashes(rig, job)} crashes", 1)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_an_item_without_end_among_a_hundred_is_isolated_in_ten_crashes(make_rig: MakeRig, measure: Measure) -> None:
    rig = make_rig(stall_seconds=4.0)
    rig.beat()
    for _ in range(2):
        rig.node()
    took = isolate(rig, "spin")

    assert took <= 10
    measure.count("poison item: endless loop", "<= 10 crashes, all others delivered", f"{took} crashes", 1)


def test_a_job_of_which_nothing_can_be_made_is_paused_with_the_reason(rig: Rig) -> None:
    rig.node()
    job = rig.submit(6400, shard_size=64, spec={"faults": {str(64 * number): "shard" for number in range(100)}})
    rig.wait_until(lambda: rig.job(job).state == "paused", "paused", 60)

    assert "none of its first 8 shards could be made" in (rig.job(job).reason or "")
    assert "was told to fail its shard" in (rig.job(job).reason or "")


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A control group of 300 MiB."""
    group = MEMORY / f"vyaz-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
    except OSError as error:
        pytest.skip(f"no memory limit can be set here (cgroup v1, as root): {error}")
    yield group
    group.rmdir()


@pytest.mark.chaos
def test_a_slot_that_runs_out_of_memory_is_replaced_and_its_item_set_aside(
    rig: Rig, small_memory: Path, measure: Measure
) -> None:
    node = rig.node()
    (small_memory / "cgroup.procs").write_text(str(node.pid))
    (small_memory / "cgroup.procs").write_text(str(rig.child(node).pid))
    took = isolate(rig, "memory")

    assert took <= 10
    assert node.poll() is None
    (MEMORY / "cgroup.procs").write_text(str(node.pid))
    rig.kill(node)
    measure.count("killed for want of memory", "<= 10 crashes, parent lives", f"{took} crashes", 1)
