"""Whether a job's history is legal, and what the tables say now follows from it.

The history is checked in the order in which it was written. A job moves only as its orders allow; a shard is held by
one epoch at a time, each one higher than the last; it is finished once and never touched again; and a job that is done
has every item in a shard that is done or quarantined. What breaks a rule is told in words, the first ones only.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.tables import Event, Job, Shard
from core.errors import NotFound
from core.ledger.states import ALLOWED, UNFINISHED, JobState, ShardState

MOST_TOLD: Final = 100
AT_A_TIME: Final = 10_000  # events read from the server

_ORDERS: Final = {"paused": "pause", "resumed": "resume", "cancelled": "cancel", "retried": "retry"}
_ENDS: Final = {"finished", "returned", "crashed"}


@dataclass(frozen=True)
class Audit:
    """What was found."""

    events: int
    shards: int
    problems: list[str]


@dataclass
class _History:
    """The job as its events tell it, and what is wrong with them."""

    state: JobState | None = None
    started: bool = False
    holders: dict[int, int] = field(default_factory=dict)
    """Epoch that holds each shard now."""
    epochs: dict[int, int] = field(default_factory=dict)
    """Last epoch of each shard."""
    finished: set[int] = field(default_factory=set)
    events: int = 0
    problems: list[str] = field(default_factory=list)

    def blame(self, problem: str) -> None:
        if len(self.problems) < MOST_TOLD:
            self.problems.append(problem)

    def read(self, event: Event) -> None:
        """Take one event in."""
        self.events += 1
        if self.state is None and event.what != "submitted":
            self.blame(f"event {event.id}: {event.what} before the job was submitted")
        if event.shard_id is not None:
            self._read_shard(event, event.shard_id)
        else:
            self._read_job(event)

    def _read_job(self, event: Event) -> None:
        before, legal = self.state, True
        match event.what:
            case "submitted":
                self.state, legal = JobState.QUEUED, before is None
            case "started":
                self.started, legal = True, not self.started
                self.state = JobState.RUNNING if before == JobState.QUEUED else before
            case "paused" | "resumed" | "cancelled" | "retried":
                legal = before in ALLOWED[_ORDERS[event.what]]
                after = {"paused": JobState.PAUSED, "cancelled": JobState.CANCELLED}
                self.state = after.get(event.what, JobState.RUNNING if self.started else JobState.QUEUED)
                self.state = JobState.RUNNING if event.what == "retried" else self.state
            case "done" | "failed":
                self.state, legal = JobState(event.what), before in UNFINISHED
            case "reprioritised":
                legal = before in UNFINISHED
        if not legal:
            self.blame(f"event {event.id}: {event.what} while the job was {before}")

    def _read_shard(self, event: Event, shard: int) -> None:
        epoch, holder = event.epoch or 0, self.holders.get(shard)
        if event.what == "leased":
            if holder is not None:
                self.blame(f"event {event.id}: shard {shard} leased at epoch {epoch} while epoch {holder} held it")
            if epoch <= self.epochs.get(shard, 0):
                before = self.epochs.get(shard, 0)
                self.blame(f"event {event.id}: shard {shard} leased at epoch {epoch} after {before}")
            if shard in self.finished:
                self.blame(f"event {event.id}: shard {shard} leased after it was finished")
            if self.state not in UNFINISHED:
                self.blame(f"event {event.id}: shard {shard} leased while the job was {self.state}")
            self.holders[shard] = self.epochs[shard] = epoch
        elif event.what in _ENDS:
            if holder != epoch:
                self.blame(f"event {event.id}: shard {shard} {event.what} at epoch {epoch}, held by {holder}")
            self.holders.pop(shard, None)
            if event.what == "finished":
                self.finished.add(shard)


def audit(session: Session, owner_id: uuid.UUID | None, job_id: uuid.UUID) -> Audit:
    """Check one job; `owner_id` None means any owner's. Raises `NotFound`."""
    # Nothing may change between the reading of the history and that of the rows.
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    query = sa.select(Job).where(Job.id == job_id)
    job = session.scalar(query if owner_id is None else query.where(Job.owner_id == owner_id))
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    history = _History()
    mine = sa.select(Event).where(Event.job_number == job.number).order_by(Event.id)
    for event in session.scalars(mine.execution_options(yield_per=AT_A_TIME)):
        history.read(event)
    shards = sa.select(Shard).where(Shard.job_number == job.number).order_by(Shard.start, Shard.stop.desc())
    rows = session.scalars(shards).all()
    _compare(job, rows, history)
    return Audit(history.events, len(rows), history.problems)


def _compare(job: Job, shards: Iterable[Shard], history: _History) -> None:
    """Hold the rows against the history."""
    if job.state != history.state:
        history.blame(f"the job is {job.state}, its history ends with {history.state}")
    upto = 0
    for shard in shards:
        holder = history.holders.get(shard.id)
        if (holder == shard.epoch) != (shard.state == ShardState.LEASED):
            history.blame(
                f"shard {shard.id} is {shard.state} at epoch {shard.epoch}, its history says held by {holder}"
            )
        if (shard.id in history.finished) != (shard.state == ShardState.DONE):
            told = "finished" if shard.id in history.finished else "not finished"
            history.blame(f"shard {shard.id} is {shard.state}, its history says {told}")
        if shard.state not in (ShardState.DONE, ShardState.QUARANTINED):
            continue
        lone = (
            shard.stop - shard.start == 1 and shard.stop <= upto
        )  # one item of a shard, failed and perhaps made again
        if shard.start != upto and not lone and job.state == JobState.DONE:
            history.blame(f"items {min(upto, shard.start)} to {max(upto, shard.start)} are missing, or there twice")
        upto = max(upto, shard.stop)
    if job.state == JobState.DONE and (upto, job.done + job.failed) != (job.total, job.total):
        told = f"{job.done} + {job.failed} items are counted, shards reach to {upto}"
        history.blame(f"the job of {job.total} is done, but {told}")
