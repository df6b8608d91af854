"""Pixels and their PNG: 8-bit grey, dark ink on white. No torch, so that whoever reads a picture can use it."""

import hashlib
import zlib
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import Invalid

Pixels = NDArray[np.uint8]

MODE: Final = "L"
_LEVEL: Final = 1


def encode(pixels: Pixels) -> bytes:
    """Return the PNG of [height, width] grey values; the same pixels give the same bytes with one Pillow and zlib."""
    out = BytesIO()
    # Flat ink on flat ground is runs: smaller than the default strategy's level 8, and faster than its level 1.
    Image.fromarray(pixels).save(out, "PNG", compress_level=_LEVEL, compress_type=zlib.Z_RLE)
    return out.getvalue()


def decode(png: bytes) -> Pixels:
    """Return the grey values of a PNG that `encode` made; raise `Invalid` for anything else."""
    try:
        with Image.open(BytesIO(png), formats=["PNG"]) as image:
            if image.mode != MODE:
                raise Invalid(f"a picture of mode {image.mode}, not {MODE}")
            return np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise Invalid(f"this is no picture: {error}") from error


def digest(pixels: Pixels) -> bytes:
    """Return the SHA-256 of size, mode and pixels: what a picture shows, however it is packed."""
    height, width = pixels.shape
    found = hashlib.sha256(f"{width}x{height} {MODE}\n".encode())
    found.update(np.ascontiguousarray(pixels).data)
    return found.digest()
