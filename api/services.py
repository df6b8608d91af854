"""What the handlers stand on: the database, the store, the ringer. Made once in a process, handed to all requests."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from core.broker import connect, open_client
from core.catalogue.database import Database
from core.errors import Invalid
from core.failpoints import reach
from core.ledger.rings import Ringer
from core.settings import Settings
from core.storage.blobs import Blobs

CONNECTIONS = 10
"""Transactions of requests at the same time; five more connections are for the short ones (events, pictures)."""

LOOKS = 3
"""Looks at watched jobs at the same time."""


@dataclass(frozen=True)
class Services:
    """Everything outside this process that a request may need. Making it connects to nothing."""

    settings: Settings
    database: Database
    ringer: Ringer

    @classmethod
    def open(cls, settings: Settings) -> "Services":
        """The services that the settings name; raises `Invalid` when they name no database."""
        url = settings.database_url.get_secret_value()
        if not url:
            raise Invalid("VYAZ_DATABASE_URL is empty; `vyaz up` sets it, or name a PostgreSQL")
        return cls(settings, Database(url, size=CONNECTIONS), Ringer(connect(settings)))

    @functools.cached_property
    def blobs(self) -> Blobs:
        """The store, opened when a picture is first asked for: the API starts, and submits, without it."""
        return Blobs.open(self.settings.store)

    @functools.cached_property
    def looks(self) -> CapacityLimiter:
        """Threads for those who watch jobs, so that many of them keep nobody from submitting."""
        return CapacityLimiter(LOOKS)

    def broker_answers(self) -> bool:
        """Whether Valkey or Redis answers within a second."""
        try:
            with open_client(self.settings) as client:
                return bool(client.ping())
        except (RedisError, OSError, ValueError):
            return False

    def close(self) -> None:
        """Send the last rings and let all connections go."""
        self.ringer.close()
        self.database.close()


def services_of(request: Request) -> Services:
    """The services of the app that a request came to."""
    services: Services = request.app.state.services
    return services


class Rings:
    """The queues that this request put work on."""

    def __init__(self) -> None:
        self.queues: set[str] = set()

    def add(self, queues: Iterable[str]) -> None:
        """Ring these after the commit."""
        self.queues.update(queues)


RequestRings = Annotated[Rings, Depends(Rings)]
RequestServices = Annotated[Services, Depends(services_of)]


def open_session(services: RequestServices, rings: RequestRings) -> Iterator[Session]:
    """One request, one transaction; then the rings. Rolled back, without a ring, when the handler raises."""
    with services.database.transaction() as session:
        yield session
    reach("answer due")
    if rings.queues:
        services.ringer.ring(rings.queues)


# scope="function": by default the code after `yield` runs when the answer is sent, and a client would hold a 202 for a
# job whose commit then fails. The limit keeps threads from waiting for connections that waiting requests hold.
RequestSession = Annotated[Session, Depends(open_session, scope="function", max_concurrency=CONNECTIONS)]
