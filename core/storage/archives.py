"""Archives that users take away: a ZIP in which nothing varies by when and where it was made."""

import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from core.errors import EnvironmentFault
from core.storage.blobs import Blobs

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP can hold
_PACKED: Final = (".png",)  # what deflating makes no smaller
_CHUNK: Final = 1 << 20


class ArchiveWriter:
    """Writes an archive to a file aside and puts it into the store when it is whole."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="vyaz-", suffix=".zip")  # noqa: SIM115 - closed by __exit__
        self._zip = ZipFile(self._file, "w", ZIP_DEFLATED)

    def __enter__(self) -> "ArchiveWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError, ValueError):  # what a full disk did not take is of no use any more
            self._zip.close()
        with suppress(OSError):
            self._file.close()

    def add(self, name: str, data: bytes) -> None:
        """Append one file; raise `EnvironmentFault` where there is no room for it."""
        entry = ZipInfo(name, _EPOCH)
        entry.compress_type = ZIP_STORED if name.endswith(_PACKED) else ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        try:
            self._zip.writestr(entry, data)
        except OSError as error:
            raise EnvironmentFault(f"the archive cannot be written: {error}") from error

    def store(self, blobs: Blobs, key: str) -> tuple[int, bytes]:
        """End the archive, put it under its key and return its size and SHA-256. Once only."""
        try:
            self._zip.close()
            self._file.flush()
            size, digest = _measure(Path(self._file.name))
        except OSError as error:
            raise EnvironmentFault(f"the archive cannot be written: {error}") from error
        blobs.put(key, Path(self._file.name))
        return size, digest


def _measure(path: Path) -> tuple[int, bytes]:
    found, size = sha256(), 0
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            found.update(chunk)
            size += len(chunk)
    return size, found.digest()
