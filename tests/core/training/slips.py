"""Handwriting slips: small sets of drawn signs in the layout of EMNIST, columns stored as rows."""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.registry import EmnistSplit

# Sign -> polylines in a box of side 1, y downwards; none looks the same transposed.
STROKES = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.6), (0.8, 0.6)]],
    "L": [[(0, 0), (0, 1), (0.7, 1)]],
    "P": [[(0, 1), (0, 0), (0.7, 0), (0.7, 0.5), (0, 0.5)]],
    "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
    "7": [[(0, 0), (0.8, 0), (0.3, 1)]],
    "h": [[(0, 0), (0, 1)], [(0, 0.5), (0.6, 0.5), (0.6, 1)]],
}
CLASSES = {
    EmnistSplit.LETTERS: " ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    EmnistSplit.BALANCED: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt",
}


def draw_slip(sign: str, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a sign, upright, white on black, smooth, in a box of 24 pixels that some hand has moved a little."""
    rng = np.random.default_rng([seed, ord(sign)])
    scale, fine = 24 - 2 * 1.5, 8
    picture = Image.new("L", (28 * fine, 28 * fine))
    pen = ImageDraw.Draw(picture)
    for line in STROKES[sign]:
        points = (3.5 + np.array(line) * scale + rng.uniform(-0.7, 0.7, (len(line), 2))) * fine
        pen.line([tuple(point) for point in points], fill=255, width=3 * fine, joint="curve")
    return np.asarray(picture.resize((28, 28), Image.Resampling.BOX))


def write_slips(
    folder: Path, signs: str, split: EmnistSplit = EmnistSplit.LETTERS, *, zipped: bool = False
) -> tuple[Path, Path]:
    """Write one image of each sign where torchvision would; return the files of images and of labels."""
    images = np.stack([draw_slip(sign, seed).T for seed, sign in enumerate(signs)])
    labels = bytes(CLASSES[split].index(sign) for sign in signs)
    return write_raw(folder, images, labels, split, zipped=zipped)


def write_raw(
    folder: Path, images: NDArray[np.uint8], labels: bytes, split: EmnistSplit, *, zipped: bool = False
) -> tuple[Path, Path]:
    """Write images [N, 28, 28], as they are, and labels."""
    raw = folder / "EMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    suffix = ".gz" if zipped else ""
    paths = tuple(raw / f"emnist-{split}-train-{part}-ubyte{suffix}" for part in ("images-idx3", "labels-idx1"))
    for path, array in zip(paths, (images, np.frombuffer(labels, np.uint8)), strict=True):
        data = struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.tobytes()
        path.write_bytes(gzip.compress(data) if zipped else data)
    return paths
