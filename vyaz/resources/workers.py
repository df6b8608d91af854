"""Workers: the slots that do the work."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from vyaz.transport import Transport, read


@dataclass(frozen=True)
class Worker:
    """One slot: a device position of a node."""

    id: str
    node: str
    host: str
    queue: str
    device: str
    state: str
    version: str = ""
    device_class: str = ""
    pid: int | None = None
    job: str | None = None
    """The job whose shard it holds."""
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None


class Workers:
    """`client.workers`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Worker]:
        """Yield the slots."""
        for item in self._transport.pages("/v1/workers"):
            yield read(Worker, item)
