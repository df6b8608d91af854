"""Datasets: named sources of letters."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vyaz.transport import Transport, read


@dataclass(frozen=True)
class DatasetVersion:
    """One immutable state of a dataset, named by its content's hash."""

    number: int
    digest: str = ""
    size: int | None = None
    """Bytes."""
    report: dict[str, Any] = field(default_factory=dict)
    """What was taken, what was left out, and why."""
    created_at: datetime | None = None


@dataclass(frozen=True)
class Dataset:
    """A named source of letters."""

    name: str
    kind: str
    path: str | None = None
    """A folder on the worker's machine; None for the font packages installed there, or a download."""
    split: str | None = None
    """The part of EMNIST; None for letters."""
    builtin: bool = False
    versions: tuple[DatasetVersion, ...] = ()
    created_at: datetime | None = None


class Datasets:
    """`client.datasets`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Dataset]:
        """Yield the built-in datasets and one's own."""
        for item in self._transport.pages("/v1/datasets"):
            yield read(Dataset, item)

    def add(self, name: str, path: str | None = None, kind: str = "fonts", *, split: str | None = None) -> Dataset:
        """Register a folder on the worker's machine; its first version is made when it is first used."""
        body = {"name": name, "kind": kind, "path": path, **({"split": split} if split else {})}
        return read(Dataset, self._transport.create("/v1/datasets", body))
