"""Vyaz beside three ways to make the same variants: one Celery task an image, a loop over seeds, Ray Data.

All have the same weights, letters and size of picture, a process a core, and one thread a process; Vyaz is a whole
instance with as many slots, from the submission to the end of the job. It runs before and after each peer, so that a
busy machine slows both; rates are compared, since the slow peers make fewer. What each peer leaves out stands at the
head of its file.
"""

import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy as sa

from bench import celery_peer, crew
from bench.instance import CORES, Running, child, running
from bench.row import Row
from core.catalogue.tables import Job
from vyaz.up.processes import Command

PAIRS: Final = ("AK", "ЇЖ")
SEED: Final = 11
COUNT: Final = 1_024
WARM: Final = 256
TASKS: Final = 128  # images of the slow peers, in all processes
PATIENCE: Final = 300.0  # seconds


def measure() -> list[Row]:
    """Run one instance, and each peer in its turn."""
    with tempfile.TemporaryDirectory(prefix="vyaz-bench-") as folder:
        scratch = Path(folder)
        with running(scratch / "data", workers=CORES) as instance:
            _run_job(instance, WARM)
            own = [_run_job(instance)]
            celery = _run_celery(instance, scratch)
            own.append(_run_job(instance))
            script, single = _run_loop("script", scratch), _run_loop("own", scratch)
            own.append(_run_job(instance))
            ray = _run_ray(instance, scratch)
            own += [_run_job(instance)] if ray is not None else []
    first, second, *third = [statistics.mean(pair) for pair in pairwise(own)]
    rows = [
        Row("Vyaz over one Celery task per image, save_image and INSERT", first / celery, 10, "x", "higher"),
        Row("Vyaz over a seed-by-seed loop, PNG per image", second / script, 2, "x", "higher"),
        Row("the same, the loop with Vyaz's own composer at batch 1", second / single, None, "x", "higher"),
        Row(
            "variants of two letters, one slot of one thread a core", statistics.mean(own), None, "variants/s", "higher"
        ),
    ]
    if ray is not None:
        rows.append(
            Row("Vyaz over Ray Data map_batches, same composer, tar and rows", third[0] / ray, 1.2, "x", "higher")
        )
    return rows


def _run_job(instance: Running, count: int = COUNT) -> float:
    """Variants a second of Vyaz."""
    began = time.perf_counter()
    instance.client.jobs.generate(PAIRS, count=count, seed=SEED).wait()
    return count / (time.perf_counter() - began)


def _run_loop(way: str, scratch: Path) -> float:
    """Images a second of a loop a core."""
    folder = scratch / way
    folder.mkdir()
    cuts = [TASKS * place // CORES for place in range(CORES + 1)]
    orders = [{"way": way, "folder": str(folder), "start": start, "stop": stop} for start, stop in pairwise(cuts)]
    return float(sum(crew.work("bench.seed_loop", orders)))


def _run_celery(instance: Running, scratch: Path) -> float:
    """Images a second, from the first task's sending to the last row."""
    folder = scratch / "celery"
    folder.mkdir()
    argv = ("celery", "--app", "bench.celery_peer", "worker", "--queues", celery_peer.QUEUE, "--hostname", "peer@%h")
    worker = Command("peer", (sys.executable, "-m", *argv, "--concurrency", str(CORES)))
    with psycopg.connect(instance.database_url, autocommit=True) as connection, child(instance, worker):
        connection.execute(f"CREATE TABLE {celery_peer.TABLE} (LIKE variant INCLUDING ALL)")
        _send(instance, folder, range(4 * CORES))
        _await_rows(connection, 4 * CORES)
        began = time.perf_counter()
        _send(instance, folder, range(1_000, 1_000 + TASKS))
        _await_rows(connection, 4 * CORES + TASKS)
        return TASKS / (time.perf_counter() - began)


def _send(instance: Running, folder: Path, seeds: range) -> None:
    app = celery_peer.connect(instance.broker_url)
    for seed in seeds:
        task = {"seed": seed, "letters": PAIRS[seed % len(PAIRS)], "folder": str(folder)}
        app.send_task(celery_peer.TASK, kwargs=task, queue=celery_peer.QUEUE)
    app.close()


def _await_rows(connection: psycopg.Connection, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = connection.execute(f"SELECT count(*) FROM {celery_peer.TABLE}").fetchone()  # noqa: S608
        if found is not None and found[0] >= count:
            return
        time.sleep(0.05)
    raise TimeoutError(f"the Celery peer did not make {count} images within {PATIENCE:g} s")


def _run_ray(instance: Running, scratch: Path) -> float | None:
    """Variants a second of Ray Data; None where it is not installed."""
    if find_spec("ray") is None:
        print("Ray is not installed (pip install 'vyaz[bench]'): its row is left out", file=sys.stderr)
        return None
    # No slot serves this queue: the job is only there for the peer's rows to belong to.
    job = instance.client.jobs.generate(PAIRS, count=COUNT, device="gpu", wait_for_worker=True)
    with instance.database.transaction() as session:
        number = session.scalars(sa.select(Job.number).where(Job.id == job.id)).one()
    answer = scratch / "ray.json"
    given = ("--job", str(number), "--count", str(COUNT), "--answer", str(answer))
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    command = Command("ray", (sys.executable, "-m", "bench.ray_peer", *given), quiet)
    with child(instance, command) as process:
        if not process.wait(PATIENCE):
            raise RuntimeError(process.tail())
    with instance.database.transaction() as session:
        written = session.scalar(sa.text("SELECT count(*) FROM variant WHERE job_number = :job"), {"job": number})
    assert written == COUNT, f"Ray wrote {written} of {COUNT} rows"
    job.cancel()
    return float(answer.read_text())
