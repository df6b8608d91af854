"""Bytes under keys, in a local folder or an object store, through obstore.

A key stands for whole, flushed bytes or for nothing: a local file is written aside, synced and renamed, its folder
synced after it (object_store's own local backend syncs nothing). Configuration of S3 and the like (region, endpoint,
credentials) is read by obstore itself from the variables that its providers define.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from core.errors import EnvironmentFault, Invalid, NotFound
from core.storage import multipart, remote

if TYPE_CHECKING:
    from obstore import ObjectMeta

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9][A-Za-z0-9._=-]*)*")
_LONGEST_KEY: Final = 512
_REMOTE: Final = ("s3", "gs", "az")
# Unfinished files, inside the store so that a rename never crosses file systems; no key can begin with a dot.
_INCOMING: Final = ".incoming"

_CHUNK: Final = 1 << 20  # bytes read at a time
_LISTED_AGAIN: Final = 4  # tries at one page of a listing

Data = bytes | Path | IO[bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as the store lists it."""

    key: str
    size: int  # bytes
    modified: datetime  # when it was put, by the store's own clock


class Blobs:
    """One store. Any failure of it raises `EnvironmentFault`; a key that is no key raises `Invalid`."""

    def __init__(self, store: ObjectStore, folder: Path | None) -> None:
        self._store = store
        self._folder = folder  # None unless local

    @classmethod
    def open(cls, url: str) -> "Blobs":
        """Open file:///folder (made if missing), memory:///, or s3://bucket/prefix and other providers' URLs."""
        parts = urlsplit(url)
        if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
            return cls._open_folder(Path(url2pathname(parts.path)))
        if parts.scheme == "memory":
            return cls(MemoryStore(), None)
        if parts.scheme in _REMOTE and parts.netloc:
            with _faults(url):
                return cls(remote.open_url(url), None)
        raise Invalid(f"{url!r} is no store; write file:///folder or s3://bucket/prefix")

    @classmethod
    def _open_folder(cls, folder: Path) -> "Blobs":
        with _faults(str(folder)):
            (folder / _INCOMING).mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(folder), folder)

    def put(self, key: str, data: Data) -> None:
        """Store bytes, a file, or what an open binary file still holds; replaces what stood there. All or nothing."""
        _check(key)
        with _faults(key):
            if self._folder is None:
                obstore.put(self._store, key, data)
            else:
                _put_file(self._folder, key, data)

    def get(self, key: str) -> bytes:
        """Return the whole value; raise `NotFound` if there is none."""
        _check(key)
        with self._reading(key):
            found = obstore.get(self._store, key)
            data = bytes(found.bytes())
        if len(data) != found.meta["size"]:
            raise EnvironmentFault(f"{key}: {len(data)} bytes came of {found.meta['size']}")
        return data

    def fetch(self, key: str, target: IO[bytes]) -> tuple[int, bytes]:
        """Copy a value into an open file; return its size and SHA-256. Raise `NotFound` if there is none."""
        _check(key)
        size, digest = 0, sha256()
        with self._reading(key):
            found = obstore.get(self._store, key)
            for chunk in found.stream(min_chunk_size=_CHUNK):
                part = bytes(chunk)
                target.write(part)
                digest.update(part)
                size += len(part)
        if size != found.meta["size"]:
            raise EnvironmentFault(f"{key}: {size} bytes came of {found.meta['size']}")
        return size, digest.digest()

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, reading nothing else; raise `Invalid` for a range outside the value."""
        _check(key)
        if offset < 0 or length < 1:
            raise Invalid(f"no range of {length} bytes from {offset} can be read")
        with self._reading(key):
            found = bytes(obstore.get_range(self._store, key, start=offset, length=length))
        if len(found) != length:
            raise Invalid(f"{key} holds no {length} bytes from {offset}")
        return found

    def exists(self, key: str) -> bool:
        """Say whether a value stands under this key."""
        try:
            self.look(key)
        except NotFound:
            return False
        return True

    def look(self, key: str) -> Entry:
        """Return what the store says of a value without reading it; raise `NotFound` if there is none."""
        _check(key)
        with self._reading(key):
            return _entry(obstore.head(self._store, key))

    def delete(self, key: str) -> None:
        """Remove a value; that there is none is no error."""
        _check(key)
        try:
            with self._reading(key):
                obstore.delete(self._store, key)
        except NotFound:
            return

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys below a folder (whole path segments), or all of them, in no particular order."""
        for entry in self.entries(prefix):
            yield entry.key

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield what `keys` names, with size and time."""
        if prefix:
            _check(prefix)
        with _faults(prefix or "the store"):
            for page in self._pages(prefix):
                yield from (_entry(each) for each in page if not each["path"].startswith(_INCOMING))

    def folders(self, prefix: str = "") -> list[str]:
        """Return the folders that lie right in a folder, in order: `jobs/7` for `jobs`."""
        if prefix:
            _check(prefix)
        with _faults(prefix or "the store"):
            for left in reversed(range(_LISTED_AGAIN)):
                try:
                    found = obstore.list_with_delimiter(self._store, prefix or None)["common_prefixes"]
                    return sorted(each for each in found if not each.startswith(_INCOMING))
                except BaseError:
                    if not left or self._folder is not None:
                        raise
        return []

    def _pages(self, prefix: str) -> Iterator[Sequence["ObjectMeta"]]:
        """Yield a listing page by page. obstore does not ask again for a page that broke off, so it is done here.

        Buckets are listed in the order of their keys, so a listing goes on where it ended.
        """
        last: str | None = None
        for left in reversed(range(_LISTED_AGAIN)):
            try:
                for page in obstore.list(self._store, prefix or None, offset=last):
                    yield page
                    last = page[-1]["path"] if page else last
                return
            except BaseError:
                if not left or self._folder is not None:
                    raise

    def now(self, key: str) -> datetime:
        """Return the store's own time, by putting a value under this key and removing it."""
        self.put(key, b"")
        try:
            return self.look(key).modified
        finally:
            self.delete(key)

    def abort_uploads(self, before: datetime, *, dry: bool = False) -> int:
        """Abort uploads in parts that nobody ended and that began before then; return how many. S3 only."""
        if not isinstance(self._store, S3Store):
            return 0
        with _faults("unfinished uploads"):
            return multipart.abort(self._store, before, dry=dry)

    def sweep(self, older_than: float = 86_400.0) -> int:
        """Remove files that a killed process left unfinished (seconds old, by the file's own time); return how many."""
        if self._folder is None:
            return 0
        with _faults(_INCOMING):
            limit = time.time() - older_than
            stale = [path for path in (self._folder / _INCOMING).iterdir() if path.stat().st_mtime < limit]
            for path in stale:
                path.unlink(missing_ok=True)
        return len(stale)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            with _faults(key):
                yield
        except FileNotFoundError:
            # An unmounted folder must not look like a value that is gone for good.
            if self._folder is not None and not (self._folder / _INCOMING).is_dir():
                raise EnvironmentFault(f"{self._folder} is no store any more") from None
            raise NotFound(f"there is no {key} in the store") from None


