"""Frames around a drawing: lines of an even thickness, on the smallest shape that holds the ink with some air."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.monogram.composition import Drawing
from core.monogram.curves import straighten
from core.monogram.outline import Outline, flatten, move
from core.monogram.shapes import difference
from core.registry import Frame

Floats = NDArray[np.float64]

STEM: Final = 0.05  # of the canvas, where letters have none
LINE: Final = 0.55  # of the letters' stems
LEAST_LINE: Final = 0.007  # of the canvas
AIR: Final = 1.6  # stems between the ink and the line
RULES: Final = (2.0, 1.0, 1.0)  # a double rule: the outer line, the gap and the inner line, of a thin line
MARGIN: Final = 0.035  # of the canvas, around the frame
_KAPPA: Final = 0.5522847498307936  # handles of a quarter circle


def add_frame(drawing: Drawing, frame: Frame) -> Drawing:
    """Put a frame around a drawing, and bring both onto the canvas."""
    stem = drawing.stem if np.isfinite(drawing.stem) else STEM
    shape = _SHAPES[frame]
    points = np.concatenate([ring for piece in drawing.pieces for ring in flatten(piece, 1 / 1024)])
    centre, radius = _hold(frame, points)
    line = max(LINE * stem, LEAST_LINE)
    inner = radius + AIR * stem
    widths = [width * line / 1.5 for width in RULES] if frame in _DOUBLE else [line]
    # Offsets of a shape's sides: its radius is the distance of a side from the centre.
    edges = np.cumsum([inner, *widths[::-1]])
    factor = (0.5 - MARGIN) / (edges[-1] * _REACH[frame])
    lines = [
        difference(shape(centre, outer), shape(centre, within))
        for within, outer in zip(edges[0::2], edges[1::2], strict=True)
    ]
    matrix = _zoom(centre, factor)
    return Drawing(
        tuple(move(piece, matrix) for piece in drawing.letters),
        tuple(stem * factor for stem in drawing.stems),
        tuple(move(piece, matrix) for piece in (*drawing.ornaments, *lines[::-1])),
        tuple(move(piece, matrix) for piece in drawing.whole),
        drawing.figures,
    )


def _zoom(centre: Floats, factor: float) -> Floats:
    """Return the matrix [2, 3] from a canvas to one on which `centre` lies in the middle, `factor` times as large."""
    return np.concatenate([np.eye(2) / factor, (centre - 0.5 / factor)[:, None]], axis=1)


def _hold(frame: Frame, points: Floats) -> tuple[Floats, float]:
    """Return the centre and the radius of the smallest shape around points, found from the middle of their box."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    if frame in (Frame.CIRCLE, Frame.DOUBLE):
        for share in 0.5 ** np.arange(1, 40):  # towards the farthest point, by less and less (Badoiu and Clarkson)
            far = points[np.linalg.norm(points - centre, axis=1).argmax()]
            centre = centre + (far - centre) * share / 8
        return centre, float(np.linalg.norm(points - centre, axis=1).max())
    normals = _NORMALS[frame]
    return centre, float(((points - centre) @ normals.T).max())


def _circle(centre: Floats, radius: float) -> Outline:
    handle = radius * _KAPPA
    ring = []
    for turn in range(4):
        axis = np.array([[np.cos(turn * np.pi / 2), np.sin(turn * np.pi / 2)]])
        next_axis = np.stack([-axis[:, 1], axis[:, 0]], axis=1)
        start, end = centre + radius * axis, centre + radius * next_axis
        ring.append(np.concatenate([start, start + handle * next_axis, end + handle * axis, end]))
    return Outline((np.stack(ring),))


def _polygon(normals: Floats) -> Callable[[Floats, float], Outline]:
    """Return the convex polygon whose sides face along unit normals [S, 2], in order of their angle."""
    following = np.roll(normals, -1, axis=0)
    corners = np.stack([np.linalg.solve(np.stack(pair), np.ones(2)) for pair in zip(normals, following, strict=True)])

    def draw(centre: Floats, radius: float) -> Outline:
        points = centre + radius * corners
        return Outline((straighten(points, np.roll(points, -1, axis=0)),))

    return draw


def _facing(*degrees: float) -> Floats:
    angle = np.deg2rad(np.array(degrees))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


_SQUARE: Final = _facing(0, 90, 180, 270)
_NORMALS: Final[Mapping[Frame, Floats]] = {
    Frame.SQUARE: _SQUARE,
    Frame.DIAMOND: _facing(45, 135, 225, 315),
    Frame.HEXAGON: _facing(30, 90, 150, 210, 270, 330),
    Frame.OCTAGON: _facing(0, 45, 90, 135, 180, 225, 270, 315),
}
_DOUBLE: Final = (Frame.DOUBLE,)
_SHAPES: Final[Mapping[Frame, Callable[[Floats, float], Outline]]] = {
    Frame.CIRCLE: _circle,
    Frame.DOUBLE: _circle,
    **{frame: _polygon(normals) for frame, normals in _NORMALS.items()},
}
# From the centre to the farthest point along an axis, for a side at distance 1.
_REACH: Final[Mapping[Frame, float]] = {
    Frame.CIRCLE: 1.0,
    Frame.DOUBLE: 1.0,
    Frame.SQUARE: 1.0,
    Frame.DIAMOND: 2**0.5,
    Frame.HEXAGON: 2 / 3**0.5,
    Frame.OCTAGON: 1.0,
}
