"""What users tell a job of ten million, over HTTP to a real API: submit, pause, resume, re-prioritise, cancel.

The rows that a submission writes are counted over all tables. That nothing calls the broker before the answer is shown
by stopping Valkey (SIGSTOP): a call to it would wait for its time-out of a second, and every submission is answered as
before.
"""

import contextlib
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from bench.instance import Running, running
from bench.row import Row, percentile
from core.catalogue.tables import Table
from core.ledger.jobs import Submission, submit
from vyaz.client import Client
from vyaz.up import orphans

MILLIONS: Final = 10_000_000
PAIRS: Final = ("AK", "ЇЖ")
TIMES: Final = 40
SUBMITTED: Final = "submit 10,000,000 variants"


def measure() -> list[Row]:
    """Run one instance and order it about."""
    with tempfile.TemporaryDirectory(prefix="vyaz-bench-") as folder, running(Path(folder) / "data") as instance:
        client = instance.client
        rows = [Row(f"{SUBMITTED}: rows written", count_rows(instance), 3, "rows", "lower")]
        _submit(client)  # the first one fills pools
        rows.append(_row(f"{SUBMITTED}: p95", [_submit(client) for _ in range(TIMES)], 200))
        with _valkey_stopped(instance):
            stopped = [_submit(client) for _ in range(TIMES)]
        rows.append(_row(f"{SUBMITTED} with Valkey stopped: p95", stopped, 200))
        orders = [_order(client) for _ in range(TIMES)]
    names = {verb: f"{verb} of 10,000,000 variants: p95" for verb in orders[0]}
    return [*rows, *(_row(name, [each[verb] for each in orders], 100) for verb, name in names.items())]


def count_rows(instance: Running) -> int:
    """Rows in all tables that one submission of ten million adds."""
    with instance.database.transaction() as session:
        owner_id = session.scalar(sa.text("SELECT id FROM owner LIMIT 1"))
        before = _count(instance)
        submit(session, owner_id, Submission("null", {}, MILLIONS, queues=("gpu",)))
    return _count(instance) - before


def _submit(client: Client) -> float:
    """Seconds of one submission, which is cancelled then: a pile of open jobs is another figure."""
    began = time.perf_counter()
    # No slot serves this queue, so nothing comes of it meanwhile.
    job = client.jobs.generate(PAIRS, count=MILLIONS, device="gpu", wait_for_worker=True)
    seconds = time.perf_counter() - began
    job.cancel()
    return seconds


def _order(client: Client) -> dict[str, float]:
    """Seconds of each order to one job that a worker is working on."""
    job = client.jobs.null(MILLIONS, seconds_per_item=0.01, rows=False)
    return {
        "pause": _timed(job.pause),
        "resume": _timed(job.resume),
        "re-prioritise": _timed(lambda: client.jobs.reprioritise(job.id, "bulk")),
        "cancel": _timed(job.cancel),
    }


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _row(name: str, seconds: list[float], goal: float) -> Row:
    return Row(name, 1000 * percentile(seconds, 95), goal, "ms", "lower")


@contextlib.contextmanager
def _valkey_stopped(instance: Running) -> Iterator[None]:
    (valkey,) = orphans.find_programs("valkey-server", instance.folder.valkey)
    orphans.send(valkey, signal.SIGSTOP)
    try:
        yield
    finally:
        orphans.send(valkey, signal.SIGCONT)


def _count(instance: Running) -> int:
    with instance.database.transaction() as session:
        tables = Table.metadata.sorted_tables
        return sum(session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables)
