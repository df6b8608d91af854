"""The Python client: `Client()` finds the instance; what it holds hangs on it by noun."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from core.errors import Invalid, Unavailable
from core.settings import Settings
from vyaz.resources.datasets import Datasets
from vyaz.resources.jobs import Jobs
from vyaz.resources.keys import Keys
from vyaz.resources.models import Models
from vyaz.resources.owners import Owners
from vyaz.resources.schedules import Schedules
from vyaz.resources.variants import Variants
from vyaz.resources.workers import Workers
from vyaz.transport import Transport, read


class Address(NamedTuple):
    """Where an API is, and the key that opens it."""

    url: str
    api_key: str


@dataclass(frozen=True)
class Readiness:
    """An API that can serve requests."""

    status: str
    schema_version: str = ""
    degraded: tuple[str, ...] = ()
    """What is away without keeping anybody from working."""


class Client:
    """A connection to one Vyaz. May be shared by threads; use it as a context manager or `close` it.

        with Client() as client:
            job = client.jobs.generate(["AB"], count=100).wait()

    Without arguments it takes the API at `VYAZ_URL` with `VYAZ_API_KEY`, else the instance that `vyaz up` runs on the
    data folder. Every call raises a class of `core.errors` when it fails.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, *, data: str | Path | None = None) -> None:
        address = find(url, api_key, Path(data) if data is not None else None)
        transport = Transport(address.url, address.api_key)
        self._transport = transport
        self.url = transport.url
        self.jobs = Jobs(transport)
        self.variants = Variants(transport)
        self.models = Models(transport)
        self.datasets = Datasets(transport)
        self.workers = Workers(transport)
        self.keys = Keys(transport)
        self.owners = Owners(transport)
        self.schedules = Schedules(transport)

    def readiness(self) -> Readiness:
        """Ask the API whether it can serve; raises `Unavailable` when its database is away."""
        return read(Readiness, self._transport.get("/readyz"))

    def close(self) -> None:
        """Let the connections go."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def find(url: str | None = None, api_key: str | None = None, data: Path | None = None) -> Address:
    """Where the API is: what is named here, else a named data folder, else `VYAZ_URL`, else the usual data folder.

    Raises `Unavailable` when no instance runs there.
    """
    from vyaz.up.instance import find as find_instance  # not needed, so not loaded, where an address is named

    settings = Settings()
    key = api_key or settings.api_key.get_secret_value()
    if url is not None and data is not None:
        raise Invalid("name an address or a data folder, not both")
    if url or (data is None and settings.url):
        return Address(url or settings.url, key)
    folder = data or settings.data
    instance = find_instance(folder)
    if instance is None:
        raise Unavailable(f"no Vyaz runs on {folder}; start it (vyaz up --data {folder}), or set VYAZ_URL")
    return Address(instance.url, api_key or instance.key)
