"""Datasets: named sources of letters, an owner's own and the built-in ones, and their versions."""

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from core.catalogue.tables import Dataset, DatasetVersion
from core.errors import Conflict, Invalid, NotFound
from core.registry import DatasetKind, EmnistSplit

BUILTIN = "fonts"
EMNIST = "emnist"
NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
MAX_PATH = 4096
KNOWN_SHOWN = 10


@dataclass(frozen=True)
class DatasetView:
    """A dataset with its versions, the newest first."""

    row: Dataset
    versions: tuple[DatasetVersion, ...]


def ensure_builtin(session: Session) -> None:
    """Have what is everybody's: `fonts`, the font packages installed where workers run, and `emnist`, downloaded."""
    kinds = {BUILTIN: DatasetKind.FONTS, EMNIST: DatasetKind.EMNIST}
    rows: list[dict[str, Any]] = [
        {"owner_id": None, "name": name, "kind": kind.value, "config": {}} for name, kind in kinds.items()
    ]
    session.execute(insert(Dataset).on_conflict_do_nothing(), rows)


def create(
    session: Session, owner_id: uuid.UUID, name: str, kind: str, path: str | None, split: str | None = None
) -> tuple[Dataset, bool]:
    """Register a source; the same one again is found, not made: the second value says which.

    Nothing is read here: the path is on the workers' machine. An own `emnist`, from a folder, takes the place of the
    built-in one. Raises `Invalid`, and `Conflict` for a name that is taken by another source.
    """
    if not re.fullmatch(NAME, name):
        raise Invalid(f"{name[:80]!r} is no name for a dataset; use a-z, 0-9 and . _ -, at most 63", "/name")
    if kind not in list(DatasetKind):
        raise Invalid(f"there is no dataset kind {kind!r}; the kinds are: {', '.join(DatasetKind)}", "/kind")
    config = _config(path) | _split(kind, split)
    ensure_builtin(session)
    if name == BUILTIN:
        raise Conflict(f"{BUILTIN!r} is built in; choose another name")
    row = {"owner_id": owner_id, "name": name, "kind": kind, "config": config}
    made = session.scalars(insert(Dataset).on_conflict_do_nothing().returning(Dataset), [row]).one_or_none()
    if made is not None:
        return made, True
    earlier = session.scalars(sa.select(Dataset).where(Dataset.owner_id == owner_id, Dataset.name == name)).one()
    if (earlier.kind, earlier.config) != (kind, config):
        raise Conflict(f"there is a dataset {name!r} already, from another source")
    return earlier, False


def find(session: Session, owner_id: uuid.UUID, reference: str) -> tuple[Dataset, DatasetVersion | None]:
    """A dataset by `name`, or with one version by `name:number`; raises `Invalid` naming the known ones."""
    name, colon, number = reference.partition(":")
    dataset = _by_name(session, owner_id, name)
    if dataset is None:
        known = ", ".join(_names(session, owner_id))
        raise Invalid(f"there is no dataset {name[:80]!r}; there are: {known}", "/spec/dataset")
    if not colon:
        return dataset, None
    version = None
    if re.fullmatch(r"[1-9][0-9]{0,8}", number):
        exact = sa.and_(DatasetVersion.dataset_id == dataset.id, DatasetVersion.number == int(number))
        version = session.scalar(sa.select(DatasetVersion).where(exact))
    if version is None:
        raise Invalid(f"dataset {name!r} has no version {number[:20]!r}", "/spec/dataset")
    return dataset, version


def newest(session: Session, dataset: Dataset) -> DatasetVersion | None:
    """A dataset's latest version; None before its source was first looked at."""
    mine = sa.select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    return session.scalar(mine.order_by(DatasetVersion.number.desc()).limit(1))


def get(session: Session, owner_id: uuid.UUID, name: str) -> DatasetView:
    """One dataset with its versions; raises `NotFound`."""
    dataset = _by_name(session, owner_id, name)
    if dataset is None:
        raise NotFound(f"there is no dataset {name!r}")
    return view(session, [dataset])[0]


def page(session: Session, owner_id: uuid.UUID, after: str | None, limit: int) -> list[DatasetView]:
    """The owner's own datasets and the built-in ones, by name."""
    ensure_builtin(session)
    query = sa.select(Dataset).where(_visible(owner_id)).order_by(Dataset.name).limit(limit)
    if after is not None:
        query = query.where(Dataset.name > after)
    return view(session, session.scalars(query).all())


def view(session: Session, rows: Sequence[Dataset]) -> list[DatasetView]:
    """The rows with their versions, read in one query."""
    mine: dict[uuid.UUID, list[DatasetVersion]] = {row.id: [] for row in rows}
    of_these = sa.select(DatasetVersion).where(DatasetVersion.dataset_id.in_(mine))
    for version in session.scalars(of_these.order_by(DatasetVersion.number.desc())):
        mine[version.dataset_id].append(version)
    return [DatasetView(row, tuple(mine[row.id])) for row in rows]


def _by_name(session: Session, owner_id: uuid.UUID, name: str) -> Dataset | None:
    if not re.fullmatch(NAME, name):
        return None
    if name == BUILTIN:
        ensure_builtin(session)
    return session.scalar(sa.select(Dataset).where(_visible(owner_id), Dataset.name == name))


def _visible(owner_id: uuid.UUID) -> sa.ColumnElement[bool]:
    """The owner's own, and the built-in ones that no own one of the same name hides."""
    own = aliased(Dataset)
    hidden = sa.exists().where(own.owner_id == owner_id, own.name == Dataset.name)
    return sa.or_(Dataset.owner_id == owner_id, sa.and_(Dataset.owner_id.is_(None), ~hidden))


def _names(session: Session, owner_id: uuid.UUID) -> Iterable[str]:
    ensure_builtin(session)
    return session.scalars(sa.select(Dataset.name).where(_visible(owner_id)).order_by(Dataset.name).limit(KNOWN_SHOWN))


def _config(path: str | None) -> dict[str, Any]:
    """What is kept of a source's place. Absolute, as nobody knows in which folder a worker runs."""
    if path is None:
        return {}
    whole = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    if not whole or len(path) > MAX_PATH or not path.isprintable():
        raise Invalid(f"path must be a whole path on the workers' machine, not {path[:80]!r}", "/path")
    return {"path": path}


def _split(kind: str, split: str | None) -> dict[str, Any]:
    if split is None:
        return {}
    if kind != DatasetKind.EMNIST:
        raise Invalid(f"a dataset of kind {kind} has no split; leave it out", "/split")
    if split not in list(EmnistSplit):
        raise Invalid(f"there is no split {split[:80]!r}; there are: {', '.join(EmnistSplit)}", "/split")
    return {"split": str(split)}
