"""Which objects of the store rows refer to, and which somebody may be about to refer to.

Every column that names an object is read here. Who adds one adds it here too, or a sweep takes its objects for rubbish:
`shard.path`, `model_version.path`, `dataset_version.path`, `training_run.checkpoint`, `picture` and `sources` in
`job.result`, `upload` in `job.spec` and in the request of a schedule; and the parts of a dataset, which stand in no
row but follow from its shards.
"""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.tables import (
    DatasetVersion,
    Job,
    ModelVersion,
    Owner,
    Schedule,
    Shard,
    TrainingRun,
)
from core.storage.shards import shard_key
from core.storage.uploads import upload_key

_OWN_FILE: Final = re.compile(r"[a-z]+\.(\d+)\.[a-z]+")


@dataclass(frozen=True)
class Held:
    """What must stay of one folder."""

    referenced: frozenset[str] = frozenset()
    in_flight: frozenset[str] = frozenset()
    """Keys that the holder of a lease may put and refer to."""
    epochs: frozenset[int] = frozenset()
    """Epochs of those leases: a job's files that are no shards bear nothing else."""
    all_in_flight: bool = False
    """Whether somebody may be about to refer to anything here."""

    def keeps(self, key: str) -> bool:
        """Whether a row refers to this object."""
        return key in self.referenced

    def awaits(self, key: str) -> bool:
        """Whether somebody may be about to refer to it."""
        name = _OWN_FILE.fullmatch(key.rpartition("/")[2])
        return self.all_in_flight or key in self.in_flight or (name is not None and int(name[1]) in self.epochs)


# Leases are read before references, here and below. Who holds a lease when we read them either still holds it when we
# look for its reference, or has committed by then, and the reference is seen. The other way round, a commit between
# the two reads would be missed by both.


def of_job(session: Session, job_id: uuid.UUID) -> Held:
    """What must stay in `jobs/{job_id}`."""
    leased = sa.select(Shard.start, Shard.stop, Shard.epoch).join(Job, Job.number == Shard.job_number)
    leases = session.execute(leased.where(Job.id == job_id, Shard.state == "leased")).all()
    mended = sa.and_(Job.kind == "repair", Job.spec["job"].astext == str(job_id), Shard.state == "leased")
    repairs = sa.select(sa.exists().where(Job.number == Shard.job_number, mended))
    repaired = bool(session.scalar(repairs))
    paths = sa.select(Shard.path).join(Job, Job.number == Shard.job_number).where(Job.id == job_id)
    found = {path for path in session.scalars(paths.where(Shard.path.is_not(None))) if path is not None}
    picture = session.scalar(sa.select(Job.result["picture"].astext).where(Job.id == job_id))
    return Held(
        referenced=frozenset(found | ({picture} if picture else set())),
        in_flight=frozenset(shard_key(str(job_id), start, stop, epoch) for start, stop, epoch in leases),
        epochs=frozenset(epoch for _, _, epoch in leases),
        all_in_flight=repaired,
    )


def of_dataset_job(session: Session, job_id: uuid.UUID) -> Held:
    """What must stay in `datasets/jobs/{job_id}`: everything, until the parts are merged."""
    state = session.scalar(sa.select(Job.state).where(Job.id == job_id))
    sources = session.scalar(sa.select(Job.result["sources"].astext).where(Job.id == job_id))
    unmerged = state is not None and state != "done"
    return Held(referenced=frozenset({sources} if sources and unmerged else ()), all_in_flight=unmerged)


def of_run(session: Session, run_id: uuid.UUID) -> Held:
    """What must stay in `checkpoints/{run_id}`."""
    run = sa.select(TrainingRun.job_number).where(TrainingRun.id == run_id).scalar_subquery()
    training = sa.select(sa.exists().where(Shard.job_number == run, Shard.state == "leased"))
    busy = bool(session.scalar(training))
    last = session.scalar(sa.select(TrainingRun.checkpoint).where(TrainingRun.id == run_id))
    return Held(frozenset({last} if last else ()), all_in_flight=busy)


def of_weights(session: Session) -> Held:
    """What must stay in `weights`."""
    busy = _works(session, "train")
    return Held(frozenset(session.scalars(sa.select(ModelVersion.path))), all_in_flight=busy)


def of_datasets(session: Session) -> Held:
    """What must stay right in `datasets`."""
    busy = _works(session, "dataset")
    return Held(frozenset(session.scalars(sa.select(DatasetVersion.path))), all_in_flight=busy)


def of_uploads(session: Session, owner_id: uuid.UUID) -> Held:
    """What must stay in `uploads/{owner_id}`."""
    fired, submitted = Schedule.request["spec"]["upload"].astext, Job.spec["upload"].astext
    later = session.scalars(sa.select(fired).where(Schedule.owner_id == owner_id, fired.is_not(None)))
    named = {each for each in later if each is not None}
    now = session.scalars(sa.select(submitted).where(Job.owner_id == owner_id, submitted.is_not(None)))
    named |= {each for each in now if each is not None}
    return Held(frozenset(upload_key(owner_id, each) for each in named))


def born(session: Session) -> datetime | None:
    """When this catalogue got its first owner: what is older belongs to another one, or to one that was lost."""
    return session.scalar(sa.select(sa.func.min(Owner.created_at)))


def _works(session: Session, kind: str) -> bool:
    held = sa.and_(Job.number == Shard.job_number, Job.kind == kind, Shard.state == "leased")
    return bool(session.scalar(sa.select(sa.exists().where(held))))
