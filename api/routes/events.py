"""Server-sent events of a job: where it stands, at most once a second, until nothing more will happen."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api import schemas
from api.auth import Bearer, key_of
from api.errors import documented
from api.services import RequestServices, Services
from core.catalogue import jobs, keys
from core.errors import NotFound, Unauthorized, Unavailable

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LOOK_SECONDS = 1.0


class Watch:
    """One client's eye on one job. Each look is a short transaction that asks for the key again."""

    def __init__(self, job_id: uuid.UUID, services: RequestServices, bearer: Bearer) -> None:
        self._job_id = job_id
        self._services: Services = services
        self._key = key_of(bearer)

    def look(self) -> schemas.Job:
        """The job now; raises `NotFound`, `Unauthorized`, `Unavailable`."""
        with self._services.database.transaction() as session:
            caller = keys.identify(session, self._key)
            return schemas.Job.of(jobs.get(session, caller.owner_id, self._job_id))

    async def look_aside(self) -> schemas.Job:
        """The same without stopping the event loop, in threads that requests do not need."""
        return await anyio.to_thread.run_sync(self.look, limiter=self._services.looks)


def _first_look(watch: Annotated[Watch, Depends(Watch)]) -> schemas.Job:
    return watch.look()


@router.get(
    "/{job_id}/events",
    summary="Watch a job",
    response_class=EventSourceResponse,
    responses=documented(401, 404, 422, 503),
)
async def events(
    watch: Annotated[Watch, Depends(Watch)], first: Annotated[schemas.Job, Depends(_first_look)]
) -> AsyncIterator[ServerSentEvent]:
    """`progress` with the job whenever it changed, then `end`. Every stream starts with the job as it stands, so a
    client that comes back has missed nothing, whatever it sends as Last-Event-ID.
    """
    job, told = first, None
    while True:
        if job != told:
            yield ServerSentEvent(event="progress", data=job)
            told = job
        if not job.state.unfinished:
            yield ServerSentEvent(event="end", data=job)
            return
        await anyio.sleep(LOOK_SECONDS)
        try:
            job = await watch.look_aside()
        except Unavailable:
            yield ServerSentEvent(comment="the database is away")
        except (NotFound, Unauthorized) as error:
            yield ServerSentEvent(event="end", data={"reason": str(error)})
            return
