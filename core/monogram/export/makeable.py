"""Whether a drawing can be made: the thinnest stroke and the narrowest gap at a stated size, and their repair.

A stroke is thinner than w where an opening by a disc of diameter w takes away more than a corner has: the parts of ink
lost that are larger than a corner of 60 degrees loses. Gaps are strokes of the ground.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.monogram.composition import Drawing
from core.monogram.outline import Outline, rasterise
from core.monogram.shapes import grow

CELLS: Final = 512  # across the canvas
_STEPS: Final = 7  # of bisection
_WIDEST: Final = 0.16  # of the canvas: thicker strokes need no measuring
_CORNER: Final = 0.9  # of the disc's diameter squared: what a sharp corner loses is smaller

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a workshop can make, in mm."""

    stroke: float = 1.2
    gap: float = 0.4


@dataclass(frozen=True, slots=True)
class Measured:
    """What a drawing has, in mm at the size that it was measured for."""

    stroke: float
    gap: float

    def within(self, limits: Limits) -> bool:
        """Say whether it can be made."""
        return self.stroke >= limits.stroke and self.gap >= limits.gap


def measure(drawing: Drawing, side: float) -> Measured:
    """Measure a drawing of `side` mm."""
    ink = rasterise(Outline(tuple(each for piece in drawing.pieces for each in piece.contours)), CELLS) > 127
    return Measured(_narrowest(ink) * side, _narrowest(~ink) * side)


def repair(drawing: Drawing, side: float, limits: Limits) -> tuple[Drawing, Measured]:
    """Thicken all strokes evenly until the thinnest can be made; return what comes of it, measured.

    Gaps close by as much; a drawing that then cannot be made for them is returned as it was.
    """
    found = measure(drawing, side)
    short = limits.stroke - found.stroke
    if short <= 0:
        return drawing, found
    # Half a cell more than is missing, for the grid it was measured on.
    amount = (short / side + 0.5 / CELLS) / 2
    thick = replace(
        drawing,
        letters=tuple(grow(piece, amount) for piece in drawing.letters),
        ornaments=tuple(grow(piece, amount) for piece in drawing.ornaments),
        stems=tuple(stem + 2 * amount for stem in drawing.stems),
    )
    repaired = measure(thick, side)
    return (thick, repaired) if repaired.within(limits) else (drawing, found)


def _narrowest(ink: Bools) -> float:
    """Return the widest disc that an opening of the ink survives, of the canvas."""
    depth = ndimage.distance_transform_edt(np.pad(ink, 1, mode="edge"))[1:-1, 1:-1]
    low, high = 0.0, _WIDEST * CELLS
    if _survives(ink, depth, high):
        return _WIDEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _survives(ink, depth, middle) else (low, middle)
    return low / CELLS


def _survives(ink: Bools, depth: NDArray[np.float64], width: float) -> bool:
    """Say whether an opening by a disc of this diameter, in cells, takes nothing but corners from the ink."""
    core = depth > width / 2
    if not core.any():
        return False
    near = ndimage.distance_transform_edt(~core) <= width / 2 + 0.5
    lost, count = ndimage.label(ink & ~near, np.ones((3, 3)))
    return count == 0 or int(np.bincount(lost.ravel())[1:].max()) < max(4.0, _CORNER * width * width)
