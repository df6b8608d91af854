"""Frames around a drawing: lines of an even thickness, on the smallest shape that holds the ink with some air."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.monogram.composition import Drawing
from core.monogram.curves import straighten
from core.monogram.outline import Outline, bounds, flatten, move
from core.monogram.shapes import area, difference, grow, union
from core.registry import Frame

Floats = NDArray[np.float64]
Offset = Callable[[float], Outline]  # the shape whose edges lie so far outside
Hold = Callable[[Floats], Offset]  # the smallest shape around points [P, 2]

STEM: Final = 0.05  # of the canvas, where letters have none
LINE: Final = 0.55  # of the letters' stems
LINES: Final = (0.007, 0.024)  # of the canvas: least and most
AIR: Final = 1.6  # stems between the ink and the line
MOST_AIR: Final = 0.1  # of the canvas
RULES: Final = (2.0, 1.0, 1.0)  # a double rule: the outer line, the gap and the inner line, of a thin line
MARGIN: Final = 0.035  # of the canvas, around the frame
_KAPPA: Final = 0.5522847498307936  # handles of a quarter circle
_ROUNDER: Final = (0.8, 1.25)  # an oval's height over its width: least and most
_STEPS: Final = 24  # of bisection, for a shape that has no formula

# A laurel: of the radius of the circle that it goes around.
_LEAF: Final = 0.25  # length
_FAT: Final = 0.32  # width, of the length
_SPREAD: Final = np.deg2rad(30)  # between a leaf and its branch
_STALK: Final = 0.025  # thickness of a branch, at the most
_LEAVES: Final = 11  # pairs a branch
_FOOT: Final = np.deg2rad(9)  # where branches begin, from the lowest point
_HEAD: Final = np.deg2rad(156)  # and where they end


def add_frame(drawing: Drawing, frame: Frame) -> Drawing:
    """Put a frame around a drawing, and bring both onto the canvas."""
    stem = drawing.stem if np.isfinite(drawing.stem) else STEM
    points = np.concatenate([ring for piece in drawing.pieces for ring in flatten(piece, 1 / 1024)])
    lines = _DRAWN[frame](points, min(AIR * stem, MOST_AIR), float(np.clip(LINE * stem, *LINES)))
    low, high = bounds(lines)
    side = (high - low).max() / (1 - 2 * MARGIN)
    corner = (low + high) / 2 - side / 2
    matrix = np.array([[side, 0.0, corner[0]], [0.0, side, corner[1]]])

    def bring(pieces: tuple[Outline, ...]) -> tuple[Outline, ...]:
        return tuple(move(piece, matrix) for piece in pieces)

    return replace(
        drawing,
        letters=bring(drawing.letters),
        stems=tuple(stem / side for stem in drawing.stems),
        shadows=bring(drawing.shadows),
        frames=bring((*drawing.frames, *lines)),
        whole=bring(drawing.whole),
        figures={name: value / side if name == "gap" else value for name, value in drawing.figures.items()},
    )


def _single(hold: Hold) -> Callable[[Floats, float, float], list[Outline]]:
    """Return how one line around points is drawn, after some air."""

    def draw(points: Floats, air: float, line: float) -> list[Outline]:
        shape = hold(points)
        return [difference(shape(air + line), shape(air))]

    return draw


def _double(hold: Hold) -> Callable[[Floats, float, float], list[Outline]]:
    def draw(points: Floats, air: float, line: float) -> list[Outline]:
        shape = hold(points)
        edges = air + np.cumsum([0.0, *(width * line / 1.5 for width in RULES[::-1])])
        rules = [difference(shape(outer), shape(inner)) for inner, outer in zip(edges[0::2], edges[1::2], strict=True)]
        return rules[::-1]

    return draw


def _hold_in_circle(points: Floats) -> Offset:
    centre, radius = _smallest_circle(points)
    return lambda amount: _circle(centre, radius + amount)


def _smallest_circle(points: Floats) -> tuple[Floats, float]:
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    for share in 0.5 ** np.arange(1, 40):  # towards the farthest point, by less and less (Badoiu and Clarkson)
        far = points[np.linalg.norm(points - centre, axis=1).argmax()]
        centre = centre + (far - centre) * share / 8
    return centre, float(np.linalg.norm(points - centre, axis=1).max())


def _hold_in_oval(points: Floats) -> Offset:
    low, high = points.min(axis=0), points.max(axis=0)
    wide, high_ = high - low
    tall = float(np.clip(high_ / wide, *_ROUNDER))
    squeezed = np.array([1.0, tall])
    centre, radius = _smallest_circle(points / squeezed)
    oval = Outline(tuple(contour * squeezed for contour in _circle(centre, radius).contours))
    return lambda amount: grow(oval, amount)


def _hold_in_shield(points: Floats) -> Offset:
    """Hold points in a shield: straight above, and below two arcs that meet in a point (a heater)."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2

    def holds(half: float) -> bool:
        x, y = np.abs(points[:, 0] - middle[0]) / half, (points[:, 1] - middle[1]) / half + _CENTRE
        below = np.maximum(y - _CHIEF, 0)
        return bool((y >= 0).all() and (((x + 1) ** 2 + below**2) <= 4).all())

    least, most = 0.5 * float(high[0] - low[0]), 4.0 * float((high - low).max())
    for _ in range(_STEPS):
        half = (least + most) / 2
        least, most = (least, half) if holds(half) else (half, most)
    shield = Outline((np.stack(_shield_curves()) * most + middle - [0.0, _CENTRE * most],))
    return lambda amount: grow(shield, amount)


