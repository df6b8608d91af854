"""Whether a drawing can be made: the thinnest stroke and the narrowest gap at a stated size, and their repair.

A stroke is thinner than w where an opening by a disc of diameter w takes it away: a part of the ink as a whole, or a
piece that is longer than the tip of a corner for its thickness. Gaps are strokes of the ground.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.monogram.composition import Drawing
from core.monogram.outline import Outline, extent, rasterise
from core.monogram.shapes import grow

CELLS: Final = 512  # across the canvas
_STEPS: Final = 7  # of bisection
_TRIES: Final = 3  # of thickening: what is measured first is a little off
_WIDEST: Final = 0.16  # of the canvas: thicker strokes need no measuring
# Area over thickness squared of what an opening takes from a corner, whatever the disc: 0.6 at 90 degrees, 0.7 at 60,
# 1.1 at 30, 1.8 at 17. A stroke has its length over its thickness.
_CORNER: Final = 1.8
_CRUMB: Final = 6  # cells: a smaller piece comes of the grid
_TOUCH: Final = np.ones((3, 3), dtype=np.bool_)

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a workshop can make, in mm."""

    stroke: float = 1.2
    gap: float = 0.4


# What embroiderers ask of satin stitch: less is a row of holes in the cloth.
STITCHED_STROKE: Final = 1.3  # mm
STITCHED_LETTER: Final = 6.4  # mm high


@dataclass(frozen=True, slots=True)
class Measured:
    """What a drawing has, in mm at the size that it was measured for."""

    stroke: float
    gap: float
    letter: float  # the height of the lowest letter; inf without letters

    @property
    def stitchable(self) -> bool:
        """Whether it is coarse enough for satin stitch."""
        return self.stroke >= STITCHED_STROKE and self.letter >= STITCHED_LETTER

    def within(self, limits: Limits) -> bool:
        """Say whether it can be made."""
        return self.stroke >= limits.stroke and self.gap >= limits.gap


def measure(drawing: Drawing, side: float) -> Measured:
    """Measure a drawing of `side` mm."""
    ink = rasterise(Outline(tuple(each for piece in drawing.pieces for each in piece.contours)), CELLS) > 127
    letters = [each for each in drawing.whole or drawing.letters if each.contours]
    heights = [float(extent([each])[1]) for each in letters]
    return Measured(_narrowest(ink) * side, _narrowest(~ink) * side, min(heights, default=np.inf) * side)


def repair(drawing: Drawing, side: float, limits: Limits) -> tuple[Drawing, Measured]:
    """Thicken all strokes evenly until the thinnest can be made; return what comes of it, measured.

    Gaps close by as much; a drawing that then cannot be made for them is returned as it was.
    """
    found = measure(drawing, side)
    amount = 0.0
    repaired = found
    for _ in range(_TRIES):
        if repaired.stroke >= limits.stroke or repaired.gap < limits.gap:
            break
        # Half a cell more than is missing, for the grid it is measured on.
        amount += ((limits.stroke - repaired.stroke) / side + 0.5 / CELLS) / 2
        repaired = measure(_thicken(drawing, amount), side)
    if amount == 0 or not repaired.within(limits):
        return drawing, found
    return _thicken(drawing, amount), repaired


def _thicken(drawing: Drawing, amount: float) -> Drawing:
    return replace(
        drawing,
        letters=tuple(grow(piece, amount) for piece in drawing.letters),
        shadows=tuple(grow(piece, amount) for piece in drawing.shadows),
        frames=tuple(grow(piece, amount) for piece in drawing.frames),
        stems=tuple(stem + 2 * amount for stem in drawing.stems),
    )


def _narrowest(ink: Bools) -> float:
    """Return the widest disc that an opening of the ink survives, of the canvas."""
    depth = ndimage.distance_transform_edt(np.pad(ink, 1, mode="edge"))[1:-1, 1:-1]
    parts, count = ndimage.label(ink, _TOUCH)
    if count == 0:
        return _WIDEST
    # A part vanishes as a whole at its greatest depth, so no more has to be tried.
    low, high = 0.0, min(_WIDEST * CELLS, 2 * float(ndimage.maximum(depth, parts, np.arange(1, count + 1)).min()))
    if _survives(ink, depth, high):
        return high / CELLS
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _survives(ink, depth, middle) else (low, middle)
    return low / CELLS


def _survives(ink: Bools, depth: NDArray[np.float64], width: float) -> bool:
    """Say whether an opening by a disc of this diameter, in cells, takes nothing but tips of corners from the ink."""
    core = depth >= width / 2
    near = ndimage.distance_transform_edt(~core) <= width / 2 + 0.5
    lost, count = ndimage.label(ink & ~near, _TOUCH)
    if count == 0:
        return True
    area = np.bincount(lost.ravel())[1:]
    thick = 2 * np.asarray(ndimage.maximum(depth, lost, np.arange(1, count + 1)))
    return not bool(((area > _CRUMB) & (area > _CORNER * thick * thick)).any())
