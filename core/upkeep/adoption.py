"""Jobs that only the store knows, taken into a catalogue again: from what their shards say of themselves.

A shard's name says where it was to begin and end and at which epoch it was made; its manifest says what it was made
from, its report how far it got. Several attempts at the same items may lie side by side; all show the same pictures,
and those that follow each other without a gap are taken, the latest attempt first.
"""

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue import models
from core.catalogue.tables import Job, Model, ModelVersion, Shard
from core.errors import Invalid, NotFound
from core.ledger.jobs import clock, record
from core.ledger.states import JobState, Priority, ShardState
from core.recipe import parse_spec
from core.storage.blobs import Blobs
from core.storage.weights import check, weights_key

REASON: Final = "taken in from the store"

_NAME: Final = re.compile(r"(\d{10,})-(\d{10,})\.(\d+)(-[0-9a-f]+)?\.tar")


@dataclass(frozen=True)
class Found:
    """A shard as it lies in the store."""

    key: str
    start: int
    epoch: int
    size: int
    digest: bytes
    manifest: Mapping[str, Any]
    report: Mapping[str, Any]
    count: int  # of pictures

    @property
    def stop(self) -> int:
        """How far it goes."""
        return int(self.report["upto"])

    @property
    def closing(self) -> bool:
        """Whether it holds what was chosen as the best."""
        return bool(self.manifest.get("closing"))


@dataclass(frozen=True)
class Name:
    """What the key of a shard says."""

    start: int
    stop: int
    epoch: int


def read_name(key: str) -> Name | None:
    """Read a shard's key; None if it is none's."""
    parts = _NAME.fullmatch(key.rpartition("/")[2])
    return None if parts is None else Name(int(parts[1]), int(parts[2]), int(parts[3]))


def choose(found: Iterable[Found]) -> list[Found]:
    """Choose shards that follow each other, the latest attempt at each place; of a job that kept its best, that one."""
    ranked = sorted(found, key=lambda each: (each.start, -each.epoch, -each.stop))
    closing = [each for each in ranked if each.closing]
    if closing:
        return closing[:1]
    chosen: list[Found] = []
    reached = 0
    for each in ranked:
        if each.start >= reached and each.stop > each.start:
            chosen.append(each)
            reached = each.stop
    return chosen


def adopt(session: Session, blobs: Blobs, owner_id: uuid.UUID, job_id: uuid.UUID, chosen: list[Found]) -> Job:
    """Make the rows of a job and of its shards; variants follow. A job that is known is returned as it is.

    A job of which something is missing is cancelled, and `retry` makes the rest. Raise `Invalid` for shards that do not
    say enough, or were not made for the same job.
    """
    known = session.get(Job, job_id)
    if known is not None:
        return known
    said = _agree(chosen)
    spec = parse_spec(said["spec"]).model_dump(mode="json")
    version_id = _version(session, blobs, str(said["spec"]["model"]), said["weights"])
    if said.get("judge") and spec.get("judge"):
        _version(session, blobs, spec["judge"], said["judge"])
    total = int(said["total"])
    closed = chosen[0].closing
    counters = _closed(chosen[0]) if closed else _counted(chosen, total)
    values = {
        "id": job_id,
        "owner_id": owner_id,
        "kind": "generate",
        "priority": int(Priority.NORMAL),
        "queues": ["cpu", "gpu"],
        "needs": _needs(session, said["engine"], version_id),
        "spec": spec,
        "seed": said["seed"],
        "model_version_id": version_id,
        "total": total,
        "next_index": total if closed else max(each.stop for each in chosen),
        "closing": "done" if closed else ("due" if spec.get("best") is not None else "none"),
        "started_at": clock(session),
        **counters,
    }
    values["state"] = JobState.DONE if _whole(values) else JobState.CANCELLED
    values |= {"finished_at": clock(session), "reason": None if values["state"] == JobState.DONE else REASON}
    job = session.scalars(insert(Job).returning(Job), [values]).one()
    session.execute(insert(Shard), [_row(job, each) for each in chosen])
    if lone := [*_failed(job, chosen), *_gaps(job, chosen)]:
        session.execute(insert(Shard), lone)
    record(session, job.number, "submitted", detail=REASON)
    return job


def _needs(session: Session, engine: int, version_id: uuid.UUID | None) -> dict[str, Any]:
    """What a slot must meet to make the rest, as it was when the job was submitted."""
    version = session.get(ModelVersion, version_id) if version_id is not None else None
    return {"engine": engine, "family": version.family} if version is not None else {"engine": engine}


