"""The child process that reads one upload: `python -m core.training.reader font|picture`, bytes in, npz out.

As the font parser does, it limits itself before it touches the file. What a font says of its licence is not asked:
a user looks for the style of a file of their own, nothing of it is kept. Exit status: 0 an npz on stdout; 3 refused,
the reason on stderr; anything else a crash.
"""

import sys
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from core.alphabet import position
from core.errors import Invalid
from core.storage.uploads import MOST_BYTES, MOST_SIDE, UploadKind
from core.training.datasets import archive, faces
from core.training.datasets.outlines import measure
from core.training.datasets.parser import REFUSED, limit_process

HEIGHT: Final = 384  # pixels that a letter of a picture is brought to
WIDEST: Final = 3.0  # heights: what is wider is several letters
_LEAST_CONTRAST: Final = 48  # of 255, between ink and ground
_SPECK: Final = 0.01  # of the ink: smaller parts are dust


def read_font(data: bytes) -> archive.Arrays:
    """Read the letters of a font's default instance: fields [n, 128, 128] and labels [n]."""
    font = faces.open_face(data)
    if "fvar" in font:
        del font["fvar"]  # without its axes it has but one instance
    letters = next(iter(faces.instances(font))).letters
    if not letters:
        raise Invalid("it has none of the letters A-Z, А-Я and 0-9 that fit the canvas")
    fields = np.stack([measure(letter.segments, archive.SIZE, archive.CLAMP) for letter in letters])
    steps = np.clip(np.rint(fields * (127 / archive.CLAMP)), -127, 127).astype(np.int8)
    return {"fields": steps, "labels": np.array([position(letter.sign) for letter in letters], dtype=np.int16)}


def read_picture(data: bytes) -> archive.Arrays:
    """Read the one letter of a picture, cropped to its ink: shares of ink [HEIGHT, w] as bytes."""
    grey = _open(data)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = float(np.median(edge))
    ink = np.abs(grey - ground)
    depth = float(np.quantile(ink, 0.999))
    if depth < _LEAST_CONTRAST:
        raise Invalid("there is no letter in it that stands out from its ground")
    share = (ink / depth).clip(0, 1)
    share[_dust(share > 0.5)] = 0
    rows, columns = (np.flatnonzero((share > 0.5).any(axis)) for axis in (1, 0))
    letter = share[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = letter.shape
    if width > WIDEST * height:
        raise Invalid("it is too wide for one letter; give a picture of one letter")
    wide = max(1, round(width * HEIGHT / height))
    drawn = Image.fromarray(letter.astype(np.float32)).resize((wide, HEIGHT), Image.Resampling.BICUBIC)
    return {"ink": np.rint(np.asarray(drawn).clip(0, 1) * 255).astype(np.uint8)}


def _open(data: bytes) -> NDArray[np.float64]:
    """Return a picture's grey values [h, w], on white where it is transparent."""
    with Image.open(BytesIO(data), formats=["PNG", "JPEG"]) as image:
        if max(image.size) > MOST_SIDE:
            raise Invalid(f"it has {image.width} x {image.height} pixels; at most {MOST_SIDE} either way are taken")
        image.thumbnail((4 * HEIGHT, 4 * HEIGHT))
        whole = image.convert("RGBA")
    paper = Image.new("RGBA", whole.size, "white")
    return np.asarray(Image.alpha_composite(paper, whole).convert("L"), dtype=np.float64)


def _dust(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the parts of a mask that are too small to belong to a letter."""
    parts, _ = ndimage.label(ink, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    small = sizes < _SPECK * sizes[1:].sum()
    small[0] = False
    return np.asarray(small[parts])


def main(arguments: list[str]) -> int:
    """Read an upload from stdin and write its arrays to stdout."""
    limit_process()
    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    try:
        arrays = read_font(data) if arguments == [UploadKind.FONT] else read_picture(data)
    except Invalid as refusal:
        sys.stderr.write(str(refusal))
        return REFUSED
    sys.stdout.buffer.write(archive.pack(arrays, level=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
