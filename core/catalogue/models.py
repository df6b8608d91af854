"""Models, their versions and aliases; and what a version was made from."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.tables import Alias, Dataset, DatasetVersion, Job, Model, ModelVersion, TrainingRun
from core.errors import Invalid, NotFound

PRODUCTION = "production"
"""The alias that a plain name means, where there is one."""
GATE = "judge-select"
"""The judge whose reading is stored with variants."""
REPORTER = "judge-report"
"""The judge that only reports: figures of an evaluation."""
KNOWN_SHOWN = 10

_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,62})([:](?P<number>[1-9][0-9]{0,8})|@(?P<alias>[\w.-]+))?"
)


@dataclass(frozen=True)
class Pinned:
    """One version, as a job is tied to it: `letters:3`."""

    id: uuid.UUID
    reference: str
    family: str


@dataclass(frozen=True)
class StoredVersion:
    """Where a version's weights lie, and the SHA-256 that they must have."""

    path: str
    digest: bytes


@dataclass(frozen=True)
class VersionView:
    """A version with its lineage. What belongs to another owner is not told."""

    number: int
    family: str
    digest: bytes
    size: int
    config: dict[str, Any]
    created_at: datetime
    dataset: str | None
    """The dataset version it was trained on, `fonts:2`."""
    job: uuid.UUID | None
    """The job that trained it."""
    step: int | None
    device_seconds: float | None
    figures: dict[str, Any] | None
    """What its last evaluation found."""


@dataclass(frozen=True)
class ModelView:
    """A model with its versions, the newest first, and its aliases: name -> number."""

    name: str
    created_at: datetime
    versions: tuple[VersionView, ...]
    aliases: dict[str, int]


def any_version(session: Session) -> bool:
    """Whether there is any model to run."""
    return bool(session.scalar(sa.select(sa.exists().select_from(ModelVersion))))


def pin(session: Session, reference: str) -> Pinned:
    """The version that `letters`, `letters:3` or `letters@alias` means now.

    A plain name means the alias `production` where there is one, else the newest version. Raises `Invalid` naming what
    is known.
    """
    parts = _REFERENCE.fullmatch(reference)
    model = session.scalar(sa.select(Model).where(Model.name == parts["name"])) if parts else None
    if parts is None or model is None:
        raise Invalid(_unknown(session, reference), "/spec/model")
    version = _version(session, model, parts["number"], parts["alias"])
    if version is None:
        raise Invalid(_no_version(session, model, reference), "/spec/model")
    return Pinned(version.id, f"{model.name}:{version.number}", version.family)


def pin_if_any(session: Session, reference: str) -> Pinned | None:
    """The version that a reference means now; None where there is none."""
    try:
        return pin(session, reference)
    except Invalid:
        return None


def locate(session: Session, version_id: uuid.UUID | None) -> StoredVersion:
    """Where a version's weights lie; raises `NotFound`."""
    found = sa.select(ModelVersion.path, ModelVersion.digest).where(ModelVersion.id == version_id)
    row = session.execute(found).one_or_none()
    if row is None:
        raise NotFound("the model version is gone")
    return StoredVersion(row.path, row.digest)


def keep_figures(session: Session, version_id: uuid.UUID | None, figures: dict[str, Any]) -> None:
    """Put figures beside a version, in the place of earlier ones."""
    session.execute(sa.update(ModelVersion).where(ModelVersion.id == version_id).values(figures=figures))


def trained_on(session: Session, owner_id: uuid.UUID, version_id: uuid.UUID) -> str | None:
    """The dataset version a version was trained on, `fonts:2`; None where that is unknown, or another owner's."""
    rows = sa.select(Dataset.name, DatasetVersion.number).select_from(ModelVersion)
    rows = rows.join(TrainingRun, TrainingRun.id == ModelVersion.training_run_id)
    rows = rows.join(DatasetVersion, DatasetVersion.id == TrainingRun.dataset_version_id)
    rows = rows.join(Dataset, Dataset.id == DatasetVersion.dataset_id)
    seen = sa.or_(Dataset.owner_id == owner_id, Dataset.owner_id.is_(None))
    row = session.execute(rows.where(ModelVersion.id == version_id, seen)).one_or_none()
    return f"{row.name}:{row.number}" if row is not None else None


def get(session: Session, owner_id: uuid.UUID, name: str) -> ModelView:
    """One model; raises `NotFound`."""
    model = session.scalar(sa.select(Model).where(Model.name == name))
    if model is None:
        raise NotFound(f"there is no model {name!r}")
    return _views(session, owner_id, [model])[0]


