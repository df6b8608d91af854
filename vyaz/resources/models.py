"""Models and their versions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vyaz.transport import Transport, read


@dataclass(frozen=True)
class Version:
    """One immutable set of weights."""

    number: int
    family: str
    digest: str = ""
    """SHA-256 of the weights' file, in hexadecimal."""
    size: int | None = None
    """Bytes."""
    config: dict[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    """The dataset version it was trained on, `fonts:2`."""
    job: str | None = None
    """The job that trained it, if it is one's own and still there."""
    step: int | None = None
    device_seconds: float | None = None
    figures: dict[str, Any] | None = None
    """What its last evaluation found."""
    created_at: datetime | None = None


@dataclass(frozen=True)
class Model:
    """A name under which versions are kept, the newest first."""

    name: str
    versions: tuple[Version, ...] = ()
    aliases: dict[str, int] = field(default_factory=dict)
    """Alias -> version number."""
    created_at: datetime | None = None

    @property
    def newest(self) -> Version | None:
        """The version with the highest number."""
        return max(self.versions, key=lambda version: version.number, default=None)


class Models:
    """`client.models`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Model]:
        """Yield the models."""
        for item in self._transport.pages("/v1/models"):
            yield read(Model, item)

    def get(self, name: str) -> Model:
        """One model with all its versions; raises `NotFound`."""
        return read(Model, self._transport.get(f"/v1/models/{name}"))
