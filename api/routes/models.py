"""Models, their versions, and what these were made from."""

from typing import Annotated

from fastapi import APIRouter, Path

from api import schemas
from api.auth import Reader
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, Limit
from api.services import RequestSession
from core.catalogue import models
from core.catalogue.models import ModelView

router = APIRouter(prefix="/v1/models", tags=["models"])
KEYSET = Keyset("models", str)


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


def _place(view: ModelView) -> str:
    return view.name
