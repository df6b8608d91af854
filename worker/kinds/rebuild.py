"""Rebuild: a job's rows made again from its shards alone; and all jobs of a store whose database is lost."""

import uuid
from collections.abc import Callable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue import shards
from core.catalogue.shards import Recorded
from core.catalogue.tables import Job, Shard
from core.errors import EnvironmentFault, Invalid, JobError, NotFound
from core.ledger.finish import Keep, Outcome
from core.ledger.leases import Lease
from core.ledger.states import JobState
from core.upkeep import adoption
from core.upkeep.accounts import is_closed
from core.upkeep.adoption import Found
from core.upkeep.inspection import inspect, open_shard
from worker.heartbeat import Hold
from worker.rounds import Tally, ended, target_of, walk, watch
from worker.work import Workplace

_IN_MEMORY: Final = 64 << 20  # bytes of a shard


class Rebuild:
    """Makes rows again."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        tally = Tally()
        if lease.spec["job"] is None:
            if not lease.closing:
                self._adopt_all(lease, hold, tally)
            return ended(lease, hold, lease.stop), lambda _: tally.result
        target = target_of(self._place, lease)
        writes: list[Callable[[Session], None]] = []

        def visit(recorded: Recorded) -> bool:
            self._rebuild(target, recorded, tally, writes)
            return not writes

        if lease.closing:
            self._close(target, visit)
            upto = lease.stop
        else:
            upto = walk(self._place, lease, hold, target, visit)

        def keep(session: Session) -> dict[str, Any]:
            for write in writes:
                write(session)
            return tally.result

        return ended(lease, hold, upto), keep

    def _close(self, target: Job, visit: Callable[[Recorded], bool]) -> None:
        """Rebuild the rows of the best, where a job kept them."""
        with self._place.database.transaction() as session:
            last = shards.closing(session, target.number) if is_closed(target) else None
        if last is not None and last.path is not None:
            visit(last)

    def _rebuild(self, target: Job, recorded: Recorded, tally: Tally, writes: list[Callable[[Session], None]]) -> None:
        """Have the rows of one shard written, if they are not those that it holds."""
        with self._place.database.transaction() as session:
            rows = shards.rows(session, target.number, recorded)
        found = inspect(self._place.blobs, recorded, rows)
        tally.counts["shards"] += 1
        if found.contents is None:
            tally.counts["left"] += 1
            outcome = "left: vyaz repair makes it again"
            tally.find(recorded.path, found.damage, recorded.start, recorded.stop, outcome=outcome)
            return
        if found.contents.rows == rows:
            return
        own = list(found.contents.rows.values())
        tally.counts["rebuilt"] += 1

        def write(session: Session) -> None:
            _require_still(session, target, recorded)
            shards.replace(session, target.number, recorded, own)

        writes.append(write)

    def _adopt_all(self, lease: Lease, hold: Hold, tally: Tally) -> None:
        """Take in every job of the store that the catalogue does not know, or has not taken in whole.

        Each is written by transactions of its own, not by this lease's: what was taken in stays so, and who comes later
        goes on from there.
        """
        for folder in self._place.blobs.folders("jobs"):
            watch(hold)
            try:
                job_id = uuid.UUID(folder.rpartition("/")[2])
            except ValueError:
                continue
            with self._place.database.transaction() as session:
                known = session.get(Job, job_id)
            if known is not None and known.reason != adoption.REASON:
                continue
            try:
                self._adopt(lease, hold, job_id, tally)
            except Invalid as error:
                tally.counts["left"] += 1
                tally.find(folder, [str(error)], 0, 0, outcome="left: it cannot be taken in")

    def _adopt(self, lease: Lease, hold: Hold, job_id: uuid.UUID, tally: Tally) -> None:
        """Take one job in, then the rows of its shards."""
        chosen = adoption.choose(self._shards(hold, job_id, tally))
        if not chosen:
            return
        with self._place.database.transaction() as session:
            job = adoption.adopt(session, self._place.blobs, lease.owner_id, job_id, chosen)
        tally.counts["jobs"] += 1
        for each in chosen:
            watch(hold)
            with self._place.database.transaction() as session:
                recorded = shards.at(session, job.number, each.key)
            if recorded is None:
                continue
            writes: list[Callable[[Session], None]] = []
            self._rebuild(job, recorded, tally, writes)
            for write in writes:
                with self._place.database.transaction() as session:
                    write(session)

    def _shards(self, hold: Hold, job_id: uuid.UUID, tally: Tally) -> Iterator[Found]:
        """Yield the readable shards of a job's folder."""
        for key in list(self._place.blobs.keys(f"jobs/{job_id}")):
            name = adoption.read_name(key)
            if name is None:
                continue
            watch(hold)
            with SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
                try:
                    size, digest = self._place.blobs.fetch(key, file)
                    found = open_shard(file)
                    if found.report is None:
                        raise Invalid("it does not say what became of its items")
                except (Invalid, NotFound) as error:
                    tally.counts["left"] += 1
                    tally.find(key, [str(error)], name.start, name.stop, outcome="left: it cannot be read")
                    continue
            yield Found(key, name.start, name.epoch, size, digest, found.manifest, found.report, len(found.rows))


def _require_still(session: Session, target: Job, recorded: Recorded) -> None:
    """Lock the shard; raise if its job has begun to run again, or it is not what we saw.

    The share lock keeps the job from being retried, and with it from being worked on, until this is committed.
    """
    job = session.scalar(
        sa.select(Job).where(Job.id == target.id).with_for_update(read=True).execution_options(populate_existing=True)
    )
    busy = sa.select(sa.exists().where(Shard.job_number == target.number, Shard.state == "leased"))
    if job is None or JobState(job.state).unfinished or session.scalar(busy):
        raise JobError(f"job {target.id} is being worked on; rebuild it when it is finished")
    if shards.again(session, recorded, lock=True) != recorded:
        raise EnvironmentFault(f"shard {recorded.id} was changed meanwhile")
