"""What happened to a job, line by line, and whether that was legal."""

import uuid

from fastapi import APIRouter

from api import schemas
from api.auth import BriefReader, Reader
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, Limit
from api.services import RequestServices, RequestSession
from core.catalogue import jobs
from core.catalogue.keys import Scope
from core.catalogue.tables import Event
from core.ledger.audit import audit as check

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
KEYSET = Keyset("history", int)


@router.get("/{job_id}/history", summary="What happened to a job", responses=documented(401, 403, 404, 422, 503))
def history(
    job_id: uuid.UUID, session: RequestSession, caller: Reader, limit: Limit = 100, cursor: Cursor = None
) -> schemas.Page[schemas.Event]:
    """Every change of its state and of its shards' with epoch and actor, the oldest first."""
    found = jobs.history(session, caller.owner_id, job_id, after=KEYSET.decode(cursor), limit=limit + 1)
    return KEYSET.page(found, limit, schemas.Event.model_validate, _place)


@router.get("/{job_id}/audit", summary="Was all of that legal?", responses=documented(401, 403, 404, 422, 503))
def audit(job_id: uuid.UUID, caller: BriefReader, services: RequestServices) -> schemas.Audit:
    """Hold the history against the rules, and the tables against the history."""
    caller.require(Scope.READ)
    # A transaction of its own: all of it is read as of one moment.
    with services.database.transaction() as session:
        return schemas.Audit.model_validate(check(session, caller.owner_id, job_id))


def _place(event: Event) -> int:
    return event.id
