"""What a long job leaves in memory: of Valkey while ten million items are worked through, of a worker over a million.

Both are null jobs on a whole instance with one slot: nothing is drawn, but every shard is claimed, beaten for, finished
and rung for as any other. Ten million items in shards of ten thousand ring Valkey a thousand times; it is asked ten
times a second how much it holds. The million writes its rows into the catalogue, a hundred shards in one process.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from psutil import Process
from redis import Redis

from bench.instance import Running, running
from bench.row import Row
from core.catalogue.tables import Worker
from core.ledger.states import SlotState
from vyaz.resources.jobs import Job

MILLIONS: Final = 10_000_000
MILLION: Final = 1_000_000
SHARD: Final = 10_000  # items
EARLY: Final = 100_000  # items
LOOK_SECONDS: Final = 0.1
QUIET_SECONDS: Final = 15.0
MB: Final = 1e6


def measure() -> list[Row]:
    """Run one instance, and watch both."""
    with tempfile.TemporaryDirectory(prefix="vyaz-bench-") as folder, running(Path(folder) / "data") as instance:
        instance.client.jobs.null(SHARD, shard_size=1_000).wait()  # Celery's own keys come with the first ring
        most, more = _watch_valkey(instance)
        early, late = _watch_worker(instance)
    return [
        Row("Valkey memory while 10,000,000 items are worked through: most", most, 32, "MB", "lower"),
        Row("Valkey keys after that job that were not there before", more, 0, "keys", "lower"),
        Row("memory of a worker's process after 100,000 variants", early, None, "MB", "lower"),
        Row("memory of a worker's process: 1,000,000 variants over 100,000", late / early, 1.05, "x", "lower"),
    ]


def _watch_valkey(instance: Running) -> tuple[float, int]:
    """The most that it held, in MB, and how many keys stayed."""
    with Redis.from_url(instance.valkey_url) as valkey:
        before = _settle(valkey)
        job = instance.client.jobs.null(MILLIONS, rows=False, shard_size=SHARD)
        most = max(_memory(valkey) for _ in _until_done(job))
        return most / MB, len(_settle(valkey) - before)


def _watch_worker(instance: Running) -> tuple[float, float]:
    """Resident memory in MB of the slot's process early in a job of a million, and at its end."""
    process, early = _slot(instance), None
    for job in _until_done(instance.client.jobs.null(MILLION, shard_size=SHARD)):
        if early is None and job.done >= EARLY:
            early = process.memory_info().rss
    assert _slot(instance) == process, "the slot's process was replaced meanwhile"
    late = process.memory_info().rss
    return (early or late) / MB, late / MB


def _until_done(job: Job) -> Iterator[Job]:
    """The job as it stands, ten times a second, to its end."""
    while not job.finished:
        job = job.refresh()
        yield job
        time.sleep(LOOK_SECONDS)


def _memory(valkey: "Redis") -> int:
    told: int = valkey.info("memory")["used_memory"]
    return told


def _settle(valkey: "Redis") -> set[bytes]:
    """Its keys when no ring is under way any more: those that are there whenever it is looked at for a second."""
    until = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < until:
        looks = []
        for _ in range(10):
            looks.append(frozenset(valkey.scan_iter()))
            time.sleep(LOOK_SECONDS)
        if len(set(looks)) == 1:
            break
    return set(looks[-1])


def _slot(instance: Running) -> Process:
    with instance.database.transaction() as session:
        pid = session.scalars(sa.select(Worker.pid).where(Worker.state != SlotState.GONE)).one()
    return Process(pid)
