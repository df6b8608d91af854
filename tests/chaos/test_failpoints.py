"""Every failpoint in the sources, with a process that dies, fails or hangs there: the job ends as a clean run does."""

import ast
import os
import signal
import uuid
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from core.catalogue import keys
from core.catalogue.keys import Scope
from core.catalogue.tables import Fire, Job, Owner, Schedule
from core.ledger.jobs import clock
from core.requests import JobRequest, submit_request
from core.storage.blobs import Blobs
from tests.chaos.api import Door
from tests.chaos.conftest import MakeRig
from tests.chaos.rig import QUICK, SLOW, Measure, Rig
from tests.conftest import stand_by
from tests.core.training.slips import write_slips
from tests.tree import nodes, sources
from tests.worker.test_emnist import train

SHARD = (
    "claimed",
    "tar written",
    "tar put",
    "worked",
    "shard marked",
    "rows copied",
    "commit sent",
    "committed",
    "rung",
    "ring sent",
    "beaten",
)
"""What every shard passes that writes pictures."""
TROUBLE = ("slot registered", "returned", "crash recorded", "drained")
SCHEDULE = ("fire recorded", "schedule fired", "fire committed")
REQUEST = ("job row inserted", "answer due")
TRAINING = ("checkpoint written", "obsolete dropped")
UPKEEP = ("object deleted",)


def points() -> set[str]:
    """Every name that a source file passes to `reach`."""
    return {
        node.args[0].value
        for _, node in nodes(sources())
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reach"
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }


def meet(rig: Rig, point: str, action: str, total: int = 192, **options: object) -> uuid.UUID:
    """Have something happen at a point while a small job runs, and the job done nevertheless."""
    before = rig.taken()
    rig.arm(point, action)
    spec = SLOW if point == "beaten" else QUICK
    job = rig.submit(total, seed=5, shard_size=128, spec=spec, **options)
    rig.wait_until(lambda: rig.taken() > before, f"{point} passed", 60)
    rig.finished(job, 90)
    rig.check(job)
    return job


def test_every_point_is_met_by_a_test_below() -> None:
    assert points() == {*SHARD, *TROUBLE, *SCHEDULE, *REQUEST, *TRAINING, *UPKEEP}


def test_a_kill_between_any_two_effects_of_a_shard_costs_nothing(rig: Rig) -> None:
    rig.beat()
    for _ in range(2):
        rig.node()
    for point in SHARD:
        meet(rig, point, "kill")


def test_a_kill_while_trouble_is_dealt_with_costs_nothing(rig: Rig) -> None:
    rig.beat()
    for _ in range(2):
        rig.node()
    job = rig.submit(960, spec=SLOW, shard_size=960)
    rig.wait_until(lambda: rig.leased(job) != [], "leased")
    (busy,) = [slot for slot in rig.slots() if slot.shard_id is not None]
    for point in ("slot registered", "crash recorded"):
        rig.arm(point, "kill")
    psutil.Process(busy.pid).kill()
    rig.start_node()
    rig.wait_until(lambda: rig.taken() == 2, "both passed", 60)
    rig.finished(job, 90)
    rig.check(job)
    failing = rig.submit(64, spec=QUICK | {"faults": {"3": "shard"}})
    rig.arm("returned", "kill")
    rig.wait_until(lambda: rig.taken() == 3, "a shard returned", 60)
    rig.order(failing, "cancel")
    rig.have_nodes(2)
    rig.arm("drained", "kill")
    os.kill(rig.slots()[0].parent_pid, signal.SIGTERM)
    rig.wait_until(lambda: rig.taken() == 4, "drained", 60)
    last = rig.submit(192, seed=1, spec=QUICK)
    rig.have_nodes(1)
    rig.finished(last, 90)
    rig.check(last)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("action", ["raise", "hang", "stop"])
def test_an_error_or_a_standstill_between_any_two_effects_costs_nothing(make_rig: MakeRig, action: str) -> None:
    rig = make_rig(stall_seconds=3.0)
    for point in SHARD:
        rig.beat()
        rig.have_nodes(2)
        meet(rig, point, action)
        rig.kill_all()


def due_now(rig: Rig, count: int) -> uuid.UUID:
    """A schedule that is due once, for a job of so many items."""
    with rig.database.transaction() as session:
        owner = session.scalar(sa.select(Owner)) or Owner(name="studio")
        session.add(owner)
        session.flush()
        request = {"kind": "null", "count": count, "spec": {"pictures": True}}
        rule = {"cron": "0 0 1 1 *", "timezone": "UTC", "request": request, "next_due_at": clock(session)}
        schedule = Schedule(owner_id=owner.id, name=uuid.uuid4().hex, **rule)
        session.add(schedule)
        session.flush()
        return schedule.id


