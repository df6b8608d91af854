"""How many slots can share one job: null work that only sleeps, so that cores are free however many there are.

One Celery parent with N prefork children: each is a slot with its own lease, heartbeats, rings and connections, as a
node with N devices has them. Each slot gets six shards of three seconds. A rate is all items over the time from the
submission to the end of the job, so waking the slots, claims, finishes and the last shards are in it; N slots are
compared with N times one slot.
"""

import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from bench.instance import child, servers
from bench.row import Row
from core.broker import connect
from core.catalogue.database import Database
from core.catalogue.owners import ensure
from core.catalogue.tables import Job, Worker
from core.ledger.jobs import Submission, submit
from core.ledger.leases import BLOCK
from core.ledger.rings import Ringer
from core.ledger.states import JobState, SlotState
from core.settings import Settings
from vyaz.up import commands
from vyaz.up.processes import Command
from vyaz.up.servers import ServerPair

SLOTS: Final = (1, 2, 8, 32, 64)
SHARDS: Final = 6  # a slot
SHARD_SECONDS: Final = 3.2
START_SECONDS: Final = 120.0
PATIENCE: Final = 600.0  # seconds
GOALS: Final = {2: 0.95, 8: 0.95, 32: 0.95}


def measure() -> list[Row]:
    """Run the servers, beat, and one node after another."""
    with (
        tempfile.TemporaryDirectory(prefix="vyaz-bench-") as folder,
        servers(Path(folder) / "data") as pair,
        child(pair, commands.beat()),
    ):
        rates = {slots: _race(pair, slots) for slots in SLOTS}
    return [
        Row(
            f"sleeping work: {slots} slots over {slots} times one slot",
            rate / slots / rates[1],
            GOALS.get(slots),
            "x",
            "higher",
        )
        for slots, rate in rates.items()
        if slots > 1
    ]


def _race(pair: ServerPair, slots: int) -> float:
    """Items a second of so many slots."""
    database = Database(pair.database_url, size=2)
    with child(pair, _node(slots)):
        _await_slots(database, slots)
        job = _submit(pair, database, slots * SHARDS * BLOCK)
        seconds = _await_end(database, job)
    with database.transaction() as session:
        session.execute(sa.delete(Worker))
    database.close()
    print(f"{slots} slots: {seconds:.1f} s, of which {SHARDS * SHARD_SECONDS:.1f} s of sleep", file=sys.stderr)
    return slots * SHARDS * BLOCK / seconds


def _node(slots: int) -> Command:
    """The worker that `vyaz up` starts, with more children."""
    one = commands.worker("cpu", 1, "cpu", threads=1)
    argv = list(one.argv)
    argv[argv.index("--concurrency") + 1] = str(slots)
    return Command(one.name, tuple(argv), one.environment, grace=one.grace)


def _submit(pair: ServerPair, database: Database, total: int) -> uuid.UUID:
    spec = {"seconds_per_item": SHARD_SECONDS / BLOCK, "rows": False}
    with database.transaction() as session:
        owner = ensure(session, "bench").id
        job = submit(session, owner, Submission("null", spec, total, queues=("cpu",), shard_size=BLOCK))
    ringer = Ringer(connect(Settings(broker_url=pair.broker_url)))
    ringer.ring(["cpu"])
    ringer.close()
    return job.id


def _await_slots(database: Database, slots: int) -> None:
    """Wait until all are there and idle; raises `TimeoutError`."""
    idle = sa.select(sa.func.count()).select_from(Worker).where(Worker.state == SlotState.IDLE)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with database.transaction() as session:
            if session.scalar(idle) == slots:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{slots} slots did not register within {START_SECONDS:g} s")


def _await_end(database: Database, job_id: uuid.UUID) -> float:
    """Wait for the job; seconds from its submission to its end by PostgreSQL's clock."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with database.transaction() as session:
            job = session.get_one(Job, job_id)
            if job.state == JobState.DONE:
                assert job.finished_at is not None
                return (job.finished_at - job.created_at).total_seconds()
        time.sleep(0.1)
    raise TimeoutError(f"the job stands at {job.done} of {job.total}")
