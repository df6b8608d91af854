"""Which slots can do a job's work: asked at submit, so that nobody waits for what cannot come.

A slot counts for as long as its row is kept, a day after it went: one that is started anew, or a GPU node that is
scaled down to nothing, can still be hoped for.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.tables import Job
from core.errors import Conflict

FIT = sa.text("SELECT EXISTS (SELECT FROM worker w WHERE vyaz_fits(j, w)) FROM job j WHERE j.number = :number")
FLEET = sa.text("""
    SELECT queue, engine, kinds, families, max(memory) AS memory, count(*) FILTER (WHERE state <> 'gone') AS live
      FROM worker GROUP BY queue, engine, kinds, families
""")
GIGABYTE = 10**9
WAITING = "pass wait_for_worker (--wait-for-worker) to submit it all the same"


@dataclass(frozen=True)
class Ability:
    """What some slots of the fleet have in common; None where they did not say."""

    queue: str
    engine: int
    kinds: list[str] | None
    families: list[str] | None
    memory: int | None
    live: int


def require_slot(session: Session, job: Job) -> None:
    """Raise `Conflict`, with what is lacking and what there is, if no slot that is known can do this job's work."""
    if session.scalar(FIT, {"number": job.number}):
        return
    fleet = [Ability(**row._mapping) for row in session.execute(FLEET)]
    raise Conflict(f"no worker can do this: {_lack(job, fleet)}; {WAITING}")


def _lack(job: Job, fleet: list[Ability]) -> str:
    """Name the first need that none of those slots meets which meet all the needs before it."""
    if not fleet:
        return "none has registered within a day; start one with vyaz worker"
    there = [slot for slot in fleet if slot.queue in job.queues]
    if not there:
        return f"it needs a slot of queue {' or '.join(job.queues)}, there are only {_names(s.queue for s in fleet)}"
    able = [slot for slot in there if slot.kinds is None or job.kind in slot.kinds]
    if not able:
        return f"no slot of its queues knows jobs of kind {job.kind}; they run an older version"
    engine = job.needs.get("engine")
    same = [slot for slot in able if engine is None or slot.engine == engine]
    if not same:
        return f"it needs engine {engine}, the slots carry {_names(str(s.engine) for s in able)}"
    family = job.needs.get("family")
    fit = [slot for slot in same if family is None or slot.families is None or family in slot.families]
    if not fit:
        return f"no slot runs models of family {family}"
    largest = max(slot.memory or 0 for slot in fit)
    return f"it needs {job.needs['memory'] / GIGABYTE:.3g} GB of memory, the largest slot has {largest / GIGABYTE:.3g}"


def _names(found: Iterable[str]) -> str:
    return ", ".join(sorted(set(found)))
