"""Every table of Vyaz. PostgreSQL only; the server-side functions over them are in `core/ledger/functions.sql`.

Times are PostgreSQL's `clock_timestamp()`, never a worker's clock. Numbers that grow (done, failed, next index) are
kept on the job row, so that nothing is ever counted by scanning variants.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.catalogue.learning import Alias as Alias
from core.catalogue.learning import Dataset as Dataset
from core.catalogue.learning import DatasetVersion as DatasetVersion
from core.catalogue.learning import Metric as Metric
from core.catalogue.learning import Model as Model
from core.catalogue.learning import ModelVersion as ModelVersion
from core.catalogue.learning import TrainingRun as TrainingRun
from core.catalogue.table import EMPTY, TIMES, created, uuid_key
from core.catalogue.table import Table as Table


class Queue(Table):
    """A Celery queue. `number` indexes the `virtual_time` and `served` arrays of owners and jobs."""

    __tablename__ = "queue"

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, unique=True)
    served: Mapped[float] = mapped_column(server_default=text("0"))
    """Highest virtual time served here, as of the last tick: where an owner starts when nobody else is active."""
    ticked_at: Mapped[datetime] = created()


class Owner(Table):
    """Who an API key acts for."""

    __tablename__ = "owner"
    __table_args__ = (CheckConstraint("weight > 0", name="weight_is_positive"),)

    id: Mapped[uuid.UUID] = uuid_key()
    name: Mapped[str] = mapped_column(unique=True)
    weight: Mapped[float] = mapped_column(server_default=text("1"))
    virtual_time: Mapped[list[float]] = mapped_column(server_default=TIMES)
    """Device-seconds / weight of what is finished, per queue; what is in hand stands at its shards."""
    served: Mapped[list[float]] = mapped_column(server_default=TIMES)
    """Virtual time of this owner's job last served, per queue."""
    created_at: Mapped[datetime] = created()


class ApiKey(Table):
    """A key's SHA-256 and its readable prefix; the key itself is shown once and not kept."""

    __tablename__ = "api_key"

    id: Mapped[uuid.UUID] = uuid_key()
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("owner.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    scope: Mapped[str]
    created_at: Mapped[datetime] = created()
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

    id: Mapped[uuid.UUID] = uuid_key()
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
    created_at: Mapped[datetime] = created()
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
    """Device-seconds that it is thought to take, while it is leased: what its owner and job are spending."""
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime] = created()
    device_class: Mapped[str | None]
    path: Mapped[str | None]
    size: Mapped[int | None]
    digest: Mapped[bytes | None]
    reason: Mapped[str | None]
    created_at: Mapped[datetime] = created()
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


class Schedule(Table):
    """A rule for submitting a job by itself."""

    __tablename__ = "schedule"
    __table_args__ = (
        UniqueConstraint("owner_id", "name"),
        Index("ix_schedule_due", "next_due_at", postgresql_where=text("NOT paused")),
    )

    id: Mapped[uuid.UUID] = uuid_key()
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("owner.id"))
    name: Mapped[str]
    cron: Mapped[str]
    timezone: Mapped[str]
    request: Mapped[dict[str, Any]]
    """The job to submit: kind and spec, as the API takes them."""
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    next_due_at: Mapped[datetime]
    created_at: Mapped[datetime] = created()


class Fire(Table):
    """One occurrence of a schedule. The key is what keeps several beats from firing twice."""

    __tablename__ = "fire"

    schedule_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("schedule.id", ondelete="CASCADE"), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    reason: Mapped[str | None]
    """Why nothing was submitted, where that is so."""
    fired_at: Mapped[datetime] = created()


class Worker(Table):
    """One slot: a device position of a node, held by one process."""

    __tablename__ = "worker"

    id: Mapped[uuid.UUID] = uuid_key()
    node: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int] = mapped_column(Integer)
    parent_pid: Mapped[int] = mapped_column(Integer)
    queue: Mapped[str] = mapped_column(ForeignKey("queue.name"))
    device: Mapped[str]
    device_class: Mapped[str]
    version: Mapped[str]
    engine: Mapped[int] = mapped_column(Integer)
    memory: Mapped[int | None]
    """Bytes that the slot may fill: its share of the machine's, or its GPU's."""
    kinds: Mapped[list[str] | None]
    """Kinds of job that its version knows; None: it did not say."""
    families: Mapped[list[str] | None]
    """Model families that it can run; None: it did not say."""
    warm: Mapped[list[uuid.UUID]] = mapped_column(server_default=text("'{}'"))
    """Model versions that it holds in memory."""
    owed: Mapped[list[float]] = mapped_column(server_default=text("'{0,0,0}'::float8[]"))
    """Device-seconds that it owes each class."""
    state: Mapped[str]
    """idle, busy, draining or gone."""
    shard_id: Mapped[int | None]
    served: Mapped[float] = mapped_column(server_default=text("0"))
    """Virtual time of the owner this slot served last; the latest of a queue's slots holds the queue's V."""
    served_at: Mapped[datetime | None]
    started_at: Mapped[datetime] = created()
    heartbeat_at: Mapped[datetime] = created()


class Event(Table):
    """What happened to a job or a shard, in order, and who did it."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_job", "job_number", "id"),
        Index("ix_event_at", "at", postgresql_using="brin"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    job_number: Mapped[int] = mapped_column(ForeignKey("job.number", ondelete="CASCADE"))
    shard_id: Mapped[int | None]
    epoch: Mapped[int | None] = mapped_column(Integer)
    what: Mapped[str]
    actor: Mapped[str | None]
    detail: Mapped[str | None]
    at: Mapped[datetime] = created()
