"""From letters to pixels by way of their outlines: what is seen on the screen is what is sawn and stitched."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.monogram import field
from core.monogram.outline import Outline, rasterise
from core.monogram.trace import follow_all, trace_all

Floats = NDArray[np.float64]

SPECK: Final = 4  # percent of a letter's ink
BORDER: Final = 0.01  # of a glyph's canvas that stays ground


def clean(fields: Tensor) -> Tensor:
    """Return a network's fields [N, 1, h, w] without specks and with ground all around."""
    return field.seal(field.drop_specks(fields, SPECK), BORDER)


def outline_all(fields: Tensor) -> list[Outline]:
    """Outline cleaned fields [N, 1, h, w], each as if alone.

    Coarse ones carry noise of the size of a cell, which the spline of `resolve` takes and in which no corner can be
    told: they keep the contour as it is.
    """
    if fields.shape[-1] < field.SHARP:
        return follow_all(field.resolve(fields)[:, 0])
    return trace_all(fields[:, 0])


def render(letters: Sequence[Outline], size: int) -> NDArray[np.uint8]:
    """Draw letters that lie on one canvas, and beside each other, as grey values [size, size]: dark ink on white."""
    return 255 - rasterise(Outline(tuple(contour for letter in letters for contour in letter.contours)), size)
