"""The algebra of outlines: union, difference, intersection and growth of closed curves, by Skia's path operations.

Fields say what overlaps what; outlines are cut. A cut of fields would have to be traced again, at the cost of the
corners that tracing has just restored. Skia keeps 32-bit floats: outlines travel there a thousand times as large.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pathops
from numpy.typing import NDArray

from core.monogram.curves import straighten
from core.monogram.outline import Outline

Floats = NDArray[np.float64]

_SCALE: Final = 1000.0
_MITRE: Final = 4.0  # a corner that would grow into a longer spike is cut off
_SPECK: Final = 1e-6  # of the canvas: less area is a crumb of the arithmetic, not a piece


def union(shapes: Iterable[Outline]) -> Outline:
    """Ink of any."""
    pen = pathops.Path()
    for shape in shapes:
        _draw(shape, pen)
    pen.fillType = pathops.FillType.WINDING
    pen.simplify(fix_winding=True, keep_starting_points=False)
    return _read(pen)


def difference(a: Outline, b: Outline) -> Outline:
    """Ink of `a` that is not ink of `b`."""
    return _read(_combine(_path(a), _path(b), pathops.PathOp.DIFFERENCE))


def intersection(a: Outline, b: Outline) -> Outline:
    """Ink of both."""
    return _read(_combine(_path(a), _path(b), pathops.PathOp.INTERSECTION))


def grow(shape: Outline, amount: float) -> Outline:
    """Move every edge outwards by `amount` of the canvas, inwards where negative; corners stay corners."""
    ring = _path(shape)
    ring.stroke(2 * abs(amount) * _SCALE, pathops.LineCap.BUTT_CAP, pathops.LineJoin.MITER_JOIN, _MITRE)
    ring.convertConicsToQuads(0.05)
    ring.fillType = pathops.FillType.WINDING
    if amount < 0:
        ring.simplify(fix_winding=True, keep_starting_points=False)
        return _read(_combine(_path(shape), ring, pathops.PathOp.DIFFERENCE))
    _draw(shape, ring)
    ring.simplify(fix_winding=True, keep_starting_points=False)
    return _read(ring)


def area(contour: Floats) -> float:
    """Return the area inside a contour [n, 4, 2], positive where it runs clockwise as seen: around ink."""
    a, b, c, d = contour.transpose(1, 0, 2)
    # Green's theorem over cubics, in closed form.
    parts = 6 * _cross(a, b) + 3 * _cross(a, c) + _cross(a, d) + 3 * _cross(b, c) + 3 * _cross(b, d) + 6 * _cross(c, d)
    return float(parts.sum() / 20)


def _cross(p: Floats, q: Floats) -> Floats:
    return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]


def _combine(a: pathops.Path, b: pathops.Path, operation: pathops.PathOp) -> pathops.Path:
    return pathops.op(a, b, operation, fix_winding=True, keep_starting_points=False)


def _path(shape: Outline) -> pathops.Path:
    path = pathops.Path()
    _draw(shape, path)
    return path


def _draw(shape: Outline, path: pathops.Path) -> None:
    for contour in shape.contours:
        points = (contour * _SCALE).tolist()
        path.moveTo(*points[0][0])
        for (_, first, second, end), curved in zip(points, _curved(contour), strict=True):
            if curved:
                path.cubicTo(*first, *second, *end)
            else:
                path.lineTo(*end)
        path.close()


def _curved(contour: Floats) -> list[bool]:
    chord = contour[:, 3] - contour[:, 0]
    off = np.abs(contour[:, 1] - contour[:, 0] - chord / 3) + np.abs(contour[:, 2] - contour[:, 0] - chord * 2 / 3)
    found: list[bool] = (off.max(axis=1) > 1e-9).tolist()
    return found


def _read(path: pathops.Path) -> Outline:
    contours: list[Floats] = []
    curves: list[Floats] = []
    first = here = np.zeros(2)
    for verb, given in path:
        points = np.array(given, dtype=np.float64).reshape(-1, 2) / _SCALE
        if verb == pathops.PathVerb.MOVE:
            first = here = points[0]
        elif verb == pathops.PathVerb.CLOSE:
            if np.abs(here - first).max() > 1e-7:
                curves.append(straighten(here, first))
            if curves:
                contours.append(_close(np.stack(curves)))
            curves = []
        else:
            curve = _cubic(verb, here, points)
            here = points[-1]
            if np.abs(curve - curve[0]).max() > 1e-7:
                curves.append(curve)
    return Outline(tuple(contour for contour in contours if abs(area(contour)) > _SPECK))


def _cubic(verb: pathops.PathVerb, here: Floats, points: Floats) -> Floats:
    if verb == pathops.PathVerb.LINE:
        return straighten(here, points[0])
    if verb == pathops.PathVerb.QUAD:
        control, end = points
        return np.stack([here, here + (control - here) * 2 / 3, end + (control - end) * 2 / 3, end])
    return np.concatenate([here[None], points])


def _close(contour: Floats) -> Floats:
    """Let each curve begin exactly where the one before ends."""
    contour[:, 0] = np.roll(contour[:, 3], 1, axis=0)
    return contour