def page(session: Session, owner_id: uuid.UUID, after: str | None, limit: int) -> list[ModelView]:
    """Models by name."""
    query = sa.select(Model).order_by(Model.name).limit(limit)
    if after is not None:
        query = query.where(Model.name > after)
    return _views(session, owner_id, session.scalars(query).all())


def references(session: Session, version_ids: set[uuid.UUID]) -> dict[uuid.UUID, str]:
    """`letters:3` for each of these versions."""
    if not version_ids:
        return {}
    query = sa.select(ModelVersion.id, Model.name, ModelVersion.number).join(Model)
    rows = session.execute(query.where(ModelVersion.id.in_(version_ids)))
    return {version_id: f"{name}:{number}" for version_id, name, number in rows}


def _version(session: Session, model: Model, number: str | None, alias: str | None) -> ModelVersion | None:
    versions = sa.select(ModelVersion).where(ModelVersion.model_id == model.id)
    if number is not None:
        return session.scalar(versions.where(ModelVersion.number == int(number)))
    aliased = versions.join(Alias, Alias.model_version_id == ModelVersion.id)
    if alias is not None:
        return session.scalar(aliased.where(Alias.name == alias))
    production = session.scalar(aliased.where(Alias.name == PRODUCTION))
    return production or session.scalar(versions.order_by(ModelVersion.number.desc()).limit(1))


def _unknown(session: Session, reference: str) -> str:
    known = session.scalars(sa.select(Model.name).order_by(Model.name).limit(KNOWN_SHOWN)).all()
    there = f"there are: {', '.join(known)}" if known else "none is trained yet; vyaz train makes one"
    return f"there is no model {reference[:80]!r}; {there}"


def _no_version(session: Session, model: Model, reference: str) -> str:
    numbers = sa.select(ModelVersion.number).where(ModelVersion.model_id == model.id)
    newest = session.scalars(numbers.order_by(ModelVersion.number.desc()).limit(KNOWN_SHOWN)).all()
    aliases = session.scalars(sa.select(Alias.name).where(Alias.model_id == model.id).limit(KNOWN_SHOWN)).all()
    known = [f"{model.name}:{number}" for number in newest] + [f"{model.name}@{alias}" for alias in aliases]
    there = f"there are: {', '.join(known)}" if known else f"{model.name} has no version yet; is its training done?"
    return f"there is no {reference[:80]!r}; {there}"


def _views(session: Session, owner_id: uuid.UUID, models: Sequence[Model]) -> list[ModelView]:
    ids = [model.id for model in models]
    versions: dict[uuid.UUID, list[VersionView]] = {each: [] for each in ids}
    for row in session.execute(_lineage(ids)):
        versions[row.ModelVersion.model_id].append(_version_view(row, owner_id))
    aliases: dict[uuid.UUID, dict[str, int]] = {each: {} for each in ids}
    named = sa.select(Alias.model_id, Alias.name, ModelVersion.number).join(
        ModelVersion, ModelVersion.id == Alias.model_version_id
    )
    for model_id, name, number in session.execute(named.where(Alias.model_id.in_(ids)).order_by(Alias.name)):
        aliases[model_id][name] = number
    return [ModelView(each.name, each.created_at, tuple(versions[each.id]), aliases[each.id]) for each in models]


def _lineage(model_ids: list[uuid.UUID]) -> sa.Select[*tuple[Any, ...]]:
    """Versions with their training run, its dataset version, and its job, where they are still there."""
    rows = sa.select(ModelVersion, TrainingRun, DatasetVersion, Dataset, Job.id.label("job_id"), Job.owner_id)
    return (
        rows.outerjoin(TrainingRun, TrainingRun.id == ModelVersion.training_run_id)
        .outerjoin(DatasetVersion, DatasetVersion.id == TrainingRun.dataset_version_id)
        .outerjoin(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .outerjoin(Job, Job.number == TrainingRun.job_number)
        .where(ModelVersion.model_id.in_(model_ids))
        .order_by(ModelVersion.number.desc())
    )


def _version_view(row: Any, owner_id: uuid.UUID) -> VersionView:
    version, run, dataset = row.ModelVersion, row.TrainingRun, row.Dataset
    shown = dataset is not None and dataset.owner_id in (None, owner_id)
    return VersionView(
        number=version.number,
        family=version.family,
        digest=version.digest,
        size=version.size,
        config=version.config,
        created_at=version.created_at,
        dataset=f"{dataset.name}:{row.DatasetVersion.number}" if shown else None,
        job=row.job_id if row.owner_id == owner_id else None,
        step=run.step if run is not None else None,
        device_seconds=run.device_seconds if run is not None else None,
        figures=version.figures,
    )
