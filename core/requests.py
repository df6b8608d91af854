"""What users ask for, resolved into jobs: the same for a request over HTTP and for one that a schedule keeps.

Resolving checks the spec by its kind, pins the model version, finds the dataset, and says which jobs the request stands
for: a training is a look at its dataset and then the training. Nothing is read from files or the store.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from core.catalogue import datasets, exports, models, shards
from core.catalogue.tables import Job
from core.catalogue.variants import MAKERS
from core.errors import Invalid, NotFound
from core.ledger.jobs import MAX_SEED, MAX_TOTAL, Submission, find_by_key, submit
from core.ledger.kinds import KINDS, JobKind
from core.ledger.placement import require_slot
from core.ledger.states import UNFINISHED, JobState, Priority
from core.recipe import BLOCK, ENGINE, parse_spec
from core.specs import (
    DatasetSpec,
    EvaluateSpec,
    ExportSpec,
    GcSpec,
    InvertSpec,
    NullSpec,
    RebuildSpec,
    RepairSpec,
    SheetSpec,
    VerifySpec,
)
from core.training.config import TrainConfig

PROVISIONAL_STEPS = 1_000_000
"""A training's total until its dataset is loaded and its steps are known."""
PROVISIONAL_FILES = 1
"""A dataset's total until its first item has listed the files."""
KEPT_APART = "\u001f"
"""Parts the key of a request's earlier jobs from the user's own: no header can hold this sign."""

Model = TypeVar("Model", bound=BaseModel)


