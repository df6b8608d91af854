"""Jobs: submit, read, order about, remove."""

import uuid
from functools import partial
from typing import Annotated

import structlog
from fastapi import APIRouter, BackgroundTasks, Body, Header, Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from api import examples, schemas
from api.auth import BriefReader, Reader, Writer
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, IdempotencyKey, Limit
from api.pictures import SHOWN_FILE, SHOWN_PICTURE, answer_file, answer_picture
from api.services import RequestRings, RequestServices, RequestSession, Services
from core.broker import QUEUES
from core.catalogue import jobs
from core.catalogue.jobs import JobView
from core.catalogue.keys import Caller, Scope
from core.catalogue.tables import Job
from core.errors import EnvironmentFault
from core.failpoints import reach
from core.ledger.jobs import order, remove, reprioritise
from core.ledger.kinds import JobKind
from core.ledger.states import JobState, Priority
from core.requests import JobRequest, submit_request
from core.storage.uploads import upload_key

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
KEYSET = Keyset("jobs", int)

SHOWN = {200: examples.answer(examples.JOB), **documented(401, 403, 404, 409, 422, 503)}


@router.post(
    "",
    status_code=202,
    summary="Submit a job",
    responses={202: examples.answer(examples.JOB), **documented(400, 401, 403, 409, 413, 415, 422, 503)},
)
def submit(
    request: Annotated[JobRequest, Body(openapi_examples=examples.REQUESTS)],
    session: RequestSession,
    caller: Writer,
    rings: RequestRings,
    key: IdempotencyKey,
    response: Response,
) -> schemas.Job:
    """Write it down, whatever its size, and answer; a training is a look at its dataset first, then the training."""
    require_scope(caller, request)
    job = submit_request(session, caller.owner_id, request, key, caller.prefix)
    reach("job row inserted")
    rings.add(QUEUES)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _shown(session, job)


@router.get("", summary="Jobs, the newest first", responses=documented(401, 403, 422, 503))
def list_jobs(
    session: RequestSession,
    caller: Reader,
    state: Annotated[list[JobState] | None, Query(description="Only in these states")] = None,
    kind: JobKind | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.Page[schemas.Job]:
    """The caller's owner's jobs."""
    after = KEYSET.decode(cursor)
    found = jobs.page(session, caller.owner_id, states=state or (), kind=kind, before=after, limit=limit + 1)
    return KEYSET.page(found, limit, schemas.Job.of, _place)


@router.get("/{job_id}", summary="One job", responses=SHOWN)
def show(job_id: uuid.UUID, session: RequestSession, caller: Reader) -> schemas.Job:
    """The job as it stands."""
    return schemas.Job.of(jobs.get(session, caller.owner_id, job_id))


@router.get("/{job_id}/image", summary="The picture that it ended in", response_class=Response, responses=SHOWN_PICTURE)
def image(
    job_id: uuid.UUID,
    caller: BriefReader,
    services: RequestServices,
    if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """The PNG of a job of kind sheet or invert; pictures of variants are theirs."""
    caller.require(Scope.READ)
    # No transaction is open while the store is read.
    with services.database.transaction() as session:
        place = jobs.picture(session, caller.owner_id, job_id)
    return answer_picture(partial(services.blobs.get, place.path), place.digest, if_none_match)


@router.get("/{job_id}/file", summary="The file that an export ended in", response_class=Response, responses=SHOWN_FILE)
def file(job_id: uuid.UUID, caller: BriefReader, services: RequestServices) -> StreamingResponse:
    """An archive, or one drawing by itself; sent as it is read, so its size does not matter."""
    caller.require(Scope.READ)
    with services.database.transaction() as session:
        place = jobs.file(session, caller.owner_id, job_id)
    return answer_file(services.blobs, place.path, place.size, place.digest)


@router.patch("/{job_id}", summary="Move a job to another class", responses=SHOWN)
def change(job_id: uuid.UUID, body: schemas.JobChange, session: RequestSession, caller: Writer) -> schemas.Job:
    """Interactive goes before normal, normal before bulk."""
    priority = Priority[body.priority.upper()]
    return _shown(session, reprioritise(session, caller.owner_id, job_id, priority, caller.prefix))


@router.post("/{job_id}/pause", summary="Let no more of it start", responses=SHOWN)
def pause(job_id: uuid.UUID, session: RequestSession, caller: Writer) -> schemas.Job:
    """What was begun is finished."""
    return _shown(session, order(session, caller.owner_id, job_id, "pause", caller.prefix))


@router.post("/{job_id}/resume", summary="Go on after a pause", responses=SHOWN)
def resume(job_id: uuid.UUID, session: RequestSession, caller: Writer, rings: RequestRings) -> schemas.Job:
    """From where it was paused."""
    rings.add(QUEUES)
    return _shown(session, order(session, caller.owner_id, job_id, "resume", caller.prefix))


@router.post("/{job_id}/cancel", summary="Stop it for good", responses=SHOWN)
def cancel(job_id: uuid.UUID, session: RequestSession, caller: Writer) -> schemas.Job:
    """What was made stays."""
    return _shown(session, order(session, caller.owner_id, job_id, "cancel", caller.prefix))


@router.post("/{job_id}/retry", summary="Work again on what failed or was left", responses=SHOWN)
def retry(job_id: uuid.UUID, session: RequestSession, caller: Writer, rings: RequestRings) -> schemas.Job:
    """Quarantined items are opened again; so is what a cancelled job left."""
    rings.add(QUEUES)
    return _shown(session, order(session, caller.owner_id, job_id, "retry", caller.prefix))


@router.delete(
    "/{job_id}",
    status_code=204,
    summary="Remove a finished job with its variants and pictures",
    responses=documented(401, 403, 404, 409, 422, 503),
)
def delete(
    job_id: uuid.UUID,
    session: RequestSession,
    caller: Writer,
    services: RequestServices,
    background: BackgroundTasks,
) -> None:
    """The rows go now, the pictures after the answer."""
    upload = jobs.last_use(session, caller.owner_id, job_id)
    remove(session, caller.owner_id, job_id)
    background.add_task(_remove_objects, services, job_id, upload_key(caller.owner_id, upload) if upload else None)


def _shown(session: Session, job: Job) -> schemas.Job:
    return schemas.Job.of(jobs.view(session, [job])[0])


def _place(view: JobView) -> int:
    return view.row.number


def require_scope(caller: Caller, request: JobRequest) -> None:
    """Refuse to others what only an administrator may ask for.

    A null job may be told to kill its worker; a sweep deletes from a store that all owners share; a rebuilding of
    everything takes in jobs whose owner nobody knows any more.
    """
    spec = request.spec
    faulty = request.kind is JobKind.NULL and spec.get("faults")
    everything = request.kind is JobKind.REBUILD and spec.get("job") is None
    if faulty or everything or request.kind is JobKind.GC:
        caller.require(Scope.ADMIN)


def _remove_objects(services: Services, job_id: uuid.UUID, upload: str | None) -> None:
    """Everything below the job's name, so that what a lost lease left goes too; and the upload that only it used."""
    try:
        if upload is not None:
            services.blobs.delete(upload)
        for folder in (f"jobs/{job_id}", f"datasets/jobs/{job_id}"):
            for key in list(services.blobs.keys(folder)):
                services.blobs.delete(key)
    except EnvironmentFault as error:
        log.warning("objects of a removed job are left in the store", job=str(job_id), error=str(error))
