"""Claims: how many shards a second PostgreSQL hands out, and how long one claim takes while a fleet asks.

64 slots in a few processes, each a thread with a connection of its own, call `core.ledger.leases.claim` as a worker
does: begin, one function, commit, `synchronous_commit` on. What they claim is shards of one block of one job of one
owner, so every claim waits for the same two rows; several owners are no faster, since all choose the same one.
One cycle holds the claim alone: what was claimed is marked done fifty times a second by one statement of somebody else,
as cheaply as it can be, so that no more shards lie open than slots would hold. The cycle that a null worker really
goes through, claim and `finish`, is told beside it, and so are heartbeats.

At 100 a second offered, claims fall due by lot (Poisson) and wait for a free slot; each is timed from when it was due,
so that a stall counts for all who would have come meanwhile.
"""

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from bench import crew
from bench.instance import servers
from bench.row import Row, percentile
from core.catalogue.database import Database
from core.catalogue.owners import ensure
from core.catalogue.tables import Job
from core.ledger.jobs import Submission, order, submit
from core.ledger.leases import BLOCK
from core.ledger.slots import Slot

CLAIMERS: Final = 64
FEW: Final = 4
PROCESSES: Final = 4
SECONDS: Final = 10.0
OFFERED: Final = 100.0  # claims a second
OFFERED_SECONDS: Final = 30.0
MILLIONS: Final = 10_000_000
OPEN_JOBS: Final = 1_000
OTHER_OWNERS: Final = 100
SWEEP_SECONDS: Final = 0.02
SLOT: Final = Slot("bench", "bench", 1, 1, "cpu", "cpu", "bench", "0", 1)

SWEEP: Final = sa.text(
    "UPDATE shard SET state = 'done', finished_at = clock_timestamp() WHERE state = 'leased' AND slot_id IS NOT NULL"
)


def measure() -> list[Row]:
    """Run PostgreSQL and ask it from all sides."""
    with tempfile.TemporaryDirectory(prefix="vyaz-bench-") as folder, servers(Path(folder) / "data") as pair:
        url = pair.database_url
        with _job(url):
            flood = _flood(url, "claim")
        with _job(url):
            waits = _offer(url)
        with _job(url):
            cycles = _flood(url, "cycle")
        with _job(url):
            beats = _flood(url, "beat")
        with _job(url), _open_jobs(url):
            crowded = _flood(url, "claim", FEW)
    return [
        Row("claims/s, 64 claimers back to back", len(flood) / SECONDS, 400, "claims/s", "higher"),
        Row("claims at 100/s offered: p99 from when due", 1000 * percentile(waits, 99), 100, "ms", "lower"),
        Row("claims at 100/s offered: median", 1000 * percentile(waits, 50), None, "ms", "lower"),
        Row("claim and finish, 64 slots back to back", len(cycles) / SECONDS, None, "shards/s", "higher"),
        Row("heartbeats of 64 slots with a shard, back to back", len(beats) / SECONDS, None, "beats/s", "higher"),
        Row(
            f"claims/s with {OPEN_JOBS:,} other jobs waiting, {FEW} claimers",
            len(crowded) / SECONDS,
            None,
            "claims/s",
            "higher",
        ),
    ]


def _flood(url: str, what: str, claimers: int = CLAIMERS) -> list[float]:
    """Seconds of each call of slots that never pause."""
    return _ask(url, claimers, {"what": what, "seconds": SECONDS, "rate": None})


def _offer(url: str) -> list[float]:
    """Seconds of each claim from when it was due."""
    return _ask(url, CLAIMERS, {"what": "claim", "seconds": OFFERED_SECONDS, "rate": OFFERED / PROCESSES})


def _ask(url: str, claimers: int, given: dict[str, Any]) -> list[float]:
    orders = [{**given, "url": url, "claimers": claimers // PROCESSES, "seed": seed} for seed in range(PROCESSES)]
    # A cycle finishes its own, and a heartbeat needs a lease that lasts.
    with _sweeping(url) if given["what"] == "claim" else contextlib.nullcontext():
        return [seconds for each in crew.work("bench.claimers", orders) for seconds in each]


@contextlib.contextmanager
def _job(url: str) -> Iterator[None]:
    """One job of ten million items whose shards are one block each, because that is how slow it is said to be."""
    database = Database(url, size=1)
    with database.transaction() as session:
        owner = ensure(session, "bench").id
        job = submit(session, owner, Submission("null", {"rows": False}, MILLIONS, queues=("cpu",)))
        job.seconds_per_item = {SLOT.device_class: 20.0 / BLOCK}
    yield
    with database.transaction() as session:
        order(session, owner, job.id, "cancel")
        session.execute(sa.text("DELETE FROM worker"))
    database.close()


@contextlib.contextmanager
def _open_jobs(url: str) -> Iterator[None]:
    """Many jobs of other owners, all behind the one that is claimed from: every claim looks at each."""
    database = Database(url, size=1)
    with database.transaction() as session:
        owners = [ensure(session, f"other-{number}") for number in range(OTHER_OWNERS)]
        for owner in owners:
            owner.virtual_time = [1e9, 1e9]
        session.flush()
        waiting = {"kind": "null", "spec": {}, "seed": 0, "total": MILLIONS, "priority": 1, "queues": ["cpu"]}
        mine = [{**waiting, "owner_id": owners[number % OTHER_OWNERS].id} for number in range(OPEN_JOBS)]
        session.execute(sa.insert(Job), mine)
    yield
    with database.transaction() as session:
        session.execute(sa.delete(Job).where(Job.owner_id.in_([owner.id for owner in owners])))
    database.close()


@contextlib.contextmanager
def _sweeping(url: str) -> Iterator[None]:
    """Mark done what was claimed, again and again."""
    database, over = Database(url, size=1), threading.Event()

    def sweep() -> None:
        while not over.wait(SWEEP_SECONDS):
            with database.transaction() as session:
                session.execute(SWEEP)

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        database.close()