# Of half a shield's width: how far its sides go straight down, and where what it holds has its middle.
_CHIEF: Final = 0.6
_CENTRE: Final = 0.86


def _shield_curves() -> list[Floats]:
    """Return the outline of a shield whose upper side runs from (-1, 0) to (1, 0), clockwise."""
    corners = [np.array(each) for each in ((-1.0, 0.0), (1.0, 0.0), (1.0, _CHIEF))]
    point = np.array([0.0, _CHIEF + 3**0.5])
    lines = [straighten(start, end) for start, end in pairwise(corners)]
    # 60 degrees of a circle of radius 2 about the other side's corner.
    handle = 2 * 4 / 3 * np.tan(np.deg2rad(15))
    right = np.stack(
        [
            corners[2],
            corners[2] + [0.0, handle],
            point + handle * np.array([np.sin(np.deg2rad(60)), -np.cos(np.deg2rad(60))]),
            point,
        ]
    )
    left = right[::-1] * np.array([-1.0, 1.0])
    return [*lines, right, left, straighten(left[-1], corners[0])]


def _polygon(*degrees: float) -> Hold:
    """Return the polygon whose sides face so, in order of their angle; all equally far from its middle."""
    angle = np.deg2rad(np.array(degrees))
    normals = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    following = np.roll(normals, -1, axis=0)
    corners = np.stack([np.linalg.solve(np.stack(pair), np.ones(2)) for pair in zip(normals, following, strict=True)])

    def hold(points: Floats) -> Offset:
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        radius = float(((points - centre) @ normals.T).max())

        def shape(amount: float) -> Outline:
            around = centre + (radius + amount) * corners
            return Outline((straighten(around, np.roll(around, -1, axis=0)),))

        return shape

    return hold


def _band(points: Floats, air: float, line: float) -> list[Outline]:
    """Double rules above and below, as over and under a line of vyaz: the thicker one outside."""
    low, high = points.min(axis=0), points.max(axis=0)
    edges = air + np.cumsum([0.0, *(width * line / 1.5 for width in RULES[::-1])])
    rules = []
    for base, outwards in ((low[1], -1), (high[1], 1)):
        for inner, outer in zip(edges[0::2], edges[1::2], strict=True):
            top, bottom = sorted((base + outwards * inner, base + outwards * outer))
            corners = np.array(
                [(low[0] - air, top), (high[0] + air, top), (high[0] + air, bottom), (low[0] - air, bottom)]
            )
            rules.append(Outline((straighten(corners, np.roll(corners, -1, axis=0)),)))
    return rules


