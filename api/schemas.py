"""What the API takes and gives, as JSON. Bodies are strict and know every field; answers show what is named here."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from core.catalogue.datasets import MAX_PATH, NAME, DatasetView
from core.catalogue.jobs import JobView
from core.catalogue.keys import MAX_NAME, Scope
from core.catalogue.owners import MAX_WEIGHT, OWNER_NAME
from core.catalogue.schedules import ScheduleView
from core.catalogue.tables import ApiKey
from core.catalogue.workers import SlotView
from core.ledger.kinds import JobKind
from core.ledger.states import JobState
from core.registry import DatasetKind, EmnistSplit
from core.requests import JobRequest

T = TypeVar("T")

PriorityName = Literal["interactive", "normal", "bulk"]
PRIORITIES: tuple[PriorityName, ...] = ("interactive", "normal", "bulk")  # by `core.ledger.states.Priority`
Name = Annotated[str, Field(pattern=NAME)]
OwnerName = Annotated[str, Field(pattern=OWNER_NAME)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("only characters that can be printed")
    return text


Printable = Annotated[str, AfterValidator(_printable)]
Hex = Annotated[bytes, PlainSerializer(bytes.hex), WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]*$"})]


class Body(BaseModel):
    """Something sent to the API."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Answer(BaseModel):
    """Something the API gives."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Page(Answer, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None = Field(description="Cursor of the next page; null on the last one")


class Fault(Answer):
    """One field that makes no sense."""

    pointer: str = Field(description="JSON pointer into the body, or /query/…, /path/…, /header/…")
    detail: str


class Problem(Answer):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Which kind of problem, for programs", examples=["urn:vyaz:problem:not-found"])
    title: str
    status: int
    detail: str
    errors: list[Fault] = Field(default_factory=list)
    request_id: str = Field(description="Also in the header X-Request-ID and in the log")


class Job(Answer):
    """A job as it stands."""

    id: uuid.UUID
    kind: JobKind
    state: JobState
    total: int = Field(description="Items; done + failed = total at the end. A first guess until a training began")
    done: int
    failed: int
    reached: int = Field(description="Items that workers have passed, but not handed in yet")
    priority: PriorityName
    seed: int
    spec: dict[str, Any] = Field(description="As resolved at submit: versions are pinned")
    model: str | None = Field(description="The version that it is tied to, or that it made: letters:3")
    after: uuid.UUID | None = Field(description="It waits for this job")
    reason: str | None
    result: dict[str, Any]
    rate: float | None = Field(description="Items a second")
    eta_seconds: float | None
    workers: int = Field(description="Slots that work on it now")
    device_seconds: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, view: JobView) -> "Job":
        """The job as its owner sees it."""
        row = view.row
        return cls(
            id=row.id,
            kind=JobKind(row.kind),
            state=JobState(row.state),
            total=row.total,
            done=row.done,
            failed=row.failed,
            reached=view.work.reached,
            priority=PRIORITIES[row.priority],
            seed=row.seed,
            spec=row.spec,
            model=view.model,
            after=row.after_id,
            reason=row.reason,
            result=row.result,
            rate=view.rate,
            eta_seconds=view.eta_seconds,
            workers=view.work.slots,
            device_seconds=row.device_seconds,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )


class JobChange(Body):
    """What of a job may be changed."""

    priority: PriorityName


class Variant(Answer):
    """One produced monogram."""

    id: str = Field(description="<job id>.<index>", examples=["019a0000-0000-7000-8000-000000000000.42"])
    job: uuid.UUID
    index: int
    letters: str
    layout: str
    model: str | None
    digest: Hex = Field(description="SHA-256 of size, mode and pixels")
    ink: float = Field(description="Share of the picture that is ink")
    legibility: float | None = Field(
        description="How surely a judge reads its least legible letter; null: none read it"
    )
    score: float | None = Field(description="How good it looks, 0 to 1; null: made before there were scores")


class Version(Answer):
    """One immutable set of weights, and what it was made from."""

    number: int
    family: str
    digest: Hex = Field(description="SHA-256 of the weights' file")
    size: int = Field(description="Bytes")
    config: dict[str, Any]
    dataset: str | None = Field(description="The dataset version it was trained on: fonts:2")
    job: uuid.UUID | None = Field(description="The job that trained it, if it is yours and still there")
    step: int | None
    device_seconds: float | None
    figures: dict[str, Any] | None = Field(description="What its last evaluation found, defined in docs/metrics.md")
    created_at: datetime


class Model(Answer):
    """A name under which versions are kept, the newest first."""

    name: str
    versions: list[Version]
    aliases: dict[str, int] = Field(description="Alias -> version number")
    created_at: datetime


class NewDataset(Body):
    """A source of letters to register."""

    name: Name
    kind: Annotated[DatasetKind, Field(strict=False)] = DatasetKind.FONTS
    path: str | None = Field(None, max_length=MAX_PATH, description="Folder on the workers' machine; null: none")
    split: Annotated[EmnistSplit | None, Field(strict=False)] = Field(
        None, description="For emnist alone; null: letters"
    )


class DatasetVersion(Answer):
    """One immutable state of a dataset."""

    number: int
    digest: Hex
    size: int = Field(description="Bytes")
    report: dict[str, Any] = Field(description="What was taken, what was left out, and why")
    created_at: datetime


class Dataset(Answer):
    """A named source of letters, its versions the newest first."""

    name: str
    kind: str
    path: str | None
    split: str | None = Field(None, description="For emnist alone; null: letters")
    builtin: bool
    versions: list[DatasetVersion]
    created_at: datetime

    @classmethod
    def of(cls, view: DatasetView) -> "Dataset":
        """The dataset with its versions."""
        row = view.row
        return cls(
            name=row.name,
            kind=row.kind,
            path=row.config.get("path"),
            split=row.config.get("split"),
            builtin=row.owner_id is None,
            versions=[DatasetVersion.model_validate(version) for version in view.versions],
            created_at=row.created_at,
        )


class Worker(Answer):
    """One slot: a device position of a node."""

    id: uuid.UUID
    node: str
    host: str
    pid: int
    queue: str
    device: str
    device_class: str
    version: str
    state: str
    job: uuid.UUID | None = Field(None, description="The job it works on, if it is yours")
    started_at: datetime
    heartbeat_at: datetime

    @classmethod
    def of(cls, view: SlotView) -> "Worker":
        """The slot, and the caller's job on it."""
        return cls.model_validate(view.row).model_copy(update={"job": view.job})


