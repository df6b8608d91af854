"""Datasets: named sources of letters, and their versions."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Response

from api import examples, schemas
from api.auth import Reader, Writer
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, Limit
from api.services import RequestSession
from core.catalogue import datasets
from core.catalogue.datasets import NAME, DatasetView

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
KEYSET = Keyset("datasets", str)


@router.get("", summary="Datasets by name", responses=documented(401, 403, 422, 503))
def list_datasets(
    session: RequestSession, caller: Reader, limit: Limit = 100, cursor: Cursor = None
) -> schemas.Page[schemas.Dataset]:
    """The caller's owner's datasets, and the built-in ones."""
    after = KEYSET.decode(cursor)
    found = datasets.page(session, caller.owner_id, after, limit + 1)
    return KEYSET.page(found, limit, schemas.Dataset.of, _place)


@router.get("/{name}", summary="One dataset", responses=documented(401, 403, 404, 422, 503))
def show(name: Annotated[str, Path(pattern=NAME)], session: RequestSession, caller: Reader) -> schemas.Dataset:
    """The dataset with its versions, the newest first."""
    return schemas.Dataset.of(datasets.get(session, caller.owner_id, name))


@router.post(
    "",
    status_code=201,
    summary="Register a source",
    responses={
        200: {"model": schemas.Dataset, "description": "It was registered before"},
        **documented(400, 401, 403, 409, 413, 415, 422, 503),
    },
)
def create(
    body: Annotated[schemas.NewDataset, Body(examples=[examples.DATASET])],
    session: RequestSession,
    caller: Writer,
    response: Response,
) -> schemas.Dataset:
    """Nothing is read now: its first version is made when it is first trained on, on the workers' machine."""
    dataset, made = datasets.create(session, caller.owner_id, body.name, body.kind, body.path, body.split)
    if not made:
        response.status_code = 200
    response.headers["Location"] = f"/v1/datasets/{dataset.name}"
    return schemas.Dataset.of(datasets.view(session, [dataset])[0])


def _place(view: DatasetView) -> str:
    return view.row.name
