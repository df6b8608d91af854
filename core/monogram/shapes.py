"""The algebra of outlines: union, difference, intersection and growth of closed curves, by Skia's path operations.

Fields say what overlaps what; outlines are cut. A cut of fields would have to be traced again, at the cost of the
corners that tracing has just restored. Skia keeps 32-bit floats: outlines travel there a thousand times as large.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import pathops
from numpy.typing import NDArray

from core.monogram.outline import Outline

Floats = NDArray[np.float64]
_Point = tuple[float, float]
_Curve = tuple[_Point, _Point, _Point, _Point]


class CutError(ValueError):
    """Skia gave up on outlines, at every scale that was tried."""


_SCALES: Final = (1000.0, 1013.7, 971.3, 887.1)
_TIDY: Final = {"fix_winding": True, "keep_starting_points": False}
_MITRE: Final = 4.0  # a corner that would grow into a longer spike is cut off
_POINT: Final = 1e-7  # of the canvas: a shorter curve is none
_SPECK: Final = 1e-6  # of the canvas: less area is a crumb of the arithmetic, not a piece


def union(shapes: Iterable[Outline]) -> Outline:
    """Ink of any."""
    shapes = list(shapes)

    def unite(scale: float) -> Outline:
        path = pathops.Path()
        for shape in shapes:
            _draw(shape, path, scale)
        return _read(_simplify(path), scale)

    return _insist(unite)


def difference(a: Outline, b: Outline) -> Outline:
    """Ink of `a` that is not ink of `b`."""
    return _combine(a, b, pathops.PathOp.DIFFERENCE)


def intersection(a: Outline, b: Outline) -> Outline:
    """Ink of both."""
    return _combine(a, b, pathops.PathOp.INTERSECTION)


def grow(shape: Outline, amount: float) -> Outline:
    """Move every edge outwards by `amount` of the canvas, inwards where negative; corners stay corners."""

    def widen(scale: float) -> Outline:
        ring = _path(shape, scale)
        ring.stroke(2 * abs(amount) * scale, pathops.LineCap.BUTT_CAP, pathops.LineJoin.MITER_JOIN, _MITRE)
        ring.convertConicsToQuads(0.05)
        if amount < 0:
            cut = pathops.PathOp.DIFFERENCE
            return _read(pathops.op(_path(shape, scale), _simplify(ring), cut, **_TIDY), scale)
        _draw(shape, ring, scale)
        return _read(_simplify(ring), scale)

    return _insist(widen)


def area(contour: Floats) -> float:
    """Return the area inside a contour [n, 4, 2], positive where it runs clockwise as seen: around ink."""
    a, b, c, d = contour.transpose(1, 0, 2)
    # Green's theorem over cubics, in closed form.
    parts = 6 * _cross(a, b) + 3 * _cross(a, c) + _cross(a, d) + 3 * _cross(b, c) + 3 * _cross(b, d) + 6 * _cross(c, d)
    return float(parts.sum() / 20)


def _cross(p: Floats, q: Floats) -> Floats:
    return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]


def _insist(operation: Callable[[float], Outline]) -> Outline:
    """Carry out an operation at the first scale at which Skia gets through: it gives up where edges nearly coincide.

    Raise `CutError` where it never does.
    """
    for scale in _SCALES:
        try:
            return operation(scale)
        except pathops.PathOpsError:
            continue
    raise CutError("its outlines cannot be cut from one another")


def _combine(a: Outline, b: Outline, operation: pathops.PathOp) -> Outline:
    return _insist(lambda scale: _read(pathops.op(_path(a, scale), _path(b, scale), operation, **_TIDY), scale))


def _simplify(path: pathops.Path) -> pathops.Path:
    path.fillType = pathops.FillType.WINDING
    path.simplify(**_TIDY)
    return path


def _path(shape: Outline, scale: float) -> pathops.Path:
    path = pathops.Path()
    _draw(shape, path, scale)
    return path


def _draw(shape: Outline, path: pathops.Path, scale: float) -> None:
    for contour in shape.contours:
        points = (contour * scale).tolist()
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


def _read(path: pathops.Path, scale: float) -> Outline:
    """Read a path of lines, quadratics and cubics, all as cubics."""
    contours: list[Floats] = []
    curves: list[_Curve] = []
    first = here = (0.0, 0.0)
    for verb, points in path:
        if verb == pathops.PathVerb.MOVE:
            first = here = points[0]
        elif verb == pathops.PathVerb.CLOSE:
            curves.append(_line(here, first))
            contours += _contour(curves, scale)
            curves = []
        else:
            curves.append(_curve(here, points))
            here = points[-1]
    return Outline(tuple(contour for contour in contours if abs(area(contour)) > _SPECK))


def _curve(here: _Point, points: Sequence[_Point]) -> _Curve:
    if len(points) == 1:
        return _line(here, points[0])
    if len(points) == 2:
        (cx, cy), end = points
        return (
            here,
            (here[0] + (cx - here[0]) * 2 / 3, here[1] + (cy - here[1]) * 2 / 3),
            (end[0] + (cx - end[0]) * 2 / 3, end[1] + (cy - end[1]) * 2 / 3),
            end,
        )
    first, second, end = points
    return here, first, second, end


def _line(start: _Point, end: _Point) -> _Curve:
    x, y = (end[0] - start[0]) / 3, (end[1] - start[1]) / 3
    return start, (start[0] + x, start[1] + y), (end[0] - x, end[1] - y), end


def _contour(curves: Sequence[_Curve], scale: float) -> list[Floats]:
    """Return the closed contour that curves make up, without those of no length; nothing if nothing is left."""
    contour = np.array(curves, dtype=np.float64) / scale
    contour = contour[np.abs(contour - contour[:, :1]).max(axis=(1, 2)) > _POINT]
    if len(contour) == 0:
        return []
    contour[:, 0] = np.roll(contour[:, 3], 1, axis=0)  # each begins exactly where the one before ends
    return [contour]
