"""The idx format of MNIST and its kin, raw or gzipped, read with suspicion.

A header is believed only as far as the file bears it out: sizes are checked before anything is read, and a gzip stream
is unpacked no further than the header says. So nothing here takes more than `MAX_IMAGES` images of memory, and the few
lines need no process of their own, unlike a font parser.
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import EnvironmentFault, Invalid

SIDE: Final = 28  # pixels
MAX_IMAGES: Final = 200_000

Bytes = NDArray[np.uint8]

_UNSIGNED: Final = 8  # the format's code for bytes; its low byte counts dimensions


def read_images(path: Path) -> Bytes:
    """Return images [N, 28, 28] as the file has them; raise `Invalid` naming the file if it is anything else."""
    return _read(path, (SIDE, SIDE))


def read_labels(path: Path) -> Bytes:
    """Return labels [N]; raise `Invalid` naming the file if it is anything else."""
    return _read(path, ())


def _read(path: Path, item: tuple[int, ...]) -> Bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            header = stream.read(4 * (2 + len(item)))
            count = _count(path, header, item)
            size = count * int(np.prod(item, dtype=np.int64))
            data = stream.read(size + 1)  # one more would be too many
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _refusal(path, f"is broken: {error}") from error
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}") from error
    if len(data) != size:
        more = "more" if len(data) > size else f"{len(data)}"
        raise _refusal(path, f"should hold {size} bytes after its header, and holds {more}")
    return np.frombuffer(data, dtype=np.uint8).reshape(count, *item)


def _count(path: Path, header: bytes, item: tuple[int, ...]) -> int:
    """Return how many items a header announces; raise `Invalid` if it is of other items."""
    dimensions = 1 + len(item)
    if len(header) < 4 * (1 + dimensions):
        raise _refusal(path, "ends inside its header")
    magic, count, *shape = struct.unpack(f">{1 + dimensions}I", header)
    expected = _UNSIGNED << 8 | dimensions
    if magic != expected:
        raise _refusal(path, f"begins with {magic:#010x}, not with {expected:#010x}")
    if tuple(shape) != item:
        raise _refusal(path, f"holds images of {' x '.join(map(str, shape))} pixels, not of {SIDE} x {SIDE}")
    if not 0 < count <= MAX_IMAGES:
        raise _refusal(path, f"announces {count} items; 1 to {MAX_IMAGES} are allowed")
    return int(count)


def _refusal(path: Path, reason: str) -> Invalid:
    return Invalid(f"{path.name} {reason}", pointer="/path")
