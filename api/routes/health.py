"""Whether the process lives, whether it can serve, and its figures. No key is asked for: nothing here names anybody."""

from fastapi import APIRouter, Request, Response

from api.errors import documented
from api.schemas import Live, Ready
from api.services import RequestServices
from core.catalogue import schema

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Is this process alive?")
async def livez() -> Live:
    """Look at nothing: a restart of this process cures no other server. Async, so it needs no free thread either."""
    return Live()


@router.get("/readyz", summary="Can requests be served?", responses=documented(503))
def readyz(services: RequestServices) -> Ready:
    """PostgreSQL must answer with this version's schema. Without the broker jobs are accepted and start later."""
    with services.database.transaction() as session:
        version = schema.require_current(session)
    degraded = [] if services.broker_answers() else ["broker"]
    return Ready(schema_version=version, degraded=degraded)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def show_metrics(request: Request) -> Response:
    """The ledger, the servers behind the API, and requests of this process. A proxy should keep it inside."""
    body, content_type = request.app.state.metrics.render(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)