def _circle(centre: Floats, radius: float) -> Outline:
    handle = radius * _KAPPA
    ring = []
    for turn in range(4):
        axis = np.array([[np.cos(turn * np.pi / 2), np.sin(turn * np.pi / 2)]])
        next_axis = np.stack([-axis[:, 1], axis[:, 0]], axis=1)
        start, end = centre + radius * axis, centre + radius * next_axis
        ring.append(np.concatenate([start, start + handle * next_axis, end + handle * axis, end]))
    return Outline((np.stack(ring),))


def _laurel(points: Floats, air: float, line: float) -> list[Outline]:
    """Draw two branches around points, pairs of one leaf along an arc each, that nearly meet above."""
    centre, radius = _smallest_circle(points)
    # The inner leaves reach inwards.
    radius = (radius + air) / (1 - _LEAF * np.sin(_SPREAD) * 1.05)
    turns = np.linspace(_FOOT, _HEAD, _LEAVES)
    pieces = []
    for turn in turns:
        at = radius * np.array([np.sin(turn), np.cos(turn)])
        along = np.arctan2(-np.sin(turn), np.cos(turn))  # of the branch there, y downwards
        shrunk = _LEAF * radius * (1 - 0.3 * (turn - _FOOT) / (_HEAD - _FOOT))
        leans = (-_SPREAD, _SPREAD) if turn < turns[-1] else (-_SPREAD, 0.0, _SPREAD)
        pieces += [_leaf(at, along + lean, shrunk) for lean in leans]
    circle = _circle(np.zeros(2), 1.0)
    half = min(line, _STALK * radius) / 2
    ring = difference(_scale(circle, radius + half), _scale(circle, radius - half))
    turns = np.linspace(_FOOT - 0.02, _HEAD, 12)
    wedge = 1.3 * radius * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    around = np.concatenate([np.zeros((1, 2)), wedge])
    outside = Outline((straighten(around, np.roll(around, -1, axis=0)),))
    stalk = difference(ring, difference(_scale(circle, 2 * radius), outside))
    right = union([stalk, *(_clockwise(piece) for piece in pieces)])
    branches = [Outline(tuple(contour * [sign, 1.0] for contour in right.contours)) for sign in (1.0, -1.0)]
    return [union([_clockwise(branch)]) for branch in (_shift(each, centre) for each in branches)]


def _leaf(base: Floats, angle: float, length: float) -> Outline:
    """Return a leaf from its foot on, pointed at both ends."""
    along = np.array([np.cos(angle), np.sin(angle)])
    beside = np.array([-along[1], along[0]]) * _FAT * length * 2 / 3
    tip = base + along * length
    first, second = base + along * length * 0.25, base + along * length * 0.7
    curves = [
        np.stack([base, first - beside, second - beside, tip]),
        np.stack([tip, second + beside, first + beside, base]),
    ]
    return Outline((np.stack(curves),))


def _clockwise(shape: Outline) -> Outline:
    """Turn a shape whose outer contour runs the wrong way around."""
    if sum(map(area, shape.contours)) >= 0:
        return shape
    return Outline(tuple(contour[::-1, ::-1] for contour in shape.contours))


def _scale(shape: Outline, factor: float) -> Outline:
    return Outline(tuple(contour * factor for contour in shape.contours))


def _shift(shape: Outline, by: Floats) -> Outline:
    return Outline(tuple(contour + by for contour in shape.contours))


_DRAWN: Final[Mapping[Frame, Callable[[Floats, float, float], list[Outline]]]] = {
    Frame.CIRCLE: _single(_hold_in_circle),
    Frame.DOUBLE: _double(_hold_in_circle),
    Frame.OVAL: _single(_hold_in_oval),
    Frame.SQUARE: _single(_polygon(0, 90, 180, 270)),
    Frame.DIAMOND: _single(_polygon(45, 135, 225, 315)),
    Frame.HEXAGON: _single(_polygon(30, 90, 150, 210, 270, 330)),
    Frame.OCTAGON: _single(_polygon(*(22.5 + 45 * turn for turn in range(8)))),
    Frame.SHIELD: _double(_hold_in_shield),
    Frame.LAUREL: _laurel,
    Frame.BAND: _band,
}
