"""Dataset: read a source of letters file by file, then merge what was read into one immutable version.

The first item lists the files; the list, kept in the store, is what all later shards go by. Whoever submits a dataset
job has read no file, so the job learns its total here. A source that has not changed ends the job at once.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.tables import Dataset as DatasetTable
from core.catalogue.tables import DatasetVersion, Job, Shard
from core.errors import Invalid, JobError
from core.ledger.finish import Keep, Outcome
from core.ledger.leases import Lease
from core.ledger.states import ShardState
from core.registry import DatasetKind
from core.training.config import DatasetConfig
from core.training.datasets import emnist, fonts
from core.training.datasets.fonts import Merged, Source
from worker.device import visible_cores
from worker.heartbeat import Hold
from worker.work import Workplace


class Reader(Protocol):
    """What the module of a kind does."""

    def fingerprint(self, found: Iterable[Source]) -> str:
        """Name what a version would be made from."""

    def parse_all(self, found: Sequence[Source], at_once: int) -> Iterator[bytes]:
        """Read items into parts, in order."""

    def merge(self, parts: Iterable[bytes]) -> Merged:
        """Join the parts of all items."""


READERS: Final[dict[DatasetKind, Reader]] = {DatasetKind.FONTS: fonts, DatasetKind.EMNIST: emnist}


class Dataset:
    """Makes dataset versions."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        if lease.closing:
            return self._close(lease, hold)
        if lease.start == 0:
            return self._open(lease, hold)
        return self._read(lease, hold, *self._listed(lease))

    def _open(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        """List the files; if they are those of a version that exists, that version is the answer."""
        with self._place.database.transaction() as session:
            config = _config(session, lease)
        found = self._list(config)
        fingerprint = READERS[config.kind].fingerprint(found)
        with self._place.database.transaction() as session:
            same = _same(session, lease, fingerprint)
        if same is not None:
            return Outcome(lease.stop, hold.seconds, total=1), lambda _: _answer(same, changed=False)
        # Named by shard and epoch, like all that is written outside the fence; whoever commits says which is true.
        key = f"datasets/jobs/{lease.job_id}/sources.{lease.shard_id}.{lease.epoch}.json"
        self._place.blobs.put(key, _encode(found))
        outcome, _ = self._read(lease, hold, config.kind, found)
        result = {"fingerprint": fingerprint, "sources": key, "kind": config.kind.value}
        return Outcome(outcome.upto, hold.seconds, total=len(found)), lambda _: result

    def _list(self, config: DatasetConfig) -> list[Source]:
        try:
            if config.kind is DatasetKind.EMNIST:
                return emnist.sources(config, self._place.settings.data.resolve() / "downloads")
            return fonts.sources(config)
        except Invalid as error:
            raise JobError(str(error)) from error

    def _read(self, lease: Lease, hold: Hold, kind: DatasetKind, found: list[Source]) -> tuple[Outcome, Keep]:
        upto = lease.start
        for part in READERS[kind].parse_all(found[lease.start : lease.stop], visible_cores()):
            self._place.blobs.put(_part_key(lease.job_id, upto, lease.shard_id, lease.epoch), part)
            upto += 1
            if not hold.reached(upto):
                break
        if upto == lease.start:
            raise JobError(f"the list of files ends before file {lease.start}")
        return Outcome(upto, hold.seconds), lambda _: {}

    def _close(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        """Merge all parts, unless the first item found the version that this would make."""
        with self._place.database.transaction() as session:
            result = session.scalars(sa.select(Job.result).where(Job.number == lease.job_number)).one()
            keys = _part_keys(session, lease)
        if "dataset_version_id" in result:
            return Outcome(lease.stop, hold.seconds), lambda _: {}
        merged = READERS[DatasetKind(result["kind"])].merge(self._parts(keys, hold))
        key = f"datasets/{merged.sha256}.npz"
        self._place.blobs.put(key, merged.data)
        report = asdict(merged.report) | {"fingerprint": result["fingerprint"]}

        def keep(session: Session) -> dict[str, Any]:
            return _record(session, lease, key, merged, report)

        return Outcome(lease.stop, hold.seconds, obsolete=[*keys, result["sources"]]), keep

    def _parts(self, keys: list[str], hold: Hold) -> Iterator[bytes]:
        for key in keys:
            hold.reached(hold.mark)
            yield self._place.blobs.get(key)

    def _listed(self, lease: Lease) -> tuple[DatasetKind, list[Source]]:
        with self._place.database.transaction() as session:
            result = session.scalars(sa.select(Job.result).where(Job.number == lease.job_number)).one()
        rows = json.loads(self._place.blobs.get(result["sources"]))
        found = [Source(row["name"], Path(row["path"]), row["sha256"], row["licence"]) for row in rows]
        return DatasetKind(result["kind"]), found


def _config(session: Session, lease: Lease) -> DatasetConfig:
    row = session.get(DatasetTable, uuid.UUID(lease.spec["dataset_id"]))
    if row is None:
        raise JobError("the dataset of this job is gone")
    return DatasetConfig(name=row.name, kind=row.kind, **row.config)


def _same(session: Session, lease: Lease, fingerprint: str) -> DatasetVersion | None:
    mine = DatasetVersion.dataset_id == uuid.UUID(lease.spec["dataset_id"])
    same = sa.select(DatasetVersion).where(mine, DatasetVersion.report["fingerprint"].astext == fingerprint)
    return session.scalar(same.order_by(DatasetVersion.number.desc()).limit(1))


def _record(session: Session, lease: Lease, key: str, merged: Merged, report: dict[str, Any]) -> dict[str, Any]:
    """Add the version, or find the one with the same content, made meanwhile."""
    dataset_id = uuid.UUID(lease.spec["dataset_id"])
    session.get_one(DatasetTable, dataset_id, with_for_update={"key_share": True})
    digest = bytes.fromhex(merged.sha256)
    mine = DatasetVersion.dataset_id == dataset_id
    version = session.scalar(sa.select(DatasetVersion).where(mine, DatasetVersion.digest == digest))
    if version is not None:
        return _answer(version, changed=False)
    last = session.scalar(sa.select(sa.func.coalesce(sa.func.max(DatasetVersion.number), 0)).where(mine))
    row = {"dataset_id": dataset_id, "number": (last or 0) + 1, "path": key, "digest": digest}
    row |= {"size": len(merged.data), "report": report}
    return _answer(session.scalars(insert(DatasetVersion).returning(DatasetVersion), [row]).one(), changed=True)


def _answer(version: DatasetVersion, *, changed: bool) -> dict[str, Any]:
    return {"dataset_version_id": str(version.id), "version": version.number, "changed": changed}


def _part_keys(session: Session, lease: Lease) -> list[str]:
    done = sa.select(Shard).where(Shard.job_number == lease.job_number, Shard.state == ShardState.DONE, ~Shard.closing)
    shards = session.scalars(done.order_by(Shard.start))
    return [
        _part_key(lease.job_id, index, shard.id, shard.epoch)
        for shard in shards
        for index in range(shard.start, shard.stop)
    ]


def _part_key(job_id: uuid.UUID, index: int, shard_id: int, epoch: int) -> str:
    return f"datasets/jobs/{job_id}/{index:06d}.{shard_id}.{epoch}.npz"


def _encode(found: list[Source]) -> bytes:
    rows = [{"name": s.name, "path": str(s.path), "sha256": s.sha256, "licence": s.licence} for s in found]
    return json.dumps(rows, ensure_ascii=False).encode()
