"""Letters that fill a circle: two halves, or three with the middle one between straight lines.

A letter at the side is stretched over its segment of the circle as a Coons patch (Coons, "Surfaces for computer-aided
design of space forms", 1967): its top and its outer side follow the arc. The middle one follows it above and below. The
strokes are made heavier across and lighter down beforehand, so that they come out even.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch

from core.monogram.composition import Drawing, Floats, Placement
from core.monogram.optics import Glyphs, behind, boxes, even, masts, unslanted
from core.monogram.outline import Outline, bend, bounds, move

RADIUS: Final = 0.44
INNER: Final = 0.36  # of the radius, from the axis to the lines beside the middle letter
GAP: Final = 0.4  # of a stem, between letters
LEAST_GAP: Final = 0.012  # of the canvas
TURN: Final = np.deg2rad(47)  # above the horizontal, where a letter's top ends and its outer side begins
_WIDTHS: Final = {2: (0.86, 0.86), 3: (0.52, 0.68, 0.52)}  # of the radius, how wide letters come out on the whole
_HEIGHTS: Final = {2: (1.7, 1.7), 3: (1.55, 1.9, 1.55)}


def place(glyphs: Glyphs) -> Placement:
    """Give letters the weight that they need; where they go is up to their outlines."""
    number, places = glyphs.present.shape
    glyphs = unslanted(glyphs)
    left, top, right, bottom = boxes(glyphs).unbind(-1)
    extent = torch.stack([right - left, bottom - top], dim=-1).clamp(min=0.01)
    size = torch.ones(number, places, 2, dtype=torch.float64)
    count = glyphs.present.sum(1)
    for letters, widths in _WIDTHS.items():
        if letters <= places:
            whole = torch.tensor([widths, _HEIGHTS[letters]], dtype=torch.float64).T * RADIUS
            size[count == letters, :letters] = whole / extent[count == letters, :letters]
    growth = even(glyphs.stem, size)
    # Strokes never become wider than the white between them.
    several = masts(extent[..., 0])
    most = (extent[..., 0] - several * glyphs.stem) / (2 * (several - 1).clamp(min=1))
    share = torch.where(several > 1, most.clamp(min=0) / growth[..., 0].clamp(min=1e-6), 1.0).clamp(max=1)
    share = torch.where(glyphs.present, share.nan_to_num(1.0), 1.0).amin(1, keepdim=True)
    growth = torch.stack(
        [torch.where(growth[..., 0] > 0, growth[..., 0] * share, growth[..., 0]), growth[..., 1]], dim=-1
    )
    plain = torch.eye(2, 3, dtype=torch.float64).expand(number, 1, places, 2, 3)
    return Placement(behind(glyphs, plain), growth)


def finish(letters: Sequence[Outline], matrix: Floats, stem: Floats, lots: Floats) -> Drawing:
    """Stretch each letter over its part of the circle."""
    widths, heights = _WIDTHS[len(letters)], _HEIGHTS[len(letters)]
    letters = [move(letter, own) for letter, own in zip(letters, matrix[0], strict=True)]
    boxes = [bounds([letter]) for letter in letters]
    drawn = stem * np.array([RADIUS * w / (high[0] - low[0]) for w, (low, high) in zip(widths, boxes, strict=True)])
    known = drawn[np.isfinite(drawn)]
    gap = max(GAP * float(np.median(known)), LEAST_GAP) if len(known) else LEAST_GAP
    line = INNER * RADIUS if len(heights) == 3 else 0.0
    parts = [_side(-1, line + gap / 2), _side(1, line + gap / 2)]
    if len(letters) == 3:
        parts.insert(1, _between(line - gap / 2))
    placed = [
        bend(letter, _through(low, high, part), 4)
        for letter, (low, high), part in zip(letters, boxes, parts, strict=True)
    ]
    return Drawing(tuple(placed), tuple(drawn.tolist()))


def _through(low: Floats, high: Floats, part: Callable[[Floats, Floats], Floats]) -> Callable[[Floats], Floats]:
    """Return the way of a point of a letter with this box to the canvas."""

    def way(points: Floats) -> Floats:
        u, v = ((points - low) / (high - low)).T
        return 0.5 + RADIUS * part(u, v)

    return way


def _between(line: float) -> Callable[[Floats, Floats], Floats]:
    """Return the part between two lines beside the axis: v runs from arc to arc."""
    half = line / RADIUS

    def part(u: Floats, v: Floats) -> Floats:
        x = half * (2 * u - 1)
        return np.stack([x, (2 * v - 1) * np.sqrt(1 - np.minimum(x * x, 0.99))], axis=1)

    return part


def _side(sign: int, line: float) -> Callable[[Floats, Floats], Floats]:
    """Return the segment beyond a line, on the left (-1) or the right (1)."""
    inner = np.arccos(line / RADIUS)  # above the horizontal, where the line meets the circle

    def arc(angle: Floats) -> Floats:
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def part(u: Floats, v: Floats) -> Floats:
        s = (1 - u if sign < 0 else u)[:, None]  # from the line outwards
        v = v[:, None]
        top, bottom = arc(-(inner + (TURN - inner) * s[:, 0])), arc(inner + (TURN - inner) * s[:, 0])
        outside = arc(TURN * (2 * v[:, 0] - 1))
        corners = arc(np.array([-inner, inner, -TURN, TURN]))
        inside = corners[0] + (corners[1] - corners[0]) * v
        near = corners[0] * (1 - v) + corners[1] * v
        far = corners[2] * (1 - v) + corners[3] * v
        points = (1 - v) * top + v * bottom + (1 - s) * inside + s * outside - (1 - s) * near - s * far
        return np.asarray(points * np.array([sign, 1.0]))

    return part
