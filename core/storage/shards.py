"""A shard's pictures as one deterministic tar that WebDataset and `tar` read.

`manifest.json` first, then for each item `{index:08d}.png` and `{index:08d}.json`, `report.json` last: how far it goes,
and what became of items without a picture. Every header field that could vary is fixed, so the same content gives the
same bytes. Nothing that varies by attempt (epoch, worker, times) belongs in a manifest. What a member's JSON says is
the pipeline's affair; together with offset and length it rebuilds a row.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Any, Final

from core.errors import EnvironmentFault, Invalid
from core.failpoints import reach
from core.storage.blobs import Blobs

MANIFEST: Final = "manifest.json"
REPORT: Final = "report.json"
_BLOCK: Final = tarfile.BLOCKSIZE
_IN_MEMORY: Final = 64 << 20  # bytes; larger shards go to a temporary file
_LONGEST_JSON: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """Where the bytes of one member stand in its tar."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Member:
    """One picture of a shard: what its JSON says, and where its PNG stands."""

    index: int
    meta: dict[str, Any]
    span: Span


def shard_key(job: str, start: int, stop: int, epoch: int) -> str:
    """Return the key of one attempt at a shard."""
    return f"jobs/{job}/{start:010d}-{stop:010d}.{epoch}.tar"


class ShardWriter:
    """Writes one shard to a temporary file, hashing as it goes; a context manager, which removes the file.

    Raises `EnvironmentFault` where the temporary file cannot be written.
    """

    def __init__(self, manifest: Mapping[str, object]) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 closed by __exit__
        self._hash = hashlib.sha256()
        self._size = 0
        self._add(MANIFEST, encode_json(manifest))

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        with suppress(OSError):  # what a full disk did not take is of no use any more
            self._file.close()

    def add(self, index: int, png: bytes, meta: Mapping[str, object]) -> Span:
        """Append one item; return where its PNG stands."""
        span = self._add(f"{index:08d}.png", png)
        self._add(f"{index:08d}.json", encode_json(meta))
        return span

    def store(self, blobs: Blobs, key: str, report: Mapping[str, object] | None = None) -> tuple[int, str]:
        """End the archive, put it under its key and return its size and SHA-256 (hexadecimal). Once only."""
        if report is not None:
            self._add(REPORT, encode_json(report))
        self._write(bytes(2 * _BLOCK))  # two empty blocks end a tar
        with _faults():
            self._file.seek(0)
        reach("tar written")
        blobs.put(key, self._file)
        reach("tar put")
        return self._size, self._hash.hexdigest()

    def _add(self, name: str, data: bytes) -> Span:
        self._write(_header(name, len(data)))
        span = Span(self._size, len(data))
        self._write(data)
        self._write(bytes(-len(data) % _BLOCK))
        return span

    def _write(self, data: bytes) -> None:
        with _faults():
            self._file.write(data)
        self._hash.update(data)
        self._size += len(data)


def read_one(blobs: Blobs, key: str, offset: int, length: int) -> tuple[bytes, dict[str, Any]]:
    """Return PNG and JSON of the picture that stands so in a shard, reading little else.

    Raise `NotFound` without the shard, `Invalid` where no picture stands there.
    """
    png = blobs.get_range(key, offset, length)
    after = offset + length + -length % _BLOCK
    try:
        header = tarfile.TarInfo.frombuf(blobs.get_range(key, after, _BLOCK), tarfile.ENCODING, "strict")
        if not header.name.endswith(".json") or not 0 < header.size <= _LONGEST_JSON:
            raise Invalid(f"{key} holds no picture at {offset}")
        meta = json.loads(blobs.get_range(key, after + _BLOCK, header.size))
    except (tarfile.TarError, ValueError) as error:
        raise Invalid(f"{key} is damaged at {after}: {error}") from error
    return png, meta


def read_manifest(tar: bytes | IO[bytes]) -> dict[str, Any]:
    """Return the manifest of a shard; raise `Invalid` if it is none."""
    with _open(tar) as archive:
        first = archive.next()
        if first is None or first.name != MANIFEST:
            raise Invalid(f"this is no shard: it does not begin with {MANIFEST}")
        return _read_json(archive, first)


def read_report(tar: bytes | IO[bytes]) -> dict[str, Any] | None:
    """Return what a shard says of items without a picture; None for one that says nothing."""
    with _open(tar) as archive:
        found = archive.getmembers()
        return _read_json(archive, found[-1]) if found and found[-1].name == REPORT else None


def members(tar: bytes | IO[bytes]) -> Iterator[Member]:
    """Yield the pictures of a shard in order; raise `Invalid` if it is none, or damaged."""
    with _open(tar) as archive:
        found = [member for member in archive if member.name not in (MANIFEST, REPORT)]
        if len(found) % 2:
            raise Invalid("a shard holds pairs of PNG and JSON, this one an odd number of members")
        for picture, words in zip(found[::2], found[1::2], strict=True):
            yield _read_pair(archive, picture, words)


def encode_json(value: Mapping[str, object]) -> bytes:
    """Spell JSON in the one way that gives the same bytes for the same value."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"the shard cannot be written: {error}") from error


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644  # the rest is fixed by TarInfo: no owner, no name, time 0
    return entry.tobuf(tarfile.USTAR_FORMAT)


@contextmanager
def _open(tar: bytes | IO[bytes]) -> Iterator[tarfile.TarFile]:
    source = BytesIO(tar) if isinstance(tar, bytes) else tar
    source.seek(0)
    try:
        with tarfile.open(fileobj=source, mode="r:") as archive:
            yield archive
    except tarfile.TarError as error:
        raise Invalid(f"this is no whole shard: {error}") from error


def _read_pair(archive: tarfile.TarFile, picture: tarfile.TarInfo, words: tarfile.TarInfo) -> Member:
    stem, _, kind = picture.name.partition(".")
    if kind != "png" or words.name != f"{stem}.json" or not stem.isdecimal():
        raise Invalid(f"a shard holds pairs of PNG and JSON, not {picture.name} and {words.name}")
    return Member(int(stem), _read_json(archive, words), Span(picture.offset_data, picture.size))


def _read_json(archive: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    source = archive.extractfile(member)
    if source is None or member.size > _LONGEST_JSON:
        raise Invalid(f"{member.name} is no JSON file of a shard")
    try:
        value = json.loads(source.read())
    except ValueError as error:
        raise Invalid(f"{member.name} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise Invalid(f"{member.name} holds no JSON object")
    return value
