"""What may be done to the letters of a drawing once they stand: contours, a line within, bridges, a hatched shadow,
other ends of strokes, room for a name.

Pieces never overlap afterwards, as before; woven letters stay woven.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.monogram.composition import Drawing
from core.monogram.curves import straighten
from core.monogram.outline import Outline, bounds, flatten
from core.monogram.shapes import area, difference, grow, intersection, union
from core.monogram.terminals import find_ends, finish
from core.registry import Ornament

Floats = NDArray[np.float64]

STEM: Final = 0.05  # of the canvas, where letters have none
CONTOUR: Final = 0.2  # of a stem: the lines of an outline
LEAST_LINE: Final = 0.006  # of the canvas
INLINE: Final = 0.22  # of a stem: the white within
BRIDGE: Final = 0.4  # of a stem: what holds the inside of a letter in a stencil
THROUGH: Final = 2.0  # stems: how far bridges go on beyond what they hold, through the strokes around it
DEPTH: Final = 0.75  # of a stem: how far a shadow falls, across and down
AIR: Final = 0.22  # of a stem, between a letter and its shadow
HATCH: Final = 0.3  # of a stem, from line to line
INKED: Final = 0.42  # of that, what is line
ENDS: Final = 2  # blunt ends that a letter must have to be given others: one with serifs has its own
ROOM: Final = 0.24  # of the letters' height, the room that a split leaves for a name
LEAST_ROOM: Final = 2.5  # stems, at the least
RULE: Final = 0.3  # of a stem, the lines above and below it
_CRUMB: Final = 1.5e-5  # of the canvas's area: less is no piece that anybody could make


def add_ornament(drawing: Drawing, ornament: Ornament) -> Drawing:
    """Return the drawing with an ornament."""
    stem = drawing.stem if np.isfinite(drawing.stem) else STEM
    return _OPERATORS[ornament](drawing, stem)


def _outline(drawing: Drawing, stem: float) -> Drawing:
    """Draw contours instead of ink; woven ones go under each other without a gap, as an engraver cuts them."""
    line = max(CONTOUR * stem, LEAST_LINE)
    gap = float(drawing.figures.get("gap", 0.0))
    uncut = drawing.whole or drawing.letters
    letters = []
    for letter, whole in zip(drawing.letters, uncut, strict=True):
        contour = difference(whole, grow(whole, -line))
        letters.append(_without_crumbs(intersection(contour, grow(letter, 0.98 * gap)) if gap else contour))
    return replace(drawing, letters=tuple(letters))


def _inline(drawing: Drawing, stem: float) -> Drawing:
    """Leave a white line in the middle of stems, and of whatever else is as thick."""
    inwards = (1 - INLINE) * stem / 2
    uncut = drawing.whole or drawing.letters
    letters = (
        _without_crumbs(difference(letter, _without_crumbs(grow(whole, -inwards))))
        for letter, whole in zip(drawing.letters, uncut, strict=True)
    )
    return replace(drawing, letters=tuple(letters))


def _stencil(drawing: Drawing, stem: float) -> Drawing:
    """Cut bridges to all that is enclosed, so that nothing falls out of a plate from which the ink is cut."""
    bridge = BRIDGE * stem

    def open_up(piece: Outline) -> Outline:
        holes = [bounds([Outline((contour,))]) for contour in piece.contours if area(contour) < 0]
        bars = []
        taken: list[float] = []
        for low, high in holes:
            middle = float(low[0] + high[0]) / 2
            # Holes over one another, as in a B, are opened by one line.
            x = next((other for other in taken if abs(middle - other) < 2 * bridge), middle)
            taken.append(x)
            top, bottom = float(low[1]) - THROUGH * stem, float(high[1]) + THROUGH * stem
            bars.append(_box(x - bridge / 2, top, x + bridge / 2, bottom))
        return _without_crumbs(difference(piece, union(bars))) if bars else piece

    return replace(drawing, letters=tuple(open_up(each) for each in drawing.letters))


def _shade(drawing: Drawing, stem: float) -> Drawing:
    """Let letters throw a shadow to the right and down, of horizontal lines."""
    depth = DEPTH * stem
    cast = union([_sweep(letter, depth) for letter in drawing.letters])
    seen = difference(cast, union([grow(letter, AIR * stem) for letter in drawing.letters]))
    pitch = HATCH * stem
    low, high = bounds([cast])
    lines = np.arange(float(low[1]), float(high[1]), pitch)
    hatch = union([_box(float(low[0]) - 0.01, y, float(high[0]) + 0.01, y + INKED * pitch) for y in lines.tolist()])
    return replace(drawing, shadows=(_without_crumbs(intersection(seen, hatch)),))


def _finish(ornament: Ornament) -> Callable[[Drawing, float], Drawing]:
    """Return what gives strokes other ends; where those would meet another letter, they keep the gap from it."""

    def end(drawing: Drawing, stem: float) -> Drawing:
        uncut = drawing.whole or drawing.letters
        air = float(drawing.figures.get("gap", AIR * stem))
        letters = list(drawing.letters)
        for number, (letter, whole) in enumerate(zip(drawing.letters, uncut, strict=True)):
            found = find_ends(whole, stem)
            if len(found) < ENDS:
                continue
            ends = [finish(each, ornament, stem) for each in found]
            # An end that was left out where it goes under has nothing to stand on.
            ends = [each for each in ends if intersection(each, letter).contours]
            others = [grow(other, air) for place, other in enumerate(letters) if place != number]
            if ends:
                added = difference(union(ends), union(others)) if others else union(ends)
                letters[number] = _without_crumbs(union([letter, added]))
        return replace(drawing, letters=tuple(letters))

    return end


def _split(drawing: Drawing, stem: float) -> Drawing:
    """Leave a band across the middle free for a name, between two lines."""
    low, high = bounds(drawing.letters)
    middle, half = float(low[1] + high[1]) / 2, max(ROOM * float(high[1] - low[1]), LEAST_ROOM * stem) / 2
    line = max(RULE * stem, LEAST_LINE)
    left, right = float(low[0]), float(high[0])
    cut = _box(left - 0.1, middle - half, right + 0.1, middle + half)
    letters = (_without_crumbs(difference(letter, cut)) for letter in drawing.letters)
    inner = half - AIR * stem
    rules = [_box(left, y, right, y + line) for y in (middle - inner, middle + inner - line)]
    return replace(drawing, letters=tuple(letters), frames=(*drawing.frames, *rules))


def _sweep(letter: Outline, depth: float) -> Outline:
    """Return what a letter passes over on its way to the right and down."""
    way = np.array([depth, depth])
    sides = [side for ring in flatten(letter, 1 / 2048) for side in _sides(ring, way)]
    return union([letter, Outline(tuple(contour + way for contour in letter.contours)), *sides])


def _sides(ring: Floats, way: Floats) -> list[Outline]:
    """Return what the edges of a ring pass over: one piece for each stretch that lies on one side of the way."""
    along = np.roll(ring, -1, axis=0) - ring
    left = along[:, 0] < along[:, 1]
    turns = np.flatnonzero(left != np.roll(left, 1))
    sides = []
    for start, stop in zip(turns, np.roll(turns, -1), strict=True):
        edges = np.arange(start, stop if stop > start else stop + len(ring))
        chain = ring[np.append(edges, edges[-1] + 1) % len(ring)]
        corners = np.concatenate([chain, chain[::-1] + way])
        if left[start]:
            corners = corners[::-1]
        sides.append(Outline((straighten(corners, np.roll(corners, -1, axis=0)),)))
    return sides


def _box(left: float, top: float, right: float, bottom: float) -> Outline:
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return Outline((straighten(corners, np.roll(corners, -1, axis=0)),))


def _without_crumbs(shape: Outline) -> Outline:
    return Outline(tuple(contour for contour in shape.contours if abs(area(contour)) > _CRUMB))


_OPERATORS: Final[Mapping[Ornament, Callable[[Drawing, float], Drawing]]] = {
    Ornament.OUTLINE: _outline,
    Ornament.INLINE: _inline,
    Ornament.STENCIL: _stencil,
    Ornament.SHADE: _shade,
    Ornament.WEDGE: _finish(Ornament.WEDGE),
    Ornament.BALL: _finish(Ornament.BALL),
    Ornament.SPUR: _finish(Ornament.SPUR),
    Ornament.SPLIT: _split,
}
