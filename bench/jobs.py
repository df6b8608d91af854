"""What the queue, the ledger and the store cost: a job on a whole Vyaz beside the bare loop of the same work.

The peer makes variants of the same letters with the same weights and the same judge in one process, from recipe to PNG
bytes, and keeps nothing. The job of 20,000 goes through API, PostgreSQL, Valkey, a Celery worker and the object store,
fsync and all. Both are warm. The loop runs before and after the job, on fewer items; rates are compared.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from bench.instance import Running, running
from bench.row import Row
from core.catalogue.tables import Shard

COUNT: Final = 20_000
BARE: Final = 4_096
PAIRS: Final = ("AK", "ЇЖ")
SEED: Final = 11
ROUNDS: Final = 1  # a round is some minutes
WARM: Final = 512
FIRSTS: Final = 6  # jobs whose first pictures are waited for
REST_SECONDS: Final = 10.0  # in which a worker comes to rest


def measure() -> list[Row]:
    """Run one instance and measure on it."""
    with tempfile.TemporaryDirectory(prefix="vyaz-bench-") as folder, running(Path(folder) / "data") as instance:
        time.sleep(REST_SECONDS)
        firsts = [_wait_for_pictures(instance) for _ in range(FIRSTS)]
        instance.client.jobs.generate(PAIRS, count=WARM, seed=SEED).wait()
        bare, ratios, rates = [_run_bare_loop()], [], []
        for _ in range(ROUNDS):
            rates.append(_run_job(instance, COUNT))
            bare.append(_run_bare_loop())
            ratios.append(rates[-1] / statistics.mean(bare[-2:]))
        with instance.database.transaction() as session:
            stored = sa.select(sa.func.sum(Shard.size) / sa.func.sum(Shard.stop - Shard.start))
            size = float(session.scalar(stored.where(Shard.size.is_not(None))) or 0)
    return [
        Row("20,000-variant job against the bare loop", statistics.median(ratios), 0.95, "x its rate", "higher"),
        Row("the job itself, one slot on all cores", statistics.median(rates), None, "variants/s", "higher"),
        Row("bytes of a variant in its shard", size, None, "bytes", "lower"),
        Row("first pictures of a worker's first job", firsts[0], 5, "s", "lower"),
        Row("first pictures of a later job", statistics.median(firsts[1:]), 5, "s", "lower"),
    ]


def _wait_for_pictures(instance: Running) -> float:
    """Seconds from the submission of a large job, while the only worker is free, until its first pictures are there."""
    began = time.perf_counter()
    job = instance.client.jobs.generate(PAIRS, count=COUNT, seed=SEED)
    while not job.refresh().done:
        time.sleep(0.02)
    waited = time.perf_counter() - began
    job.cancel()
    time.sleep(REST_SECONDS)
    return waited


def _run_job(instance: Running, count: int) -> float:
    """Variants a second, from the submission to the answer that all is done."""
    began = time.perf_counter()
    instance.client.jobs.generate(PAIRS, count=count, seed=SEED).wait()
    return count / (time.perf_counter() - began)


def _run_bare_loop() -> float:
    """Variants a second in a process of its own, start-up and loading left out."""
    argv = [sys.executable, "-m", "bench.bare_loop"]
    given = json.dumps({"pairs": PAIRS, "count": BARE, "seed": SEED})
    answer = subprocess.run(argv, input=given.encode(), capture_output=True, check=True)
    return BARE / float(answer.stdout)
