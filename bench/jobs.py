"""What the queue, the ledger and the store cost: a job on a whole Vyaz beside the bare loop of the same work.

The peer makes the same 5,000 variants with the same weights in one process, from recipe to PNG bytes, and keeps
nothing. The job does that through API, PostgreSQL, Valkey, a Celery worker and the object store, fsync and all.
Both are warm.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from bench.instance import Running, running
from bench.row import Row
from core.catalogue.tables import ModelVersion, Table
from core.ledger.jobs import Submission, submit

COUNT = 5_000
PAIRS = ("AK", "ЇЖ")
SEED = 11
MILLIONS = 10_000_000
SUBMITS = 20
ROUNDS = 2


def measure() -> list[Row]:
    """Run one instance and measure on it."""
    with tempfile.TemporaryDirectory(prefix="vyaz-bench-") as folder, running(Path(folder) / "data") as instance:
        instance.client.jobs.train("fonts", family="mlp", name="quick", minutes=0.25).wait()
        rows, seconds = measure_submit(instance)
        return [
            Row("5,000-variant job against the bare loop", measure_job(instance), 0.8, "x its rate", "higher"),
            Row("submit 10,000,000 variants: rows written", rows, 3, "rows", "lower"),
            Row("submit 10,000,000 variants: p95", seconds * 1000, 200, "ms", "lower"),
        ]


def measure_job(instance: Running) -> float:
    """The job's rate as a share of the bare loop's: the median of rounds, the two in turn."""
    instance.client.jobs.generate(PAIRS, count=512, seed=SEED, model="quick").wait()
    ratios = []
    for _ in range(ROUNDS):
        bare = run_bare_loop(instance)
        began = time.perf_counter()
        instance.client.jobs.generate(PAIRS, count=COUNT, seed=SEED, model="quick").wait()
        ratios.append(bare / (time.perf_counter() - began))
    return statistics.median(ratios)


def measure_submit(instance: Running) -> tuple[int, float]:
    """Rows written by one submission of ten million, and the 95th percentile of its seconds over HTTP."""
    with instance.database.transaction() as session:
        owner_id = session.scalar(sa.text("SELECT id FROM owner LIMIT 1"))
        before = _count_rows(instance)
        submit(session, owner_id, Submission("null", {}, MILLIONS, queues=("gpu",)))
    rows = _count_rows(instance) - before
    seconds = []
    for _ in range(SUBMITS):
        began = time.perf_counter()
        job = instance.client.jobs.generate(PAIRS, count=MILLIONS, seed=SEED, device="gpu")
        seconds.append(time.perf_counter() - began)
        job.cancel()
    return rows, sorted(seconds)[int(0.95 * SUBMITS) - 1]


def run_bare_loop(instance: Running) -> float:
    """Seconds of the same work in a process of its own, start-up and loading left out."""
    with instance.database.transaction() as session:
        version = session.scalars(sa.select(ModelVersion).order_by(ModelVersion.created_at.desc())).first()
        assert version is not None
        where = {"store": instance.store_url, "path": version.path, "digest": version.digest.hex()}
    argv = [sys.executable, "-m", "bench.bare_loop"]
    answer = subprocess.run(
        argv,
        input=json.dumps({**where, "pairs": PAIRS, "count": COUNT, "seed": SEED}).encode(),
        capture_output=True,
        check=True,
    )
    return float(answer.stdout)


def _count_rows(instance: Running) -> int:
    with instance.database.transaction() as session:
        tables = Table.metadata.sorted_tables
        return sum(session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables)
