"""Strokes that end bluntly, and what they may end in instead: a wedge, a ball, a spur."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.monogram.curves import straighten
from core.monogram.outline import Outline
from core.registry import Ornament

Floats = NDArray[np.float64]

WIDTHS: Final = (0.4, 1.9)  # of a stem, an end
CORNER: Final = (np.radians(45), np.radians(135))  # to which an end turns at either side
FLANK: Final = 0.35  # of a stem, at the least, that either side of a stroke runs on from its end
_ARC: Final = 0.5523  # of its radius, the handles of a quarter of a circle


@dataclass(frozen=True, slots=True)
class End:
    """The blunt end of a stroke."""

    first: Floats  # [2] its corners, ink on the right of the way from one to the other
    second: Floats
    outwards: Floats  # [2] unit, the way the stroke ends

    @property
    def along(self) -> Floats:
        """The unit way from the first corner to the second."""
        gap = self.second - self.first
        return np.asarray(gap / np.linalg.norm(gap))


def find_ends(letter: Outline, stem: float) -> list[End]:
    """Find the blunt ends of strokes about as thick as a stem."""
    return [end for contour in letter.contours for end in _find(contour, stem)]


def _find(contour: Floats, stem: float) -> list[End]:
    chord = contour[:, 3] - contour[:, 0]
    length = np.linalg.norm(chord, axis=1)
    straight = np.abs(contour - straighten(contour[:, 0], contour[:, 3])).max(axis=(1, 2)) < 1e-6
    leave = _unit(contour[:, 1] - contour[:, 0])
    arrive = _unit(contour[:, 3] - contour[:, 2])
    before, after = np.roll(arrive, 1, axis=0), np.roll(leave, -1, axis=0)
    turns = np.stack([_turn(before, leave), _turn(arrive, after)])
    flanks = np.minimum(np.roll(length, 1), np.roll(length, -1))
    fine = straight & (length > WIDTHS[0] * stem) & (length < WIDTHS[1] * stem) & (flanks > FLANK * stem)
    fine &= ((turns > CORNER[0]) & (turns < CORNER[1])).all(axis=0)
    return [
        End(contour[at, 0], contour[at, 3], _unit(before[at] - after[at]))
        for at in np.flatnonzero(fine & (np.linalg.norm(before - after, axis=1) > 1.4))
    ]


def finish(end: End, ornament: Ornament, stem: float) -> Outline:
    """Return what is to be added to a letter at the end of a stroke."""
    return _DRAWN[ornament](end, stem)


def _wedge(end: End, stem: float) -> Outline:
    """Let the stroke flare to nearly twice its thickness."""
    up, across = end.outwards * stem, end.along * stem
    low, high = end.first - 1.5 * up, end.second - 1.5 * up
    left, right = end.first - 0.45 * across, end.second + 0.45 * across
    sides = [
        np.stack([low, low + 0.9 * up, left - 0.35 * up + 0.25 * across, left]),
        straighten(left, right),
        np.stack([right, right - 0.35 * up - 0.25 * across, high + 0.9 * up, high]),
        straighten(high, low),
    ]
    return Outline((np.stack(sides),))


def _ball(end: End, stem: float) -> Outline:
    """Let the stroke end in a ball."""
    radius = 0.85 * stem
    centre = (end.first + end.second) / 2 - 0.45 * stem * end.outwards
    x, y = radius * end.along, radius * end.outwards
    corners = [y, x, -y, -x]  # clockwise as seen, as contours around ink run
    quarters = [
        np.stack([a, a + _ARC * b, b + _ARC * a, b]) for a, b in zip(corners, [*corners[1:], corners[0]], strict=True)
    ]
    return Outline((np.stack(quarters) + centre,))


def _spur(end: End, stem: float) -> Outline:
    """Let one corner of the stroke run out into a point."""
    up, across = end.outwards * stem, end.along * stem
    tip = end.first - 0.75 * across + 0.05 * up
    low = end.first - 1.1 * up
    inner = end.first + 0.5 * (end.second - end.first)
    sides = [
        np.stack([low, low + 0.6 * up, tip + 0.4 * across - 0.2 * up, tip]),
        straighten(tip, inner),
        straighten(inner, low),
    ]
    return Outline((np.stack(sides),))


def _turn(one: Floats, other: Floats) -> Floats:
    return np.asarray(np.arctan2(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0], (one * other).sum(axis=1)))


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12))


_DRAWN: Final[Mapping[Ornament, Callable[[End, float], Outline]]] = {
    Ornament.WEDGE: _wedge,
    Ornament.BALL: _ball,
    Ornament.SPUR: _spur,
}
