"""Owners: whom keys act for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from vyaz.transport import Transport, read


@dataclass(frozen=True)
class Owner:
    """Whom keys act for; `weight` is its share where several wait."""

    name: str
    weight: float
    created_at: datetime | None = None


class Owners:
    """`client.owners`. All calls need the scope `admin`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Owner]:
        """Yield all owners."""
        for item in self._transport.pages("/v1/owners"):
            yield read(Owner, item)

    def set(self, name: str, weight: float) -> Owner:
        """Give an owner this weight."""
        return read(Owner, self._transport.put(f"/v1/owners/{name}", {"weight": weight}))