def _storable(spec: dict[str, Any]) -> dict[str, Any]:
    """Refuse what PostgreSQL's JSON cannot hold, wherever it stands."""
    try:
        text = json.dumps(spec, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise ValueError("a number must be finite and a text must be Unicode") from error
    if "\\u0000" in text:
        raise ValueError("no text may hold NUL")
    return spec


Spec = Annotated[dict[str, Any], AfterValidator(_storable)]


class JobRequest(BaseModel):
    """The body that makes a job."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Annotated[JobKind, Field(strict=False)]
    spec: Spec = Field(default_factory=dict, description="What the kind needs to know")
    count: int | None = Field(None, ge=1, le=MAX_TOTAL, description="Variants in the whole job; generate and null only")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Of everything drawn by lot; a training has its own in spec")
    priority: Literal["interactive", "normal", "bulk"] | None = Field(
        None, description="Null: interactive for evaluate, sheet and invert, normal for the others"
    )
    device: Literal["auto", "cpu", "gpu"] = "auto"
    min_memory: int | None = Field(None, ge=1, le=2**60, description="Bytes that a slot must have to take it")
    wait_for_worker: bool = Field(False, description="Accept it even if no worker that is known can do it")
    shard_size: int | None = Field(
        None, ge=1, le=MAX_TOTAL, description="Items in a shard, instead of by measured rate"
    )


@dataclass(frozen=True)
class _Draft:
    """What the kinds share of a submission."""

    session: Session
    owner_id: uuid.UUID
    request: JobRequest

    def submission(self, kind: JobKind, spec: dict[str, Any], total: int, seed: int, **more: Any) -> Submission:
        device = more.pop("device", self.request.device)
        queues = ("cpu", "gpu") if device == "auto" else (device,)
        named = self.request.priority
        priority = Priority[named.upper()] if named is not None else KINDS[kind].priority
        needs = more.pop("needs", {})
        if self.request.min_memory is not None:
            needs = {**needs, "memory": self.request.min_memory}
        return Submission(kind.value, spec, total, seed, priority, queues, needs, **more)

    def count(self) -> int:
        """How many items were asked for; raises `Invalid` when nobody said."""
        if self.request.count is None:
            raise Invalid(f"a {self.request.kind} job needs a count", "/count")
        return self.request.count

    def no_count(self) -> None:
        """Raise `Invalid` for a count that would mean nothing."""
        for name in ("count", "shard_size"):
            if getattr(self.request, name) is not None:
                raise Invalid(f"{name} means nothing for a {self.request.kind} job; leave it out", f"/{name}")


def resolve(session: Session, owner_id: uuid.UUID, request: JobRequest) -> tuple[Submission, ...]:
    """The jobs that a request stands for, in order: each waits for the one before it, the last is what was asked for.

    Raises `Invalid` with a pointer into the request, naming what is known where something is not.
    """
    return _RESOLVERS[request.kind](_Draft(session, owner_id, request))


def submit_request(
    session: Session,
    owner_id: uuid.UUID,
    request: JobRequest,
    idempotency_key: str | None = None,
    actor: str | None = None,
) -> Job:
    """Submit what a request stands for; with a known idempotency key, return the job of the first time.

    Raises `Conflict` if no slot that is known can do the work, unless the request says that it will wait.
    """
    known = idempotency_key is not None and find_by_key(session, owner_id, idempotency_key) is not None
    job = _submit_all(session, owner_id, request, idempotency_key, actor)
    if not (known or request.wait_for_worker):
        require_slot(session, job)
    return job


def _submit_all(
    session: Session, owner_id: uuid.UUID, request: JobRequest, idempotency_key: str | None, actor: str | None
) -> Job:
    *earlier, last = resolve(session, owner_id, request)
    after_id = None
    for number, submission in enumerate(earlier):
        key = f"{idempotency_key}{KEPT_APART}{number}" if idempotency_key is not None else None
        # Without a body: that a key was used with another one is said of the user's own key, below.
        before = replace(submission, after_id=after_id, idempotency_key=key, actor=actor)
        after_id = submit(session, owner_id, before).id
    body = request.model_dump(mode="json")
    asked = replace(last, after_id=after_id, idempotency_key=idempotency_key, body=body, actor=actor)
    return submit(session, owner_id, asked)


def submit_stored(session: Session, owner_id: uuid.UUID, request: dict[str, Any], idempotency_key: str) -> Job:
    """Submit a request as a schedule keeps it; raises `Invalid` when it makes no sense any more.

    At night the workers that could do it may be away, and nobody reads the answer: so it always waits for them.
    """
    parsed = _parse(JobRequest, request, "").model_copy(update={"wait_for_worker": True})
    return submit_request(session, owner_id, parsed, idempotency_key, actor="a schedule")


def _generate(draft: _Draft) -> tuple[Submission, ...]:
    request = draft.request
    try:
        spec = parse_spec(request.spec)
    except Invalid as error:
        raise Invalid(str(error), f"/spec{error.pointer or ''}") from error
    if request.shard_size is not None and request.shard_size % BLOCK:
        raise Invalid(f"shard_size is {request.shard_size}; it must be a multiple of {BLOCK}", "/shard_size")
    pinned = models.pin(draft.session, spec.model)
    layouts = {spec.layout_of(letters) for letters in spec.letters}
    # One layout for all groups is written down, so that variants can be sought by it without looking at each.
    layout = layouts.pop() if len(layouts) == 1 else None
    update = {"model": pinned.reference, "layout": layout, "judge": _judge(draft.session, spec.judge)}
    resolved = spec.model_copy(update=update).model_dump(mode="json")
    count = draft.count()
    if spec.best is not None and spec.best > count:
        raise Invalid(f"the best {spec.best} of {count} variants cannot be kept", "/spec/best")
    more = {**_tied(pinned), "shard_size": request.shard_size, "closing": spec.best is not None}
    return (draft.submission(JobKind.GENERATE, resolved, count, request.seed, **more),)


def _judge(session: Session, named: str | None) -> str | None:
    """The judge's version that a job is tied to: the one named, else the one in production, if there is any."""
    if named is None:
        found = models.pin_if_any(session, models.GATE)
        return found.reference if found is not None else None
    try:
        return models.pin(session, named).reference
    except Invalid as error:
        raise Invalid(str(error), "/spec/judge") from error


def _train(draft: _Draft) -> tuple[Submission, ...]:
    draft.no_count()
    config = _parse(TrainConfig, draft.request.spec, "/spec")
    dataset, version = datasets.find(draft.session, draft.owner_id, config.dataset)
    spec = config.model_dump(mode="json")
    needs = {"family": config.family.value}
    training = draft.submission(JobKind.TRAIN, spec, PROVISIONAL_STEPS, config.seed, needs=needs)
    if version is not None:
        return (training,)
    return (_look(draft, dataset.id, dataset.name), training)


def _dataset(draft: _Draft) -> tuple[Submission, ...]:
    draft.no_count()
    spec = _parse(DatasetSpec, draft.request.spec, "/spec")
    dataset, version = datasets.find(draft.session, draft.owner_id, spec.dataset)
    if version is not None:
        raise Invalid(f"{spec.dataset} never changes; name the dataset, {dataset.name}", "/spec/dataset")
    return (_look(draft, dataset.id, dataset.name),)


def _look(draft: _Draft, dataset_id: uuid.UUID, name: str) -> Submission:
    """A look at a dataset's source. Any slot can read files, whatever device the training is for."""
    spec = {"dataset": name, "dataset_id": str(dataset_id)}
    return draft.submission(JobKind.DATASET, spec, PROVISIONAL_FILES, 0, device="auto")


def _evaluate(draft: _Draft) -> tuple[Submission, ...]:
    draft.no_count()
    spec = _parse(EvaluateSpec, draft.request.spec, "/spec")
    pinned = models.pin(draft.session, spec.model)
    name = spec.dataset or models.trained_on(draft.session, draft.owner_id, pinned.id) or datasets.BUILTIN
    dataset, version = datasets.find(draft.session, draft.owner_id, name)
    judge = _judge(draft.session, spec.judge)
    resolved = {"model": pinned.reference, "dataset": name, "judge": judge, "styles": spec.styles}
    evaluation = draft.submission(JobKind.EVALUATE, resolved, 1, draft.request.seed, **_tied(pinned))
    return (evaluation,) if version is not None else (_look(draft, dataset.id, dataset.name), evaluation)


def _sheet(draft: _Draft) -> tuple[Submission, ...]:
    draft.no_count()
    spec = _parse(SheetSpec, draft.request.spec, "/spec")
    pinned = models.pin(draft.session, spec.model)
    name = spec.dataset or models.trained_on(draft.session, draft.owner_id, pinned.id) or datasets.BUILTIN
    dataset, version = datasets.find(draft.session, draft.owner_id, name)
    version = version or datasets.newest(draft.session, dataset)
    if version is None and spec.dataset is not None:
        raise Invalid(f"dataset {name!r} has no version yet; a dataset job makes one", "/spec/dataset")
    resolved = {"model": pinned.reference, "dataset": f"{dataset.name}:{version.number}" if version else None}
    return (draft.submission(JobKind.SHEET, resolved, 1, draft.request.seed, **_tied(pinned)),)


def _invert(draft: _Draft) -> tuple[Submission, ...]:
    draft.no_count()
    spec = _parse(InvertSpec, draft.request.spec, "/spec")
    pinned = models.pin(draft.session, spec.model)
    resolved = spec.model_copy(update={"model": pinned.reference}).model_dump(mode="json")
    return (draft.submission(JobKind.INVERT, resolved, 1, draft.request.seed, **_tied(pinned)),)


def _export(draft: _Draft) -> tuple[Submission, ...]:
    draft.no_count()
    spec = _parse(ExportSpec, draft.request.spec, "/spec")
    if (spec.job is None) == (not spec.variants):
        raise Invalid("name a job, or at least one variant, and not both", "/spec/variants")
    if len(set(spec.formats)) != len(spec.formats):
        raise Invalid("every format once", "/spec/formats")
    if spec.bare and len(spec.variants) * len(spec.formats) != 1:
        raise Invalid("only one variant in one format can go without an archive", "/spec/bare")
    named: dict[str, set[int]] = {}
    for variant in spec.variants:
        job, _, index = variant.partition(".")
        named.setdefault(job, set()).add(int(index))
    wanted = {str(spec.job): None} if spec.job is not None else {job: sorted(own) for job, own in named.items()}
    total = sum(_count_kept(draft, uuid.UUID(job), indexes) for job, indexes in wanted.items())
    name = spec.name if len(wanted) == 1 or "{job}" in spec.name else spec.name + "-{job}"
    resolved = spec.model_copy(update={"name": name}).model_dump(mode="json") | {"jobs": wanted, "variants": []}
    return (draft.submission(JobKind.EXPORT, resolved, total, 0, needs={"engine": ENGINE}),)


def _count_kept(draft: _Draft, job_id: uuid.UUID, indexes: list[int] | None) -> int:
    """How many variants an export of a job is likely to have; raises `Invalid` for a job that has none."""
    try:
        source = exports.source(draft.session, draft.owner_id, job_id)
    except NotFound as error:
        raise Invalid(str(error), "/spec/job" if indexes is None else "/spec/variants") from error
    if indexes is not None:
        return len(indexes)
    if JobState(source.state) in UNFINISHED:
        raise Invalid(f"job {job_id} is {source.state}; export it when it is done", "/spec/job")
    if source.kept < 1:
        raise Invalid(f"job {job_id} kept no variant", "/spec/job")
    return source.kept


def _tied(pinned: models.Pinned) -> dict[str, Any]:
    """A job on one model version, for slots of this engine that can run its family."""
    return {"needs": {"engine": ENGINE, "family": pinned.family}, "model_version_id": pinned.id}


def _verify(draft: _Draft) -> tuple[Submission, ...]:
    return _look_after(draft, JobKind.VERIFY, _parse(VerifySpec, draft.request.spec, "/spec"))


def _repair(draft: _Draft) -> tuple[Submission, ...]:
    return _look_after(draft, JobKind.REPAIR, _parse(RepairSpec, draft.request.spec, "/spec"))


def _rebuild(draft: _Draft) -> tuple[Submission, ...]:
    spec = _parse(RebuildSpec, draft.request.spec, "/spec")
    if spec.job is not None:
        return _look_after(draft, JobKind.REBUILD, spec)
    draft.no_count()
    return (draft.submission(JobKind.REBUILD, spec.model_dump(mode="json"), 1, 0, needs={"engine": ENGINE}),)


def _look_after(draft: _Draft, kind: JobKind, spec: VerifySpec | RepairSpec | RebuildSpec) -> tuple[Submission, ...]:
    """A job over the items of another one, as far as they were given out."""
    draft.no_count()
    try:
        target = shards.job(draft.session, draft.owner_id, spec.job or uuid.UUID(int=0))
    except NotFound as error:
        raise Invalid(str(error), "/spec/job") from error
    if kind is JobKind.REBUILD and (target.kind != "generate" or JobState(target.state) in UNFINISHED):
        what = (
            f"{target.state}; rebuild it when it is finished" if target.kind == "generate" else f"a {target.kind} job"
        )
        raise Invalid(f"job {target.id} is {what}", "/spec/job")
    total = max(1, target.next_index) if target.kind in MAKERS else 1
    resolved = spec.model_dump(mode="json")
    return (draft.submission(kind, resolved, total, draft.request.seed, needs={"engine": ENGINE}),)


def _gc(draft: _Draft) -> tuple[Submission, ...]:
    draft.no_count()
    spec = _parse(GcSpec, draft.request.spec, "/spec").model_dump(mode="json")
    return (draft.submission(JobKind.GC, spec, 1, 0, needs={"engine": ENGINE}),)


def _null(draft: _Draft) -> tuple[Submission, ...]:
    spec = _parse(NullSpec, draft.request.spec, "/spec").model_dump(mode="json")
    size = draft.request.shard_size
    return (draft.submission(JobKind.NULL, spec, draft.count(), draft.request.seed, shard_size=size),)


_RESOLVERS: dict[JobKind, Callable[[_Draft], tuple[Submission, ...]]] = {
    JobKind.GENERATE: _generate,
    JobKind.TRAIN: _train,
    JobKind.DATASET: _dataset,
    JobKind.EVALUATE: _evaluate,
    JobKind.SHEET: _sheet,
    JobKind.INVERT: _invert,
    JobKind.EXPORT: _export,
    JobKind.VERIFY: _verify,
    JobKind.REPAIR: _repair,
    JobKind.REBUILD: _rebuild,
    JobKind.GC: _gc,
    JobKind.NULL: _null,
}


def _parse(kind: type[Model], data: dict[str, Any], place: str) -> Model:
    """Read JSON as JSON: strict, but with lists for tuples and strings for names of a closed set."""
    try:
        return kind.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        _refuse(error, place)


def _refuse(error: ValidationError, place: str) -> NoReturn:
    """Raise `Invalid` for the first field that makes no sense."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    steps = (str(part).replace("~", "~0").replace("/", "~1") for part in first["loc"])
    pointer = place + "".join(f"/{step}" for step in steps)
    message = first["msg"].removeprefix("Value error, ")
    raise Invalid(f"{'.'.join(map(str, first['loc'])) or 'spec'}: {message}", pointer or None) from None