@contextmanager
def _faults(what: str) -> Iterator[None]:
    """Turn any failure of the store into `EnvironmentFault`, but let a missing value through."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, BaseError) as error:
        first = (str(error).splitlines() or ["no reason given"])[0]
        raise EnvironmentFault(f"{what}: {first}") from error


def _entry(found: "ObjectMeta") -> Entry:
    return Entry(found["path"], found["size"], found["last_modified"])


def _check(key: str) -> None:
    if len(key) > _LONGEST_KEY or not _KEY.fullmatch(key):
        raise Invalid(f"{key[:80]!r} is no key; keys look like jobs/7/0000000000-0000000064.1.tar")


def _put_file(folder: Path, key: str, data: Data) -> None:
    final = folder / key
    aside = folder / _INCOMING / uuid.uuid4().hex
    try:
        with _open(data) as source, aside.open("xb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
            target.flush()
            os.fsync(target.fileno())
        _make_folder(final.parent)
        aside.replace(final)
    except FileNotFoundError as error:
        raise EnvironmentFault(f"{key}: {error}") from error
    finally:
        aside.unlink(missing_ok=True)
    _sync_folder(final.parent)


@contextmanager
def _open(data: Data) -> Iterator[IO[bytes]]:
    if isinstance(data, Path):
        with data.open("rb") as source:
            yield source
    else:
        yield BytesIO(data) if isinstance(data, bytes) else data


def _make_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it, so that they too outlive a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