def _agree(chosen: list[Found]) -> Mapping[str, Any]:
    """The one manifest of all shards, but for where each begins."""
    first = {name: value for name, value in chosen[0].manifest.items() if name != "start"}
    for each in chosen:
        if {name: value for name, value in each.manifest.items() if name != "start"} != first:
            raise Invalid(f"{each.key} was made from something else than {chosen[0].key}")
    if missing := {"engine", "seed", "spec", "total", "weights"} - {name for name in first if first[name] is not None}:
        raise Invalid(f"{chosen[0].key} does not say {', '.join(sorted(missing))}")
    return first


def _counted(chosen: list[Found], total: int) -> dict[str, Any]:
    """The counters of a job from the reports of its shards."""
    rejected: Counter[str] = Counter()
    for each in chosen:
        rejected.update(each.report.get("rejected", {}))
    failed = sum(len(each.report.get("failed", {})) for each in chosen)
    done = sum(each.stop - each.start for each in chosen) - failed
    return {"done": done, "failed": failed, "result": {"rejected": dict(rejected)} if rejected else {}}


def _closed(one: Found) -> dict[str, Any]:
    """The counters of a job that kept its best, as its closing shard says."""
    result = {"kept": one.count, "rejected": one.report["rejected"]}
    return {"done": one.report["done"], "failed": one.report["failed"], "result": result}


def _whole(values: Mapping[str, Any]) -> bool:
    return bool(values["done"] + values["failed"] == values["total"] and values["closing"] in ("none", "done"))


def _row(job: Job, found: Found) -> dict[str, Any]:
    row = {"job_number": job.number, "start": found.start, "stop": found.stop, "mark": found.stop, "state": "done"}
    row |= {"closing": found.closing, "epoch": found.epoch, "attempts": 1, "finished_at": job.finished_at}
    return row | {"path": found.key, "size": found.size, "digest": found.digest}


def _failed(job: Job, chosen: list[Found]) -> list[dict[str, Any]]:
    """Items that a shard says have failed."""
    said = ((int(index), reason) for each in chosen if not each.closing for index, reason in _failures(each))
    return [_lone(job, index, index + 1, ShardState.QUARANTINED, reason) for index, reason in said]


def _failures(found: Found) -> Iterable[tuple[str, str]]:
    failed: Mapping[str, str] = found.report.get("failed", {})
    return failed.items()


def _gaps(job: Job, chosen: list[Found]) -> list[dict[str, Any]]:
    """What lies between the shards, to be made when the job is retried."""
    rows, reached = [], 0
    for each in chosen if not chosen[0].closing else ():
        if each.start > reached:
            rows.append(_lone(job, reached, each.start, ShardState.RETURNED, REASON))
        reached = each.stop
    return rows


def _lone(job: Job, start: int, stop: int, state: ShardState, reason: str) -> dict[str, Any]:
    row = {"job_number": job.number, "start": start, "stop": stop, "mark": start, "state": state.value}
    return row | {"reason": reason}


def _version(session: Session, blobs: Blobs, reference: str, sha256: str) -> uuid.UUID | None:
    """The version of these weights: the one so named, any other of the same bytes, or a new one; None without them."""
    digest = bytes.fromhex(sha256)
    named = models.pin_if_any(session, reference)
    if named is not None and models.locate(session, named.id).digest == digest:
        return named.id
    same = sa.select(ModelVersion.id).where(ModelVersion.digest == digest).order_by(ModelVersion.created_at).limit(1)
    found = session.scalar(same)
    return found if found is not None else _record(session, blobs, reference, sha256)


def _record(session: Session, blobs: Blobs, reference: str, sha256: str) -> uuid.UUID | None:
    """Record weights that lie in the store as a version: under the number of the reference, if that is free."""
    name, _, number = reference.partition(":")
    try:
        data = blobs.get(weights_key(sha256))
        family = check(data)["family"]
    except (NotFound, Invalid, KeyError):
        return None
    session.execute(insert(Model).on_conflict_do_nothing(), [{"name": name}])
    model = session.scalars(sa.select(Model).where(Model.name == name).with_for_update(key_share=True)).one()
    taken = set(session.scalars(sa.select(ModelVersion.number).where(ModelVersion.model_id == model.id)))
    wanted = int(number) if number.isdecimal() else 1
    row = {"model_id": model.id, "number": wanted if wanted not in taken else max(taken) + 1, "family": family}
    row |= {"config": {}, "path": weights_key(sha256), "digest": bytes.fromhex(sha256), "size": len(data)}
    return session.scalars(insert(ModelVersion).returning(ModelVersion.id), [row]).one()
