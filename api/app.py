"""The API, assembled: what it stands on, what every request passes, which routes there are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata

from anyio import to_thread
from fastapi import FastAPI

from api import errors
from api.gates import BodyLimit, Deadline, Trace
from api.metrics import Metrics, Requests
from api.openapi import Api
from api.routes import datasets, events, health, history, jobs, keys, models, owners, schedules, variants, workers
from api.services import Services
from core import failpoints, log
from core.preflight import require_sound_servers
from core.settings import Settings

ROUTERS = (health, jobs, events, history, variants, models, datasets, workers, keys, owners, schedules)
ABOUT = "Letters in, a catalogue of monograms out. Every failure is `application/problem+json`."


def create_app(settings: Settings | None = None) -> Api:
    """The app over the servers that the settings name, of this process if none are given. Connects to nothing yet."""
    settings = settings or Settings()
    log.configure(settings)
    failpoints.arm(settings.failpoints)
    services, requests = Services.open(settings), Requests()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await to_thread.run_sync(require_sound_servers, settings)
        yield
        services.close()

    # No page of documents: those that come with FastAPI load scripts from other hosts.
    app = Api(
        title="Vyaz",
        version=metadata.version("vyaz"),
        description=ABOUT,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services, app.state.metrics = services, Metrics(services, requests)
    # The last added is the first passed.
    app.add_middleware(BodyLimit)
    app.add_middleware(Deadline)
    app.add_middleware(Trace, requests=requests)
    errors.install(app)
    for routes in ROUTERS:
        app.include_router(routes.router)
    return app
