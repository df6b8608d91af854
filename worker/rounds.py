"""Rounds over another job's shards: what verifying, repairing and rebuilding share."""

import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.catalogue import shards
from core.catalogue.rows import VariantRow
from core.catalogue.shards import Recorded
from core.catalogue.tables import Job
from core.errors import EnvironmentFault, Invalid, JobError, NotFound
from core.ledger.finish import Outcome
from core.ledger.leases import Lease
from core.pipeline import Composer, Made
from core.recipe import BLOCK, ENGINE, parse_spec
from core.training.run import one_thread
from core.upkeep.accounts import is_closed
from core.upkeep.inspection import Inspected, inspect
from worker.heartbeat import Hold
from worker.materials import load_named, load_weights
from worker.work import Workplace

MOST_LOOKS = 3
"""Looks at a shard whose row changes meanwhile, before what was seen is believed."""


@dataclass
class Tally:
    """What a round found: numbers, and the shards and objects that something is to be said of."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def find(self, key: str | None, reasons: list[str], start: int, stop: int, **more: str) -> None:
        """Note what is to be said of one object and its items."""
        self.findings.append({"key": key, "items": [start, stop], "reasons": reasons, **more})

    @property
    def result(self) -> dict[str, Any]:
        """What is merged into the job's result."""
        return {"counts": dict(self.counts), "findings": self.findings}


class Maker:
    """Makes items of other jobs again; keeps the composer of the last job warm."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._warm: tuple[uuid.UUID, Composer] | None = None

    def composer(self, target: Job) -> Composer:
        """The composer that a job's shards were made with; raises `JobError` if there is none any more."""
        if self._warm is None or self._warm[0] != target.id:
            try:
                spec = parse_spec(target.spec)
            except Invalid as error:
                raise JobError(f"the spec of job {target.id} makes no sense here: {error}") from error
            tensors, meta = load_weights(self._place, target.model_version_id)
            judge = load_named(self._place, spec.judge) if spec.judge is not None else None
            device = self._place.device
            self._warm = target.id, Composer(spec, target.seed, tensors, meta, device, judge, total=target.total)
        return self._warm[1]

    def block(self, target: Job, start: int, stop: int) -> dict[int, Made]:
        """Items [start, stop), all of one aligned block, by index, but for what failed or was rejected."""
        with one_thread():
            made = self.composer(target).compose(start, stop)
        return {each.index: each for each in made if isinstance(each, Made)}


def target_of(place: Workplace, lease: Lease) -> Job:
    """The job that a round is over; raises `JobError` if it is gone."""
    try:
        with place.database.transaction() as session:
            return shards.job(session, lease.owner_id, uuid.UUID(lease.spec["job"]))
    except NotFound as error:
        raise JobError(str(error)) from error


def remakes(target: Job) -> str | None:
    """Why this engine cannot make a job's items again; None if it can."""
    engine = target.needs.get("engine")
    return None if engine == ENGINE else f"made by engine {engine}, and this worker has {ENGINE}"


def walk(place: Workplace, lease: Lease, hold: Hold, target: Job, visit: Callable[[Recorded], bool]) -> int:
    """Visit the finished shards that begin in a lease, as far as the hold lets us; return how far that is.

    `visit` says whether to go on. What a job that kept its best was chosen from is no more, and is passed over.
    """
    if is_closed(target):
        return lease.stop
    found = shards.finished(place.database, target.number, lease.start, lease.stop)
    start: int
    # Several shards may begin at one item: it failed, and was tried again alone.
    for start, group in itertools.groupby(found, key=lambda each: each.start):
        if start > lease.start and not hold.reached(start):
            return start
        visited = [visit(recorded) for recorded in group]
        if not all(visited):
            return start + 1
    return lease.stop


def watch(hold: Hold) -> None:
    """Go on only while the lease does: for work that cannot be left half done."""
    if not hold.reached(hold.mark):
        raise EnvironmentFault("the slot was asked to stop in the middle of a shard")


def look(place: Workplace, target: Job, recorded: Recorded) -> tuple[Recorded, dict[int, VariantRow], Inspected] | None:
    """Hold a shard against its rows; None if it is gone, or emptied by the choice of the best.

    What changes while we look is looked at again: another job may repair it, or its own finish with it.
    """
    seen: tuple[Recorded, dict[int, VariantRow], Inspected] | None = None
    before: object = None
    for _ in range(MOST_LOOKS):
        with place.database.transaction() as session:
            now = shards.again(session, recorded)
            job = session.get(Job, target.id)
            if now is None or job is None or (is_closed(job) and not now.closing):
                return None
            rows = shards.rows(session, target.number, now)
            failed = None if now.closing else shards.quarantined(session, target.number, now)
        if before == (now, rows, failed):
            break
        before = now, rows, failed
        seen = now, rows, inspect(place.blobs, now, rows, failed)
        if seen[2].sound:
            break
    return seen


def blocks(start: int, stop: int) -> list[tuple[int, int]]:
    """Cut a range at the borders of blocks."""
    cuts = [start, *range(start - start % BLOCK + BLOCK, stop, BLOCK), stop]
    return list(itertools.pairwise(cuts))


def differing(made: Mapping[int, Made], rows: Mapping[int, VariantRow]) -> list[int]:
    """Indexes of rows whose pixels came out otherwise, or not at all."""
    return [index for index, row in rows.items() if index not in made or made[index].digest != row.digest]


def ended(lease: Lease, hold: Hold, upto: int, obsolete: Collection[str] = ()) -> Outcome:
    """The outcome of a round up to here."""
    return Outcome(lease.stop if lease.closing else upto, hold.seconds, obsolete=list(obsolete))
