"""Objects of a job besides the shards of its variants: what it was made from, and what it ended in."""

import uuid
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue import models
from core.catalogue.tables import DatasetVersion, Job, ModelVersion, Shard, TrainingRun
from core.catalogue.variants import MAKERS
from core.errors import Invalid


@dataclass(frozen=True, slots=True)
class Belonging:
    """One object, and the SHA-256 that it must have."""

    what: str
    key: str
    digest: bytes


def of(session: Session, job: Job) -> list[Belonging]:
    """All that the tables say a job needs or left, but for tars of variants."""
    return [*_versions(session, job), *_training(session, job), *_datasets(session, job), *_files(session, job)]


def _versions(session: Session, job: Job) -> list[Belonging]:
    wanted = {job.model_version_id}
    judge = job.spec.get("judge")
    if isinstance(judge, str):
        try:
            wanted.add(models.pin(session, judge).id)
        except Invalid:
            return [Belonging(f"weights of {judge}", "weights/unknown", b"")]
    rows = session.execute(
        sa.select(ModelVersion.path, ModelVersion.digest).where(ModelVersion.id.in_(wanted - {None}))
    )
    return [Belonging("weights", path, digest) for path, digest in rows]


def _training(session: Session, job: Job) -> list[Belonging]:
    run = session.scalar(sa.select(TrainingRun).where(TrainingRun.job_number == job.number))
    if run is None:
        return []
    found = []
    if run.checkpoint is not None and run.checkpoint_digest is not None:
        found.append(Belonging("checkpoint", run.checkpoint, run.checkpoint_digest))
    made = sa.select(ModelVersion.path, ModelVersion.digest).where(ModelVersion.training_run_id == run.id)
    found += [Belonging("weights", path, digest) for path, digest in session.execute(made)]
    version = session.get(DatasetVersion, run.dataset_version_id)
    return found if version is None else [*found, Belonging("dataset", version.path, version.digest)]


def _datasets(session: Session, job: Job) -> list[Belonging]:
    made = job.result.get("dataset_version_id")
    version = session.get(DatasetVersion, uuid.UUID(made)) if made else None
    return [] if version is None else [Belonging("dataset", version.path, version.digest)]


def _files(session: Session, job: Job) -> list[Belonging]:
    if job.kind in MAKERS:
        return []
    held = sa.and_(Shard.job_number == job.number, Shard.state == "done", Shard.path.is_not(None))
    rows = session.execute(sa.select(Shard.path, Shard.digest).where(held))
    return [Belonging(f"what the {job.kind} job made", path or "", digest or b"") for path, digest in rows]
