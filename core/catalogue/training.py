"""Training runs: where each stands, its metrics, and the model version it ends in."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.tables import Dataset, DatasetVersion, Job, Metric, Model, ModelVersion, TrainingRun
from core.errors import JobError


@dataclass(frozen=True)
class Segment:
    """Where a run stands before its next segment, and what it trains on."""

    run_id: uuid.UUID
    checkpoint: str | None
    checkpoint_digest: bytes | None
    dataset_path: str
    dataset_digest: bytes


@dataclass(frozen=True)
class Weights:
    """Trained weights as they stand in the store."""

    path: str
    digest: bytes
    size: int


def open_segment(
    session: Session, job_number: int, owner_id: uuid.UUID, after_id: uuid.UUID | None, spec: Mapping[str, Any]
) -> Segment:
    """The run of this train job, made at its first segment with the dataset version that it will keep to the end.

    Raises `JobError` when there is no version to train on.
    """
    run = session.scalar(sa.select(TrainingRun).where(TrainingRun.job_number == job_number))
    if run is None:
        version = choose_dataset(session, owner_id, after_id, spec["dataset"])
        values = {"job_number": job_number, "model_id": _model(session, spec["name"]).id, "family": spec["family"]}
        values |= {"config": dict(spec), "dataset_version_id": version.id}
        run = session.scalars(insert(TrainingRun).returning(TrainingRun), [values]).one()
    else:
        version = session.get_one(DatasetVersion, run.dataset_version_id)
    return Segment(run.id, run.checkpoint, run.checkpoint_digest, version.path, version.digest)


def choose_dataset(session: Session, owner_id: uuid.UUID, after_id: uuid.UUID | None, name: str) -> DatasetVersion:
    """The version that the dataset job before this one made or found, else the one that `fonts` or `fonts:2` means.

    Raises `JobError` when there is none.
    """
    return _made_by(session, after_id) or _newest(session, owner_id, name)


def keep_segment(
    session: Session,
    segment: Segment,
    step: int,
    seconds: float,
    checkpoint: tuple[str, bytes],
    metrics: Iterable[tuple[int, str, float]],
) -> None:
    """Move the run to a new checkpoint and add what was measured on the way."""
    run = session.get_one(TrainingRun, segment.run_id)
    run.step, run.device_seconds = step, run.device_seconds + seconds
    run.checkpoint, run.checkpoint_digest = checkpoint
    session.flush()
    rows = [{"training_run_id": run.id, "step": at, "name": name, "value": value} for at, name, value in metrics]
    if rows:
        session.execute(insert(Metric).on_conflict_do_nothing(), rows)


def publish(session: Session, segment: Segment, weights: Weights, config: dict[str, Any]) -> tuple[str, int]:
    """Make the run's weights the next version of its model; returns the model's name and the version's number."""
    run = session.get_one(TrainingRun, segment.run_id)
    model = session.get_one(Model, run.model_id, with_for_update={"key_share": True})
    mine = ModelVersion.model_id == model.id
    last = session.scalar(sa.select(sa.func.coalesce(sa.func.max(ModelVersion.number), 0)).where(mine)) or 0
    row = {"model_id": model.id, "number": last + 1, "family": run.family, "config": config, "path": weights.path}
    row |= {"digest": weights.digest, "size": weights.size, "training_run_id": run.id}
    session.execute(insert(ModelVersion), [row])
    return model.name, last + 1


def _model(session: Session, name: str) -> Model:
    session.execute(insert(Model).on_conflict_do_nothing(), [{"name": name}])
    return session.scalars(sa.select(Model).where(Model.name == name)).one()


def _made_by(session: Session, job_id: uuid.UUID | None) -> DatasetVersion | None:
    """The version that the dataset job before this one made, or found unchanged."""
    result = session.scalar(sa.select(Job.result).where(Job.id == job_id)) if job_id else None
    made = (result or {}).get("dataset_version_id")
    return session.get(DatasetVersion, uuid.UUID(made)) if made else None


def _newest(session: Session, owner_id: uuid.UUID, name: str) -> DatasetVersion:
    plain, _, number = name.partition(":")
    seen = sa.or_(Dataset.owner_id == owner_id, Dataset.owner_id.is_(None))
    versions = sa.select(DatasetVersion).join(Dataset).where(Dataset.name == plain, seen)
    if number:
        versions = versions.where(DatasetVersion.number == int(number))
    # The owner's own dataset hides a built-in one of the same name.
    newest = versions.order_by(Dataset.owner_id.is_(None), DatasetVersion.number.desc()).limit(1)
    version = session.scalar(newest)
    if version is None:
        raise JobError(f"dataset {name!r} has no version to work with")
    return version
