"""Every table of Vyaz. PostgreSQL only; the server-side functions over them are in `core/ledger/functions.sql`.

Times are PostgreSQL's `clock_timestamp()`, never a worker's clock. Numbers that grow (done, failed, next index) are
kept on the job row, so that nothing is ever counted by scanning variants.
"""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("clock_timestamp()")
EMPTY = text("'{}'::jsonb")
TIMES = text("'{0,0}'::float8[]")


class Table(DeclarativeBase):
    """Names every constraint by one rule, so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        uuid.UUID: Uuid,
        str: Text,
        int: BigInteger,
        float: Double,
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        list[float]: ARRAY(Double),
    }


def _uuid_key() -> Mapped[uuid.UUID]:
    return mapped_column(primary_key=True, server_default=text("uuidv7()"))


def _created() -> Mapped[datetime]:
    return mapped_column(server_default=NOW)


class Queue(Table):
    """A Celery queue. `number` indexes the `virtual_time` and `served` arrays of owners and jobs."""

    __tablename__ = "queue"

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, unique=True)
    served: Mapped[float] = mapped_column(server_default=text("0"))
    """Highest virtual time served here, as of the last tick: where an owner starts when nobody else is active."""
    ticked_at: Mapped[datetime] = _created()


class Owner(Table):
    """Who an API key acts for."""

    __tablename__ = "owner"
    __table_args__ = (CheckConstraint("weight > 0", name="weight_is_positive"),)

    id: Mapped[uuid.UUID] = _uuid_key()
    name: Mapped[str] = mapped_column(unique=True)
    weight: Mapped[float] = mapped_column(server_default=text("1"))
    virtual_time: Mapped[list[float]] = mapped_column(server_default=TIMES)
    """Device-seconds / weight, per queue."""
    served: Mapped[list[float]] = mapped_column(server_default=TIMES)
    """Virtual time of this owner's job last served, per queue."""
    created_at: Mapped[datetime] = _created()


