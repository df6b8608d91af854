"""Owners: whom keys act for. Admin keys only."""

from typing import Annotated

from fastapi import APIRouter, Path

from api import schemas
from api.auth import Admin
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, Limit
from api.services import RequestSession
from core.catalogue import owners
from core.catalogue.owners import OWNER_NAME
from core.catalogue.tables import Owner

router = APIRouter(prefix="/v1/owners", tags=["owners"])
KEYSET = Keyset("owners", str)


@router.get("", summary="Owners by name", responses=documented(401, 403, 422, 503))
def list_owners(
    session: RequestSession, _: Admin, limit: Limit = 100, cursor: Cursor = None
) -> schemas.Page[schemas.Owner]:
    """Every owner and its weight."""
    after = KEYSET.decode(cursor)
    found = owners.page(session, after, limit + 1)
    return KEYSET.page(found, limit, schemas.Owner.model_validate, _place)


@router.put("/{name}", summary="Give an owner a weight", responses=documented(400, 401, 403, 413, 415, 422, 503))
def change(
    name: Annotated[str, Path(pattern=OWNER_NAME)], body: schemas.OwnerChange, session: RequestSession, _: Admin
) -> schemas.Owner:
    """Its share where several wait: weight 2 gets twice what weight 1 gets. The owner is made if new."""
    return schemas.Owner.model_validate(owners.set_weight(session, name, body.weight))


def _place(owner: Owner) -> str:
    return owner.name
