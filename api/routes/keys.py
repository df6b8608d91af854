"""API keys. Admin keys only."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Response

from api import examples, schemas
from api.auth import Admin
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, Limit
from api.services import RequestSession
from core.catalogue import keys
from core.catalogue.tables import ApiKey

router = APIRouter(prefix="/v1/keys", tags=["keys"])
KEYSET = Keyset("keys", uuid.UUID)


@router.get("", summary="Keys, the oldest first", responses=documented(401, 403, 422, 503))
def list_keys(
    session: RequestSession, _: Admin, limit: Limit = 100, cursor: Cursor = None
) -> schemas.Page[schemas.Key]:
    """Every owner's keys, revoked ones too; never the keys themselves."""
    after = KEYSET.decode(cursor)
    found = keys.page(session, after, limit + 1)
    return KEYSET.page(found, limit, lambda pair: schemas.Key.of(*pair), _place)


@router.post("", status_code=201, summary="Make a key", responses=documented(400, 401, 403, 413, 415, 422, 503))
def create(
    body: Annotated[schemas.NewKey, Body(examples=[examples.KEY])],
    session: RequestSession,
    caller: Admin,
    response: Response,
) -> schemas.MadeKey:
    """The answer is the only time that the key is shown."""
    owner = body.owner or caller.owner
    row, key = keys.create(session, owner, body.name, body.scope)
    response.headers["Cache-Control"] = "no-store"
    return schemas.MadeKey(**schemas.Key.of(row, owner).model_dump(), key=key)


@router.delete("/{key_id}", status_code=204, summary="Revoke a key", responses=documented(401, 403, 404, 409, 422, 503))
def revoke(key_id: uuid.UUID, session: RequestSession, _: Admin) -> None:
    """It opens nothing from this moment; again is no error."""
    keys.revoke(session, key_id)


def _place(pair: tuple[ApiKey, str]) -> uuid.UUID:
    return pair[0].id