class ApiKey(Table):
    """A key's SHA-256 and its readable prefix; the key itself is shown once and not kept."""

    __tablename__ = "api_key"

    id: Mapped[uuid.UUID] = _uuid_key()
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("owner.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    scope: Mapped[str]
    created_at: Mapped[datetime] = _created()
    revoked_at: Mapped[datetime | None]


class Job(Table):
    """What a user submitted. One row whatever its size; shards are cut from `next_index` when a slot claims."""

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("owner_id", "idempotency_key"),
        CheckConstraint("done >= 0 AND failed >= 0 AND done + failed <= total", name="counts_fit"),
        CheckConstraint("next_index <= total", name="next_fits"),
        Index(
            "ix_job_unfinished",
            "owner_id",
            "number",
            postgresql_where=text("state IN ('queued', 'running', 'paused')"),
        ),
    )

    id: Mapped[uuid.UUID] = _uuid_key()
    number: Mapped[int] = mapped_column(Identity(always=True), unique=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("owner.id"), index=True)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'queued'"))
    priority: Mapped[int] = mapped_column(SmallInteger)
    """Class: 0 interactive, 1 normal, 2 bulk."""
    queues: Mapped[list[str]]
    needs: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    after_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    """Not claimable before this job is done; fails with it."""
    spec: Mapped[dict[str, Any]]
    seed: Mapped[int]
    model_version_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("model_version.id"), index=True)
    total: Mapped[int]
    next_index: Mapped[int] = mapped_column(server_default=text("0"))
    done: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))
    in_flight_limit: Mapped[int | None] = mapped_column(Integer)
    shard_size: Mapped[int | None]
    """Items in a shard, where it does not follow the measured rate."""
    closing: Mapped[str] = mapped_column(server_default=text("'none'"))
    """none, due, leased or done: the one shard that becomes claimable when all others are finished."""
    virtual_time: Mapped[list[float]] = mapped_column(server_default=TIMES)
    seconds_per_item: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    """Measured rate per device class."""
    device_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    result: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    reason: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    body_digest: Mapped[bytes | None]
    created_at: Mapped[datetime] = _created()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Shard(Table):
    """The range [start, stop) of a job's items, from its first claim on."""

    __tablename__ = "shard"
    __table_args__ = (
        Index("ix_shard_open", "job_number", "start", postgresql_where=text("state <> ALL ('{done,split}')")),
        Index("ix_shard_job", "job_number"),
        Index("ix_shard_lease", "lease_until", postgresql_where=text("state = 'leased'")),
        Index("ix_shard_slot", "slot_id", postgresql_where=text("state = 'leased'")),
        CheckConstraint("start <= stop", name="range_is_ordered"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    job_number: Mapped[int] = mapped_column(ForeignKey("job.number", ondelete="CASCADE"))
    start: Mapped[int]
    stop: Mapped[int]
    state: Mapped[str]
    closing: Mapped[bool] = mapped_column(server_default=text("false"))
    epoch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    slot_id: Mapped[uuid.UUID | None]
    """No foreign key: forgetting a slot of last week must not rewrite all the shards it ever did."""
    mark: Mapped[int]
    """Where the holder said it stands, as an index; what lies below is worked but not yet kept."""
    estimate: Mapped[float] = mapped_column(server_default=text("0"))
    """Device-seconds charged at the claim, given back or corrected later."""
    charged: Mapped[float] = mapped_column(server_default=text("0"))
    """The estimate by the owner's weight of that moment; exactly this is given back."""
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime] = _created()
    device_class: Mapped[str | None]
    path: Mapped[str | None]
    size: Mapped[int | None]
    digest: Mapped[bytes | None]
    reason: Mapped[str | None]
    created_at: Mapped[datetime] = _created()
    finished_at: Mapped[datetime | None]


class Variant(Table):
    """One produced monogram. Narrow on purpose: the recipe is drawn again from (seed, index), not stored.

    Shard and version carry no foreign key: each would cost a look-up a row, millions of times, and neither is ever
    deleted on its own.
    """

    __tablename__ = "variant"
    __table_args__ = (Index("ix_variant_letters", "letters", "job_number", "index"),)
    job_number: Mapped[int] = mapped_column(ForeignKey("job.number", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    letters: Mapped[str]
    layout: Mapped[str]
    model_version_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    shard_id: Mapped[int]
    offset: Mapped[int]
    length: Mapped[int] = mapped_column(Integer)
    digest: Mapped[bytes]
    ink: Mapped[float]
    legibility: Mapped[float | None]
    score: Mapped[float | None]


class Model(Table):
    """A name under which versions of weights are kept."""

    __tablename__ = "model"

    id: Mapped[uuid.UUID] = _uuid_key()
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = _created()


class ModelVersion(Table):
    """One immutable set of weights, named by its SHA-256."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model_id", "number"),)

    id: Mapped[uuid.UUID] = _uuid_key()
    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model.id"))
    number: Mapped[int] = mapped_column(Integer)
    family: Mapped[str]
    config: Mapped[dict[str, Any]]
    path: Mapped[str]
    digest: Mapped[bytes]
    size: Mapped[int]
    training_run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("training_run.id"))
    created_at: Mapped[datetime] = _created()
    figures: Mapped[dict[str, Any] | None]


class Alias(Table):
    """A movable name for a version: `letters@production`."""

    __tablename__ = "alias"

    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    model_version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model_version.id"))
    updated_at: Mapped[datetime] = _created()


class Dataset(Table):
    """A named source of letters. Without an owner it is built in and everybody's."""

    __tablename__ = "dataset"
    __table_args__ = (UniqueConstraint("owner_id", "name", postgresql_nulls_not_distinct=True),)

    id: Mapped[uuid.UUID] = _uuid_key()
    owner_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("owner.id"))
    name: Mapped[str]
    kind: Mapped[str]
    config: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _created()


class DatasetVersion(Table):
    """One immutable, content-hashed state of a dataset."""

    __tablename__ = "dataset_version"
    __table_args__ = (UniqueConstraint("dataset_id", "number"), UniqueConstraint("dataset_id", "digest"))

    id: Mapped[uuid.UUID] = _uuid_key()
    dataset_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dataset.id"))
    number: Mapped[int] = mapped_column(Integer)
    path: Mapped[str]
    digest: Mapped[bytes]
    size: Mapped[int]
    report: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _created()


class TrainingRun(Table):
    """One training, from its first segment on; `checkpoint` is where the last committed segment ended."""

    __tablename__ = "training_run"

    id: Mapped[uuid.UUID] = _uuid_key()
    job_number: Mapped[int] = mapped_column(unique=True)
    """No foreign key: where weights came from is remembered when the job is gone."""
    model_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("model.id"))
    dataset_version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dataset_version.id"))
    family: Mapped[str]
    config: Mapped[dict[str, Any]]
    step: Mapped[int] = mapped_column(server_default=text("0"))
    device_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    checkpoint: Mapped[str | None]
    checkpoint_digest: Mapped[bytes | None]
    created_at: Mapped[datetime] = _created()


class Metric(Table):
    """One figure of a training run at one step."""

    __tablename__ = "metric"

    training_run_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("training_run.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]


class Schedule(Table):
    """A rule for submitting a job by itself."""

    __tablename__ = "schedule"
    __table_args__ = (
        UniqueConstraint("owner_id", "name"),
        Index("ix_schedule_due", "next_due_at", postgresql_where=text("NOT paused")),
    )

    id: Mapped[uuid.UUID] = _uuid_key()
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("owner.id"))
    name: Mapped[str]
    cron: Mapped[str]
    timezone: Mapped[str]
    request: Mapped[dict[str, Any]]
    """The job to submit: kind and spec, as the API takes them."""
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    next_due_at: Mapped[datetime]
    created_at: Mapped[datetime] = _created()


class Fire(Table):
    """One occurrence of a schedule. The key is what keeps several beats from firing twice."""

    __tablename__ = "fire"

    schedule_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("schedule.id", ondelete="CASCADE"), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    reason: Mapped[str | None]
    """Why nothing was submitted, where that is so."""
    fired_at: Mapped[datetime] = _created()


class Worker(Table):
    """One slot: a device position of a node, held by one process."""

    __tablename__ = "worker"

    id: Mapped[uuid.UUID] = _uuid_key()
    node: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int] = mapped_column(Integer)
    parent_pid: Mapped[int] = mapped_column(Integer)
    queue: Mapped[str] = mapped_column(ForeignKey("queue.name"))
    device: Mapped[str]
    device_class: Mapped[str]
    version: Mapped[str]
    engine: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    """idle, busy, draining or gone."""
    shard_id: Mapped[int | None]
    served: Mapped[float] = mapped_column(server_default=text("0"))
    """Virtual time of the owner this slot served last; the latest of a queue's slots holds the queue's V."""
    served_at: Mapped[datetime | None]
    started_at: Mapped[datetime] = _created()
    heartbeat_at: Mapped[datetime] = _created()


class Event(Table):
    """What happened to a job or a shard, in order, and who did it."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_job", "job_number", "id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    job_number: Mapped[int] = mapped_column(ForeignKey("job.number", ondelete="CASCADE"))
    shard_id: Mapped[int | None]
    epoch: Mapped[int | None] = mapped_column(Integer)
    what: Mapped[str]
    actor: Mapped[str | None]
    detail: Mapped[str | None]
    at: Mapped[datetime] = _created()
