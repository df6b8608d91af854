"""Files that users send: judged by their first bytes, kept under their owner and their SHA-256.

Nothing is parsed here: whoever works on an upload does so in a limited child process.
"""

import hashlib
import struct
import uuid
from enum import StrEnum
from typing import Final

from core.errors import Invalid
from core.storage.blobs import Blobs

MOST_BYTES: Final = 32 << 20
MOST_SIDE: Final = 8192  # pixels of a picture, either way

_SFNT: Final = (b"\x00\x01\x00\x00", b"true", b"OTTO")
_WRAPPED: Final = (b"wOFF", b"wOF2")
_OUTLINES: Final = {b"glyf", b"CFF ", b"CFF2"}
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"


class UploadKind(StrEnum):
    """What a file is taken for."""

    FONT = "font"
    PICTURE = "picture"


def recognise(data: bytes, name: str) -> UploadKind:
    """Say what a file is; raise `Invalid`, naming it, for what is neither a font with outlines nor a picture."""
    if not data:
        raise Invalid(f"{name} is empty")
    if len(data) > MOST_BYTES:
        raise Invalid(f"{name} has more than {MOST_BYTES >> 20} MiB")
    if data.startswith(_PNG):
        _check_png(data, name)
    elif data.startswith(_SFNT):
        _check_tables(data, name)
    if data.startswith((_PNG, _JPEG)):
        return UploadKind.PICTURE
    if data.startswith((*_SFNT, *_WRAPPED)):
        return UploadKind.FONT
    if data.startswith(b"ttcf"):
        raise Invalid(f"{name} is a collection of fonts; give one of its fonts")
    raise Invalid(f"{name} is neither a font (TTF, OTF, WOFF, WOFF2) nor a picture (PNG, JPEG)")


def digest(data: bytes) -> str:
    """Return the name of an upload: its SHA-256 (hexadecimal)."""
    return hashlib.sha256(data).hexdigest()


def keep(blobs: Blobs, owner_id: uuid.UUID, data: bytes) -> str:
    """Store an upload under one key however often it is sent; return its SHA-256.

    Put anew each time: a sweep spares what is young, and goes by the store's time of the last put.
    """
    sha256 = digest(data)
    blobs.put(upload_key(owner_id, sha256), data)
    return sha256


def upload_key(owner_id: uuid.UUID, sha256: str) -> str:
    """Return the key of an owner's upload: nobody reaches another one's by knowing its digest."""
    return f"uploads/{owner_id}/{sha256}"


def _check_tables(data: bytes, name: str) -> None:
    """Look through the table directory of a TrueType or OpenType font (ISO/IEC 14496-22, "Organization of an OFF")."""
    count = int.from_bytes(data[4:6])
    if len(data) < 12 + 16 * count:
        raise Invalid(f"{name} is no whole font: it is cut off inside its table directory")
    tags = set()
    for entry in range(12, 12 + 16 * count, 16):
        tag, offset, length = struct.unpack(">4s4xII", data[entry : entry + 16])
        if offset + length > len(data):
            raise Invalid(f"{name} is no whole font: its table {tag.decode('latin-1')!r} is cut off")
        tags.add(tag)
    if not tags & _OUTLINES:
        raise Invalid(f"{name} has no outlines (a bitmap font?)")


def _check_png(data: bytes, name: str) -> None:
    if len(data) < 24:
        raise Invalid(f"{name} is no whole picture")
    width, height = struct.unpack(">II", data[16:24])
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE):
        raise Invalid(f"{name} has {width} x {height} pixels; at most {MOST_SIDE} either way are taken")
