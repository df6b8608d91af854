"""Workers: the slots that do the work."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query

from api import schemas
from api.auth import Reader
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, Limit
from api.services import RequestSession
from core.catalogue import workers
from core.catalogue.workers import SlotView

router = APIRouter(prefix="/v1/workers", tags=["workers"])
KEYSET = Keyset("workers", uuid.UUID)


@router.get("", summary="Slots", responses=documented(401, 403, 422, 503))
def list_workers(
    session: RequestSession,
    caller: Reader,
    gone: Annotated[bool, Query(description="Those too that left within a day")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.Page[schemas.Worker]:
    """All slots of the fleet; of their jobs only the caller's owner's are named."""
    after = KEYSET.decode(cursor)
    found = workers.page(session, caller.owner_id, gone=gone, after=after, limit=limit + 1)
    return KEYSET.page(found, limit, schemas.Worker.of, _place)


def _place(view: SlotView) -> uuid.UUID:
    return view.row.id
