"""The weights that come with Vyaz: registered at the first `up`, found again by their SHA-256 at every other.

In the folder stand pairs of files, `letters.safetensors` and `letters.json`. The JSON says `sha256`, `config` (what
makes the weights again) and `figures` (what an evaluation found); the family stands in the weights themselves.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.catalogue.models import PRODUCTION
from core.catalogue.tables import Alias, Model, ModelVersion
from core.errors import Invalid
from core.storage.blobs import Blobs
from core.storage.weights import check, weights_key

FOLDER: Final = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Shipped:
    """Weights as they lie in the package."""

    name: str
    data: bytes
    sha256: str
    family: str
    config: dict[str, Any]
    figures: dict[str, Any] | None


def register(database: Database, blobs: Blobs, folder: Path = FOLDER) -> list[str]:
    """Have all weights of the folder in store and catalogue; return the versions that are new, `letters:1`.

    Weights that are there are left as they are; so is an alias that somebody moved. Raise `Invalid`, naming the file,
    for one that is damaged.
    """
    found = read(folder)
    for each in found:
        key = weights_key(each.sha256)
        if not blobs.exists(key):
            blobs.put(key, each.data)
    with database.transaction() as session:
        return [reference for each in found if (reference := _record(session, each)) is not None]


def register_at(database_url: str, store_url: str) -> list[str]:
    """The same over the servers at these URLs."""
    database = Database(database_url, pooled=False)
    try:
        return register(database, Blobs.open(store_url))
    finally:
        database.close()


def read(folder: Path) -> list[Shipped]:
    """Read and check what a folder holds, by name; raise `Invalid`, naming the file, for what is damaged."""
    return [_read(path) for path in sorted(folder.glob("*.safetensors"))]


def digests(folder: Path = FOLDER) -> list[str]:
    """Return the SHA-256 (hexadecimal) of each that a folder holds, without reading the weights."""
    return [str(json.loads(path.read_text(encoding="utf-8"))["sha256"]) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> Shipped:
    data = path.read_bytes()
    digest = sha256(data).hexdigest()
    try:
        said = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if said["sha256"] != digest:
            raise Invalid(f"it has SHA-256 {digest}, not {said['sha256']}")
        return Shipped(path.stem, data, digest, check(data)["family"], dict(said["config"]), said.get("figures"))
    except (Invalid, KeyError, OSError, TypeError, ValueError) as error:
        raise Invalid(f"the weights {path.name} of this package are damaged ({error}); install Vyaz again") from error


def _record(session: Session, shipped: Shipped) -> str | None:
    """Make shipped weights a version, in production unless somebody put their own there; None if they are known."""
    session.execute(insert(Model).on_conflict_do_nothing(), [{"name": shipped.name}])
    named = sa.select(Model).where(Model.name == shipped.name)
    model = session.scalars(named.with_for_update(key_share=True)).one()
    digest, mine = bytes.fromhex(shipped.sha256), ModelVersion.model_id == model.id
    known = session.scalar(sa.select(ModelVersion.id).where(mine, ModelVersion.digest == digest))
    if known is not None:
        return None
    last = session.scalar(sa.select(sa.func.coalesce(sa.func.max(ModelVersion.number), 0)).where(mine)) or 0
    row = {"model_id": model.id, "number": last + 1, "family": shipped.family, "config": shipped.config}
    row |= {"path": weights_key(shipped.sha256), "digest": digest, "size": len(shipped.data)}
    version = session.scalars(insert(ModelVersion).returning(ModelVersion), [row | {"figures": shipped.figures}]).one()
    alias = session.get(Alias, (model.id, PRODUCTION))
    if alias is None:
        session.add(Alias(model_id=model.id, name=PRODUCTION, model_version_id=version.id))
    elif session.get_one(ModelVersion, alias.model_version_id).training_run_id is None:
        # What stands there was shipped with an earlier Vyaz.
        alias.model_version_id = version.id
    return f"{shipped.name}:{version.number}"