def test_a_beat_that_dies_while_it_fires_neither_loses_nor_doubles_a_job(rig: Rig) -> None:
    rig.node()
    for number, point in enumerate(SCHEDULE, start=1):
        rig.arm(point, "kill")
        schedule = due_now(rig, 64 * number)
        for _ in range(2):
            rig.beat()
        rig.wait_until(lambda: any(one.poll() is not None for one in rig.processes[-2:]), "a beat died", 60)
        fired = sa.select(Job).join(Fire, Fire.job_id == Job.id).where(Fire.schedule_id == schedule)
        rig.wait_until(lambda fired=fired: len(rig.rows(fired)) == 1, "fired", 60)
        (job,) = rig.rows(fired)
        rig.finished(job.id, 60)
        rig.check(job.id)
        for beat in rig.processes[-2:]:
            if beat.poll() is None:
                rig.kill(beat)

    assert len(rig.rows(sa.select(Job))) == len(SCHEDULE)


def test_a_request_whose_server_dies_is_one_job_when_it_is_sent_again(rig: Rig) -> None:
    rig.node()
    with rig.database.transaction() as session:
        key = keys.create(session, "studio", "chaos", Scope.WRITE)[1]
    with Door(rig, key) as door:
        for number, point in enumerate(REQUEST):
            rig.arm(point, "kill")
            job = door.submit_surely({"kind": "null", "count": 64, "spec": {"pictures": True}}, f"key-{number}")

            assert door.submit_surely({"kind": "null", "count": 64, "spec": {"pictures": True}}, f"key-{number}") == job
            rig.finished(uuid.UUID(job), 60)
            rig.check(uuid.UUID(job))

    assert len(rig.rows(sa.select(Job))) == len(REQUEST) == rig.taken()


def test_a_sweep_killed_between_two_objects_takes_what_is_left_and_nothing_else(rig: Rig) -> None:
    rig.beat()
    rig.node()
    made = rig.submit(192, seed=4, spec=QUICK)
    rig.finished(made, 60)
    blobs = Blobs.open(rig.settings.store)
    orphans = [f"jobs/{made}/{start:010d}-{start + 64:010d}.9.tar" for start in range(0, 256, 64)]
    orphans += [f"weights/{'ab' * 32}.safetensors", f"checkpoints/{uuid.uuid4()}/0000000001-0.safetensors"]
    for key in orphans:
        blobs.put(key, b"bytes that nobody refers to")
    rig.arm(UPKEEP[0], "kill", times=2)
    with rig.database.transaction() as session:
        owner = session.scalars(sa.select(Owner)).one()
        sweep = submit_request(session, owner.id, JobRequest(kind="gc", spec={"grace_seconds": 0.0}))
    rig.ringer.ring(["cpu"])
    swept = rig.finished(sweep.id, 60)

    assert (swept.state, rig.taken()) == ("done", 2), swept.reason
    assert swept.result["counts"]["deleted"] == len(orphans) - 2
    assert not any(blobs.exists(key) for key in orphans)
    rig.check(made)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_60_requests_whose_server_dies_are_60_jobs(rig: Rig, measure: Measure) -> None:
    with rig.database.transaction() as session:
        key = keys.create(session, "studio", "chaos", Scope.WRITE)[1]
    stand_by(rig.database)
    made = []
    with Door(rig, key) as door:
        for number in range(60):
            rig.arm(REQUEST[number % 2], "kill")
            made.append(door.submit_surely({"kind": "null", "count": 1}, f"key-{number}"))

    assert sorted(made) == sorted(str(job.id) for job in rig.rows(sa.select(Job)))
    measure.count("API killed in a request, sent again under its key", "one job each", f"{len(set(made))} of 60", 60)


@pytest.mark.chaos
def test_a_training_killed_around_its_checkpoint_goes_on_from_the_last_one(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig(segment_seconds=0.2, shared_segment_seconds=0.2)
    write_slips(tmp_path / "nist", "LATP" * 10)
    rig.beat()
    rig.node()
    for point in TRAINING:
        rig.arm(point, "kill")
    _, training = train(rig, tmp_path / "nist")
    ended = rig.finished(training, 200)

    assert ended.state == "done", ended.reason
    assert rig.taken() == len(TRAINING)
