"""Models, their versions, and what these were made from."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import examples, schemas
from api.auth import BriefReader, Reader
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, IdempotencyKey, Limit
from api.services import RequestServices, RequestSession
from core.broker import QUEUES
from core.catalogue import jobs, models
from core.catalogue.keys import Scope
from core.catalogue.models import ModelView
from core.ledger.kinds import JobKind
from core.requests import JobRequest, resolve, submit_request
from core.storage import uploads

router = APIRouter(prefix="/v1/models", tags=["models"])
KEYSET = Keyset("models", str)
FILE = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}, "required": True}


async def _bring(request: Request) -> bytes:
    """The body as it is."""
    return await request.body()


@router.get("", summary="Models by name", responses=documented(401, 403, 422, 503))
def list_models(
    session: RequestSession, caller: Reader, limit: Limit = 100, cursor: Cursor = None
) -> schemas.Page[schemas.Model]:
    """All models, each with its versions; models are everybody's."""
    after = KEYSET.decode(cursor)
    found = models.page(session, caller.owner_id, after, limit + 1)
    return KEYSET.page(found, limit, schemas.Model.model_validate, _place)


@router.get("/{name}", summary="One model", responses=documented(401, 403, 404, 422, 503))
def show(
    name: Annotated[str, Path(max_length=100, pattern=r"^[\w.-]+$")], session: RequestSession, caller: Reader
) -> schemas.Model:
    """The model with all its versions, the newest first."""
    return schemas.Model.model_validate(models.get(session, caller.owner_id, name))


@router.post(
    "/{reference}/inversions",
    status_code=202,
    summary="Look for the style of a font or of a letter's picture",
    openapi_extra={"requestBody": FILE},
    responses={202: examples.answer(examples.JOB), **documented(400, 401, 403, 408, 413, 422, 503)},
)
def invert(
    reference: Annotated[str, Path(max_length=100, pattern=r"^[\w.:@-]+$")],
    file: Annotated[bytes, Depends(_bring)],
    caller: BriefReader,
    services: RequestServices,
    response: Response,
    key: IdempotencyKey,
    name: Annotated[str, Query(max_length=200, description="What messages call the file")] = "the file",
    letter: Annotated[str | None, Query(max_length=16, description="Which letter a picture shows")] = None,
) -> schemas.Job:
    """Send the file as the body (TTF, OTF, WOFF, WOFF2; PNG, JPEG; at most 32 MiB); the job's result has the style
    vector `w`, which `style` of a generate job takes, and the overlap `iou`; its image shows original and redrawn.
    """
    caller.require(Scope.WRITE)
    uploads.recognise(file, name)
    spec = {"model": reference, "upload": uploads.digest(file), "name": name, "letter": letter}
    asked = JobRequest(kind=JobKind.INVERT, spec=spec)
    # No transaction is open while the store is written; and nothing is written for a request that makes no sense.
    with services.database.transaction() as session:
        resolve(session, caller.owner_id, asked)
    uploads.keep(services.blobs, caller.owner_id, file)
    with services.database.transaction() as session:
        job = submit_request(session, caller.owner_id, asked, key, caller.prefix)
        shown = schemas.Job.of(jobs.view(session, [job])[0])
    services.ringer.ring(QUEUES)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return shown


def _place(view: ModelView) -> str:
    return view.name
