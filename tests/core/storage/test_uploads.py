"""Uploads: what a file is, by its first bytes."""

import struct
import uuid
from io import BytesIO

import pytest
from PIL import Image

from core.errors import Invalid
from core.storage.blobs import Blobs
from core.storage.uploads import MOST_BYTES, MOST_SIDE, UploadKind, digest, keep, recognise, upload_key


def font(*tags: bytes, count: int | None = None, length: int = 4) -> bytes:
    """A table directory and a few bytes for each table."""
    entries = b"".join(struct.pack(">4sIII", tag, 0, 12 + 16 * len(tags), length) for tag in tags)
    return b"\0\1\0\0" + struct.pack(">H6x", len(tags) if count is None else count) + entries + bytes(4)


def picture(kind: str, width: int = 3) -> bytes:
    out = BytesIO()
    Image.new("L", (width, 3)).save(out, kind)
    return out.getvalue()


def test_fonts_and_pictures_are_told_apart() -> None:
    assert recognise(font(b"cmap", b"glyf"), "a") is UploadKind.FONT
    assert recognise(b"OTTO" + font(b"CFF ")[4:], "a") is UploadKind.FONT
    assert recognise(b"wOF2" + bytes(40), "a") is UploadKind.FONT
    assert recognise(picture("PNG"), "a") is UploadKind.PICTURE
    assert recognise(picture("JPEG"), "a") is UploadKind.PICTURE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"GIF89a" + bytes(100), "neither a font"),
        (b"STARTFONT 2.1\n", "neither a font"),
        (b"ttcf" + bytes(40), "a collection"),
        (font(b"EBDT", b"EBLC", b"cmap"), "a bitmap font"),
        (font(b"glyf", length=1000), "cut off"),
        (font(b"glyf", count=60_000), "cut off inside its table directory"),
        (b"\0\1\0\0", "cut off"),
        (picture("PNG", MOST_SIDE + 1), "pixels"),
        (picture("PNG")[:20], "no whole picture"),
        (bytes(MOST_BYTES + 1), "32 MiB"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=rf"evil\.ttf .*{reason}"):
        recognise(data, "evil.ttf")


def test_the_same_upload_is_kept_once_and_another_owners_apart() -> None:
    blobs = Blobs.open("memory:///")
    one, other = uuid.uuid4(), uuid.uuid4()

    assert keep(blobs, one, b"file") == keep(blobs, one, b"file") == keep(blobs, other, b"file") == digest(b"file")
    assert sorted(blobs.keys("uploads")) == sorted(upload_key(owner, digest(b"file")) for owner in (one, other))
