"""Jobs: submit, watch, wait, order about."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Final

from pydantic import ConfigDict, SkipValidation

from core.errors import NotFound, Unavailable, VyazError
from core.ledger.states import JobState
from vyaz.resources.requests import (
    dataset_request,
    evaluate_request,
    export_request,
    gc_request,
    generate_request,
    null_request,
    rebuild_request,
    repair_request,
    sheet_request,
    train_request,
    verify_request,
)
from vyaz.transport import Json, Transport, read

FIRST_LOOK: Final = 0.2  # seconds; between looks at a job when its events cannot be had, growing to
SLOWEST_LOOK: Final = 2.0
PATIENCE: Final = 120.0  # seconds that an API may be away while somebody waits for a job


class JobFailed(VyazError):
    """A job that was waited for failed or was cancelled; `job` is its last state."""

    def __init__(self, job: "Job") -> None:
        why = f": {job.reason}" if job.reason else ""
        super().__init__(f"job {job.id} {'was cancelled' if job.state == JobState.CANCELLED else 'failed'}{why}")
        self.job = job


@dataclass(frozen=True)
class Event:
    """One change of a job or of one of its shards: what, when, at which epoch, by whom."""

    id: int
    at: str
    what: str
    shard_id: int | None = None
    epoch: int | None = None
    actor: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Audit:
    """What a look at a job's history found; without problems all was legal."""

    events: int
    shards: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A job as it stood when the API was asked; `refresh` gives a later one."""

    id: str
    kind: str
    state: JobState
    total: int
    done: int
    failed: int
    reached: int = 0
    """Items that workers have passed, but not handed in yet."""
    priority: str = "normal"
    seed: int = 0
    spec: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    """The version that it is tied to, or that it made: `letters:3`."""
    after: str | None = None
    """The job that has to be done before."""
    reason: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    rate: float | None = None
    """Items a second."""
    eta_seconds: float | None = None
    workers: int = 0
    """Slots that work on it now."""
    device_seconds: float = 0.0
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    _jobs: Annotated["Jobs", SkipValidation] | None = field(default=None, repr=False, compare=False)

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return not self.state.unfinished

    def refresh(self) -> "Job":
        """The same job as it stands now."""
        return self._bound.get(self.id)

    def watch(self) -> Iterator["Job"]:
        """Yield the job each time it got on, until it is finished; the last one is finished."""
        return self._bound.watch(self.id)

    def wait(self, timeout: float | None = None) -> "Job":
        """Block until the job is done and return it so.

        Raises `JobFailed` if it failed or was cancelled, `TimeoutError` after `timeout` seconds.
        """
        return self._bound.wait(self.id, timeout)

    def pause(self) -> "Job":
        """Let no more of it start; what was begun is finished."""
        return self._bound.pause(self.id)

    def resume(self) -> "Job":
        """Go on after a pause."""
        return self._bound.resume(self.id)

    def cancel(self) -> "Job":
        """Stop it for good; what was made stays."""
        return self._bound.cancel(self.id)

    def retry(self) -> "Job":
        """Work again on what failed or was left."""
        return self._bound.retry(self.id)

    @property
    def _bound(self) -> "Jobs":
        if self._jobs is None:
            raise VyazError("this job came from no client, so it cannot ask for itself")
        return self._jobs


class Jobs:
    """`client.jobs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def generate(self, letters: Sequence[str], count: int, **options: Any) -> Job:
        """Submit `count` variants of these groups of letters; see `requests.generate_request` for the options."""
        return self.submit(generate_request([letters] if isinstance(letters, str) else letters, count, **options))

    def train(self, dataset: str = "fonts", **options: Any) -> Job:
        """Submit a training run; see `requests.train_request` for the options."""
        return self.submit(train_request(dataset, **options))

    def dataset(self, dataset: str = "fonts") -> Job:
        """Submit a new look at a dataset's source."""
        return self.submit(dataset_request(dataset))

    def evaluate(self, model: str = "letters", **options: Any) -> Job:
        """Submit the measuring of a model version; its figures are kept with the version, and in the job's result."""
        return self.submit(evaluate_request(model, **options))

    def sheet(self, model: str = "letters", **options: Any) -> Job:
        """Submit the drawing of a page of a model version; `image` fetches it when the job is done."""
        return self.submit(sheet_request(model, **options))

    def invert(self, file: bytes, name: str, model: str = "letters", letter: str | None = None) -> Job:
        """Submit the search for the style of a font, or of the picture of one letter, which `letter` names.

        The job's result has the style vector `w`, which the option `style` of `generate` takes, and the overlap `iou`.
        """
        return self._job(self._transport.upload(f"/v1/models/{model}/inversions", file, name=name, letter=letter))

    def image(self, job_id: str) -> bytes:
        """The PNG that a job of kind sheet or invert ended in; raises `NotFound`."""
        return self._transport.get_bytes(f"/v1/jobs/{job_id}/image")

    def export(self, job: str | None = None, variants: Sequence[str] = (), **options: Any) -> Job:
        """Submit the drawing of files of a job's variants, or of some by their ids; `file` fetches what comes of it."""
        return self.submit(export_request(job, variants, **options))

    def file(self, job_id: str, target: BinaryIO) -> int:
        """Write the file that an export ended in to an open file; how many bytes. Raises `NotFound`."""
        return self._transport.save(f"/v1/jobs/{job_id}/file", target)

    def verify(self, job: str, sample: int | None = 16, *, seed: int = 0) -> Job:
        """Submit a look at what a job stored; `sample` variants are made again, by lot, or with None all of them.

        The result says `sound`, counts, and `findings`: what is wrong with which object.
        """
        return self.submit(verify_request(job, sample, seed=seed))

    def repair(self, job: str) -> Job:
        """Submit the making again of damaged and lost shards of a job; the result says what became of each."""
        return self.submit(repair_request(job))

    def rebuild(self, job: str | None = None) -> Job:
        """Submit the making again of a job's rows from its shards; without one, of all jobs that only the store knows.

        The latter needs a key of scope admin.
        """
        return self.submit(rebuild_request(job))

    def gc(self, *, dry_run: bool = False, grace_seconds: float = 3600.0) -> Job:
        """Submit the deletion of what nothing refers to. Needs a key of scope admin."""
        return self.submit(gc_request(dry_run=dry_run, grace_seconds=grace_seconds))

    def null(self, count: int, **options: Any) -> Job:
        """Submit work that makes nothing."""
        return self.submit(null_request(count, **options))

    def submit(self, request: Json) -> Job:
        """Submit a body as `vyaz.resources.requests` makes them."""
        return self._job(self._transport.create("/v1/jobs", request))

    def get(self, job_id: str) -> Job:
        """One job; raises `NotFound`."""
        return self._job(self._transport.get(f"/v1/jobs/{job_id}"))

    def list(self, state: str | None = None, kind: str | None = None, limit: int | None = None) -> Iterator[Job]:
        """Yield jobs, the newest first."""
        for item in self._transport.pages("/v1/jobs", limit, state=state, kind=kind):
            yield self._job(item)

    def watch(self, job_id: str, *, events: bool = True) -> Iterator[Job]:
        """Yield a job each time it got on, by server-sent events, or without them by asking again and again.

        Raises `Unavailable` when the API is away for two minutes; the job itself does not mind.
        """
        job = self.get(job_id)
        yield job
        look, seen_at = FIRST_LOOK, time.monotonic()
        while not job.finished:
            try:
                for job in self._events(job_id) if events else ():
                    look, seen_at = FIRST_LOOK, time.monotonic()
                    yield job
            except (NotFound, Unavailable):
                pass  # the question below tells a broken stream from an API that is away
            try:
                job = self.get(job_id)
                seen_at = time.monotonic()
                yield job
            except Unavailable:
                if time.monotonic() - seen_at > PATIENCE:
                    raise
            if not job.finished:
                time.sleep(look)
                look = min(SLOWEST_LOOK, 2 * look)

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Block until a job is done; see `Job.wait`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        # A stream may be silent for long, so somebody in a hurry asks instead.
        for job in self.watch(job_id, events=timeout is None):
            if job.state is JobState.DONE:
                return job
            if job.finished:
                raise JobFailed(job)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} is {job.state} after {timeout:g} s, with {job.done} of {job.total}")
        raise AssertionError("watching ends with a finished job")

    def pause(self, job_id: str) -> Job:
        """Let no more of a job start; raises `Conflict` when its state does not allow it."""
        return self._order(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on."""
        return self._order(job_id, "resume")

    def cancel(self, job_id: str) -> Job:
        """Stop a job for good; what was made stays."""
        return self._order(job_id, "cancel")

    def retry(self, job_id: str) -> Job:
        """Open again what failed or was left."""
        return self._order(job_id, "retry")

    def reprioritise(self, job_id: str, priority: str) -> Job:
        """Move a job to another class: interactive, normal or bulk."""
        return self._job(self._transport.patch(f"/v1/jobs/{job_id}", {"priority": priority}))

    def history(self, job_id: str, limit: int | None = None) -> Iterator[Event]:
        """Yield what happened to a job and its shards, the oldest first."""
        for item in self._transport.pages(f"/v1/jobs/{job_id}/history", limit):
            yield read(Event, item)

    def audit(self, job_id: str) -> Audit:
        """Check a job's history against the rules of the ledger."""
        return read(Audit, self._transport.get(f"/v1/jobs/{job_id}/audit"))

    def remove(self, job_id: str) -> None:
        """Delete a finished job with its variants and pictures."""
        self._transport.delete(f"/v1/jobs/{job_id}")

    def _events(self, job_id: str) -> Iterator[Job]:
        for event in self._transport.events(f"/v1/jobs/{job_id}/events"):
            if "state" in event.data:
                yield self._job(event.data)

    def _order(self, job_id: str, verb: str) -> Job:
        return self._job(self._transport.post(f"/v1/jobs/{job_id}/{verb}"))

    def _job(self, answer: Json) -> Job:
        return replace(read(Job, answer), _jobs=self)
