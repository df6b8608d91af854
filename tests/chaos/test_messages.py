"""Rings that are doubled, out of order, forged or not ours, and several beats: a message decides nothing."""

import os
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Fire, Job
from tests.chaos.rig import QUICK, SLOW, Measure, Rig
from tests.chaos.test_failpoints import due_now

SKEWED = Path(__file__).with_name("skewed")


def forge(rig: Rig, times: int) -> None:
    """Rings of no meaning, other versions, unknown tasks and pickles, all on the real queue."""
    app = rig.ringer._app
    for number in range(times):
        app.send_task("worker.tasks.ring", kwargs={"v": 1, "queue": "cpu", "hops": number}, queue="cpu")
        app.send_task("worker.tasks.ring", kwargs={"v": 99, "shard": number}, queue="cpu")
        app.send_task("worker.tasks.ring", kwargs={"v": 1, "queue": "no such queue", "epoch": 3}, queue="cpu")
        app.send_task("worker.tasks.remove_everything", queue="cpu")
    with app.connection_for_write() as connection, connection.Producer() as producer:
        for kind in ("application/x-python-serialize", "application/json"):
            producer.publish(b"\x80\x04.", routing_key="cpu", content_type=kind, content_encoding="binary")


def test_doubled_forged_and_foreign_messages_change_nothing(rig: Rig) -> None:
    nodes = [rig.node(), rig.node()]
    job = rig.submit(1600, seed=8, spec=SLOW)
    for _ in range(5):
        rig.part_done(job, 0.01)
        forge(rig, 4)
    rig.finished(job, 90)

    rig.check(job)
    assert all(node.poll() is None for node in nodes)
    last = rig.submit(64, seed=9, spec=QUICK)
    rig.finished(last, 60)
    rig.check(last)


def fire_many(rig: Rig, beats: int, schedules: int) -> None:
    """Several beats at once, and schedules that all of them see due."""
    for _ in range(beats):
        rig.beat()
    made = [due_now(rig, 64) for _ in range(schedules)]
    rig.wait_until(lambda: len(rig.rows(sa.select(Fire.schedule_id))) == schedules, "all fired", 60)
    time.sleep(1)

    assert sorted(rig.rows(sa.select(Fire.schedule_id))) == sorted(made)
    assert len(rig.rows(sa.select(Job.id))) == schedules


def test_five_beats_at_once_fire_every_schedule_once(rig: Rig, measure: Measure) -> None:
    fire_many(rig, 5, 20)
    measure.count("five beats at once", "every schedule once", "20 of 20", 20)


@pytest.mark.chaos
@pytest.mark.parametrize("shift", [3600, -3600])
def test_processes_whose_clocks_are_off_by_an_hour_lose_no_lease(rig: Rig, measure: Measure, shift: int) -> None:
    path = os.pathsep.join([str(SKEWED), *filter(None, [os.environ.get("PYTHONPATH")])])
    rig.environment = {"PYTHONPATH": path, "CLOCK_SHIFT": str(shift)}
    rig.beat()
    rig.node()
    rig.environment = {}
    rig.node()
    job = rig.submit(1600, seed=8, spec=SLOW)
    rig.finished(job, 90)

    rig.check(job)
    assert {shard.attempts for shard in rig.shards()} == {1}
    measure.count(f"clocks of worker and beat off by {shift:+} s", "no lease lost", "none lost", 1)