class Event(Answer):
    """One change of a job or of one of its shards."""

    id: int
    at: datetime
    what: str
    shard_id: int | None
    epoch: int | None = Field(description="Of the shard's lease: whoever came later had a higher one")
    actor: str | None = Field(description="A key's readable part, a schedule, or the id of a slot")
    detail: str | None


class Audit(Answer):
    """What a look at a job's history found."""

    events: int
    shards: int
    problems: list[str] = Field(description="What breaks a rule of the ledger; empty when all is legal")


class NewKey(Body):
    """A key to make."""

    owner: OwnerName | None = Field(None, description="Whom it acts for; made if new. Null: the caller's own owner")
    name: Printable = Field("", max_length=MAX_NAME)
    scope: Annotated[Scope, Field(strict=False)] = Scope.WRITE


class Key(Answer):
    """What is known of a key; the key itself is not kept."""

    id: uuid.UUID
    owner: str
    name: str
    prefix: str
    scope: str
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: ApiKey, owner: str) -> "Key":
        """The key as people recognise it."""
        return cls(
            id=row.id,
            owner=owner,
            name=row.name,
            prefix=row.prefix,
            scope=row.scope,
            created_at=row.created_at,
            revoked_at=row.revoked_at,
        )


class MadeKey(Key):
    """A key as it is shown once."""

    key: str = Field(examples=["vyz_0123456789ab_" + "x" * 43])


class Owner(Answer):
    """Whom keys act for."""

    name: str
    weight: float = Field(description="Share where several wait")
    created_at: datetime


class OwnerChange(Body):
    """What of an owner may be changed."""

    weight: float = Field(gt=0, le=MAX_WEIGHT, allow_inf_nan=False)


class NewSchedule(Body):
    """A rule for submitting a job by itself."""

    name: Name
    cron: Printable = Field(max_length=100, description="minute hour day month weekday", examples=["0 3 * * *"])
    timezone: Printable = Field("UTC", max_length=64, examples=["Europe/Kyiv"])
    request: JobRequest


class Fire(Answer):
    """One occurrence of a schedule."""

    due_at: datetime
    job: uuid.UUID | None
    reason: str | None = Field(description="Why nothing was submitted")
    fired_at: datetime


class Schedule(Answer):
    """A rule for submitting a job by itself, and the last time that it did."""

    name: str
    cron: str
    timezone: str
    request: dict[str, Any]
    paused: bool
    next_due_at: datetime
    last: Fire | None
    created_at: datetime

    @classmethod
    def of(cls, view: ScheduleView) -> "Schedule":
        """The schedule with its last fire."""
        row, fire = view.row, view.last
        last = (
            Fire(due_at=fire.due_at, job=fire.job_id, reason=fire.reason, fired_at=fire.fired_at)
            if fire is not None
            else None
        )
        return cls(
            name=row.name,
            cron=row.cron,
            timezone=row.timezone,
            request=row.request,
            paused=row.paused,
            next_due_at=row.next_due_at,
            last=last,
            created_at=row.created_at,
        )


class Live(Answer):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(Answer):
    """Requests can be served."""

    status: Literal["ready"] = "ready"
    schema_version: str
    degraded: list[str] = Field(description="What is away without keeping anybody from working: broker")
