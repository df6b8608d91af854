"""A fleet on servers that a test may kill, with failpoints in every process and the oracle at hand."""

import os
import signal
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import redis
import sqlalchemy as sa

from core.catalogue.tables import Job, Shard
from core.errors import Unavailable
from core.failpoints import REACHED, TAKEN
from core.ledger import jobs
from core.ledger.states import JobState
from tests.chaos import oracle
from tests.worker.conftest import Fleet
from vyaz.up import commands
from vyaz.up.servers import ServerPair

CORES = os.cpu_count() or 1
SLOW = {"seconds_per_item": 0.004, "pictures": True}
QUICK = {"pictures": True}


@dataclass
class Measure:
    """Times against their bounds, kept as properties of the test for the report."""

    note: Callable[[str, object], None]

    def __call__(
        self, fault: str, seconds: list[float], median: float | None = None, worst: float | None = None
    ) -> None:
        """Note and check. The bounds are of a machine with free cores: on a busy one they stretch with its load."""
        stretch = self.stretch()
        middle, last = statistics.median(seconds), max(seconds)
        limits = {"median": median, "worst": worst}
        bounds = [f"{name} {limit:g} s" for name, limit in limits.items() if limit is not None]
        self.note("fault", fault)
        self.note("bound", ", ".join(bounds))
        self.note("measured", f"median {middle:.1f} s, worst {last:.1f} s")
        self.note("runs", len(seconds))
        self.note("load", f"{stretch * CORES:.1f}")

        assert median is None or middle <= median * stretch, (fault, seconds)
        assert worst is None or last <= worst * stretch, (fault, seconds)

    def stretch(self) -> float:
        """How much longer than on free cores things take now."""
        return max(1.0, os.getloadavg()[0] / CORES)

    def count(self, fault: str, bound: str, measured: str, runs: int) -> None:
        """Note a fault that is counted, not timed."""
        for name, value in (("fault", fault), ("bound", bound), ("measured", measured), ("runs", runs)):
            self.note(name, value)


@dataclass
class Rig(Fleet):
    """Nodes, beats and servers, and the means to harm them."""

    pair: ServerPair = field(kw_only=True)
    apart: bool = False
    """Whether nodes take themselves for machines of their own: then none can see that another one's process is dead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for folder in (REACHED, TAKEN):
            (self.points / folder).mkdir(parents=True, exist_ok=True)

    @property
    def points(self) -> Path:
        return Path(self.settings.failpoints)

    def arm(self, point: str, action: str, times: int = 1) -> None:
        """Leave an order for whichever process passes the point first."""
        number = len(list((self.points / TAKEN).iterdir())) + len(list(self.points.glob("*@*")))
        for each in range(times):
            (self.points / f"{point}@{action}@{number + each:06}").touch()

    def disarm(self) -> None:
        for order in self.points.glob("*@*"):
            order.unlink(missing_ok=True)

    def taken(self) -> int:
        """How many orders were carried out."""
        return len(list((self.points / TAKEN).iterdir()))

    def reached(self) -> set[str]:
        return {path.name for path in (self.points / REACHED).iterdir()}

    def start_node(self) -> None:
        """Start a node without waiting for its slot: the servers may be away."""
        number = len(self.processes) + 1
        command = commands.worker("cpu", number, "cpu")
        if self.apart:
            named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', f"machine-{number}")
            command = replace(command, argv=(*named, *command.argv))
        self.start(command)

    def have_nodes(self, count: int) -> None:
        """Start nodes until so many live, and wait until each has its slot."""
        parents = {slot.parent_pid for slot in self.slots()}
        for _ in range(count - len([one for one in self.processes if one.pid in parents and one.poll() is None])):
            self.start_node()
        alive = {process.pid for process in self.processes if process.poll() is None}
        self.wait_until(lambda: len({slot.parent_pid for slot in self.slots()} & alive) >= count, "all nodes are up")

    def jobs(self) -> list[Job]:
        """Every job; a database that is on its way up is waited for."""
        found: list[Job] = []

        def asked() -> bool:
            try:
                found[:] = self.rows(sa.select(Job))
            except Unavailable:
                return False
            return True

        self.wait_until(asked, "the database answers")
        return found

    def all_done(self) -> bool:
        return all(job.state == JobState.DONE for job in self.jobs())

    def child(self, node: Any) -> psutil.Process:
        """The slot's process of a node with one slot."""
        (child,) = psutil.Process(node.pid).children()
        return child

    def check(self, job_id: uuid.UUID, quarantined: tuple[int, ...] = ()) -> None:
        oracle.check(self.database, self.settings.store, job_id, quarantined)

    def seconds_until_finished(self, job_id: uuid.UUID) -> float:
        """How long from now until a job is done."""
        begun = time.monotonic()
        self.finished(job_id, 120)
        return time.monotonic() - begun

    def part_done(self, job_id: uuid.UUID, part: float, seconds: float = 60) -> None:
        """Wait until so much of a job is done."""
        total = self.job(job_id).total
        self.wait_until(lambda: self.job(job_id).done >= part * total, f"{part:.0%} done", seconds)

    def rows(self, query: Any) -> list[Any]:
        """What a query finds, in a transaction of its own."""
        with self.database.transaction() as session:
            return list(session.scalars(query))

    def order(self, job_id: uuid.UUID, verb: str) -> None:
        """Carry out an order of the job's owner."""
        with self.database.transaction() as session:
            jobs.order(session, None, job_id, verb)

    def leased(self, job_id: uuid.UUID) -> list[Shard]:
        with self.database.transaction() as session:
            mine = sa.select(Shard).join(Job, Job.number == Shard.job_number).where(Job.id == job_id)
            return list(session.scalars(mine.where(Shard.state == "leased")))

    def until_runs_elsewhere(self, job_id: uuid.UUID, lost: Shard, seconds: float = 60) -> float:
        """Seconds from now until what a dead slot held is worked on by another."""
        begun = time.monotonic()

        def runs() -> bool:
            with self.database.transaction() as session:
                inside = sa.and_(Shard.job_number == lost.job_number, Shard.start.between(lost.start, lost.stop - 1))
                other = sa.and_(Shard.slot_id != lost.slot_id, Shard.state.in_(["leased", "done"]))
                return session.scalar(sa.select(Shard.id).where(inside, other).limit(1)) is not None

        self.wait_until(runs, "its work goes on elsewhere", seconds)
        return time.monotonic() - begun

    def kill(self, process: Any) -> None:
        """SIGKILL a whole process group, as a power cut would."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_all(self) -> None:
        """SIGKILL everything but the servers."""
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)

    def end_server(self, name: str, number: signal.Signals) -> None:
        """Send a signal to `postgres` or `valkey`, and wait for the end if it is one that ends."""
        child = next(each for each in self.pair.children if each.command.name == name)
        os.kill(child.pid, number)
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            self.wait_until(lambda: child.ending() is not None, f"{name} ended")

    @contextmanager
    def valkey(self) -> Iterator["redis.Redis[bytes]"]:
        with redis.Redis.from_url(self.pair.client_url) as client:
            yield client

    def keys(self) -> set[bytes]:
        """The keys of Valkey, but for a ring that waits: it is one message, and may come at any moment."""
        with self.valkey() as valkey:
            return set(valkey.keys("*")) - {b"cpu", b"gpu"}
