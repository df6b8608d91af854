"""Variants: list, one, its picture."""

import uuid
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response

from api import examples, schemas
from api.auth import BriefReader, Reader
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, Limit
from api.pictures import SHOWN_PICTURE, answer_picture
from api.services import RequestServices, RequestSession
from core.alphabet import parse
from core.catalogue import models, variants
from core.catalogue.keys import Scope
from core.catalogue.variants import Filters, VariantView
from core.errors import Invalid
from core.registry import Layout

router = APIRouter(prefix="/v1/variants", tags=["variants"])
KEYSET = Keyset("variants", tuple[int, int])

VariantId = Annotated[str, Path(max_length=60, description="<job id>.<index>")]


@router.get("", summary="Variants, by job (the newest first) and index", responses=documented(401, 403, 422, 503))
def list_variants(
    session: RequestSession,
    caller: Reader,
    letters: Annotated[str | None, Query(max_length=64, description="Exactly these, as AB or їж")] = None,
    job: uuid.UUID | None = None,
    model: Annotated[str | None, Query(max_length=100, description="letters, letters:3, letters@alias")] = None,
    layout: Layout | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.Page[schemas.Variant]:
    """The caller's owner's variants that fit all filters."""
    after = KEYSET.decode(cursor)
    filters = Filters(
        job=job,
        letters=_letters(letters) if letters is not None else None,
        layout=layout,
        model_version_id=_version(session, model) if model is not None else None,
    )
    found = variants.page(session, caller.owner_id, filters, after, limit + 1)
    return KEYSET.page(found, limit, schemas.Variant.model_validate, _place)


@router.get(
    "/{variant_id}",
    summary="One variant",
    responses={200: examples.answer(examples.VARIANT), **documented(401, 403, 404, 422, 503)},
)
def show(variant_id: VariantId, session: RequestSession, caller: Reader) -> schemas.Variant:
    """The variant as the catalogue has it."""
    return schemas.Variant.model_validate(variants.get(session, caller.owner_id, variant_id))


@router.get("/{variant_id}/recipe", summary="What it was made of", responses=documented(401, 403, 404, 422, 503))
def recipe(variant_id: VariantId, session: RequestSession, caller: Reader) -> dict[str, Any]:
    """Everything needed to make it again: drawn anew from the job's spec and seed, for it is not stored."""
    return variants.recipe(session, caller.owner_id, variant_id)


@router.get("/{variant_id}/image", summary="Its picture", response_class=Response, responses=SHOWN_PICTURE)
def image(
    variant_id: VariantId,
    caller: BriefReader,
    services: RequestServices,
    if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """The PNG, by one range read from the store. A variant never changes, so it may be kept for ever."""
    caller.require(Scope.READ)
    # No transaction is open while the store is read.
    with services.database.transaction() as session:
        place = variants.locate(session, caller.owner_id, variant_id)
    fetch = partial(services.blobs.get_range, place.path, place.offset, place.length)
    return answer_picture(fetch, place.digest, if_none_match)


def _letters(text: str) -> str:
    try:
        return parse(text)
    except Invalid as error:
        raise Invalid(str(error), "/query/letters") from error


def _version(session: RequestSession, reference: str) -> uuid.UUID:
    try:
        return models.pin(session, reference).id
    except Invalid as error:
        raise Invalid(str(error), "/query/model") from error


def _place(view: VariantView) -> tuple[int, int]:
    return view.job_number, view.index
