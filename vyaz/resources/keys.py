"""API keys. All calls need the scope `admin`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from vyaz.transport import Transport, read


@dataclass(frozen=True)
class Key:
    """What is known of a key; the key itself is not kept anywhere."""

    id: str
    owner: str
    scope: str
    name: str = ""
    prefix: str = ""
    """The first characters, by which people recognise it."""
    created_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class NewKey(Key):
    """A key as it is shown once, when it is made."""

    key: str = field(default="", repr=False)


class Keys:
    """`client.keys`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Key]:
        """Yield all keys, revoked ones too."""
        for item in self._transport.pages("/v1/keys"):
            yield read(Key, item)

    def create(self, owner: str | None = None, scope: str = "write", name: str = "") -> NewKey:
        """Make a key for `owner`, who is made if new, or for oneself. `scope` is read, write or admin."""
        body = {"owner": owner, "scope": scope, "name": name}
        return read(NewKey, self._transport.post("/v1/keys", body))

    def revoke(self, key_id: str) -> None:
        """Let a key open nothing any more; raises `NotFound`."""
        self._transport.delete(f"/v1/keys/{key_id}")
