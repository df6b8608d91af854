"""A traced shape: closed contours of cubic Bezier curves, as chords, as an SVG path and as pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCE: Final = 1 / 8192  # of the canvas: an eighth of a pixel at 1,024


@dataclass(frozen=True, slots=True)
class Outline:
    """Closed contours on the unit canvas, y downwards, none crossing itself or another.

    A contour is [n, 4, 2]: n cubics by their control points, each starting where the one before ends; a straight one
    has its inner points at a third and two thirds. Ink lies on the right of a traveller who sees the canvas as drawn:
    contours around ink run clockwise and holes counter-clockwise, so the non-zero and the even-odd rule give the same.
    """

    contours: tuple[Floats, ...]

    @property
    def nodes(self) -> int:
        """How many points lie on the contours."""
        return sum(len(contour) for contour in self.contours)


def move(outline: Outline, matrix: Floats) -> Outline:
    """Move a letter to where a matrix [2, 3], from canvas to glyph as layouts give it, reads it."""
    back = np.linalg.inv(matrix[:, :2]).T
    moved = tuple((contour - matrix[:, 2]) @ back for contour in outline.contours)
    # A mirror image is walked around the other way.
    return Outline(moved if np.linalg.det(back) > 0 else tuple(contour[::-1, ::-1] for contour in moved))


def bounds(outlines: Sequence[Outline]) -> tuple[Floats, Floats]:
    """Return the corners of the box around outlines, [2] least and [2] most."""
    points = np.concatenate([ring for outline in outlines for ring in flatten(outline, 1 / 4096)])
    return points.min(axis=0), points.max(axis=0)


def extent(outlines: Sequence[Outline]) -> Floats:
    """Return how wide and how high the box around outlines is, [2]."""
    low, high = bounds(outlines)
    return np.asarray(high - low)


def bend(outline: Outline, way: Callable[[Floats], Floats], pieces: int = 3) -> Outline:
    """Take an outline through a smooth map of points [P, 2], each curve in so many pieces.

    The handles follow the map's derivative, so that what was smooth stays smooth.
    """
    return Outline(tuple(_bend(contour, way, pieces) for contour in outline.contours))


def _bend(contour: Floats, way: Callable[[Floats], Floats], pieces: int) -> Floats:
    t = np.arange(pieces + 1) / pieces
    basis = np.stack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3], axis=1)
    slope = np.stack([(1 - t) ** 2, 2 * (1 - t) * t, t**2], axis=1)
    points = np.einsum("tk,nkc->ntc", basis, contour)
    handles = np.einsum("tk,nkc->ntc", slope, np.diff(contour, axis=1)) / pieces  # a third of the speed of a piece
    flat = points.reshape(-1, 2)
    there = way(flat).reshape(points.shape)
    step = 1e-5
    across, down = ((way(flat + step * axis) - way(flat - step * axis)) / (2 * step) for axis in np.eye(2))
    moved = (across * handles.reshape(-1, 2)[:, :1] + down * handles.reshape(-1, 2)[:, 1:]).reshape(points.shape)
    bent = np.stack([there[:, :-1], (there + moved)[:, :-1], (there - moved)[:, 1:], there[:, 1:]], axis=2)
    bent = bent.reshape(-1, 4, 2)
    bent[:, 0] = np.roll(bent[:, 3], 1, axis=0)
    return np.asarray(bent)


def flatten(outline: Outline, tolerance: float = TOLERANCE) -> list[Floats]:
    """Return each contour as the corners [n, 2] of a closed polygon within `tolerance` of it, canvas units."""
    return [_flatten_contour(contour, tolerance) for contour in outline.contours]


def _flatten_contour(contour: Floats, tolerance: float) -> Floats:
    bend = np.abs(np.diff(contour, n=2, axis=1)).max(axis=(1, 2))
    # The chords of n equal pieces of a cubic stay within 6 / 8 of its second difference over n^2.
    pieces = np.maximum(1, np.ceil(np.sqrt(0.75 * bend / tolerance))).astype(np.int64)
    pieces[bend < 1e-9] = 1
    owner = np.repeat(np.arange(len(contour)), pieces)
    t = ((np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[owner])[:, None]
    a, b, c, d = contour[owner].transpose(1, 0, 2)
    s = 1 - t
    return np.asarray(s * s * s * a + 3 * s * s * t * b + 3 * s * t * t * c + t * t * t * d)


def crossings(outline: Outline, tolerance: float = TOLERANCE) -> Floats:
    """Return the points [n, 2] where contours cross themselves or one another, flattened to `tolerance`."""
    rings = flatten(outline, tolerance)
    if not rings:
        return np.zeros((0, 2))
    start = np.concatenate(rings)
    along = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]) - start
    first, second = _neighbours(np.minimum(start, start + along), np.maximum(start, start + along))
    (x, y), (dx, dy), (ex, ey) = (start[second] - start[first]).T, along[first].T, along[second].T
    determinant = dx * ey - dy * ex
    scale = np.where(np.abs(determinant) > 1e-15, determinant, np.inf)
    t, u = (x * ey - y * ex) / scale, (x * dy - y * dx) / scale
    # Neighbours along a contour meet at 0 and 1.
    met = (t > 1e-6) & (t < 1 - 1e-6) & (u > 1e-6) & (u < 1 - 1e-6)
    return np.asarray(start[first[met]] + along[first[met]] * t[met, None])


def _neighbours(low: Floats, high: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of boxes [S, 2] that overlap, each once: a sweep along x, then a look at y."""
    order = np.argsort(low[:, 0], kind="stable")
    low, high = low[order], high[order]
    every = np.arange(len(low))
    count = np.searchsorted(low[:, 0], high[:, 0], side="right") - every - 1
    first = np.repeat(every, count)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    overlap = (low[first, 1] <= high[second, 1]) & (low[second, 1] <= high[first, 1])
    return order[first[overlap]], order[second[overlap]]


def svg_path(outline: Outline, size: float = 1000, digits: int = 1) -> str:
    """Return the `d` of an SVG path on a canvas of `size` units, relative and rounded to `digits` decimals."""
    return "".join(_path(contour, size, digits) for contour in outline.contours)


def _path(contour: Floats, size: float, digits: int) -> str:
    # Whole steps of the last digit: rounding relative numbers one by one would add up along a contour.
    unit = 10**digits
    steps = np.rint(contour * (size * unit)).astype(np.int64)
    here = steps[0, 0]
    parts = [f"M{_join(here.tolist(), unit)}"]
    for number, (curve, exact) in enumerate(zip(steps, contour, strict=True)):
        x, y = (curve[3] - here).tolist()
        if not _is_straight(exact):
            parts.append(f"c{_join((curve[1:] - here).ravel().tolist(), unit)}")
        elif number == len(steps) - 1 or (x == 0 and y == 0):
            continue  # the closing line is z's; a line of no length is none
        elif x == 0:
            parts.append(f"v{_join([y], unit)}")
        elif y == 0:
            parts.append(f"h{_join([x], unit)}")
        else:
            parts.append(f"l{_join([x, y], unit)}")
        here = curve[3]
    return "".join([*parts, "z"])


def _is_straight(curve: Floats) -> bool:
    return bool(np.abs(curve[0] + (curve[3] - curve[0]) / 3 - curve[1]).max() < 1e-9) and bool(
        np.abs(curve[3] + (curve[0] - curve[3]) / 3 - curve[2]).max() < 1e-9
    )


def _join(numbers: Sequence[int], unit: int) -> str:
    words = [f"{number / unit:g}" if abs(number) < 100_000 else f"{number / unit:.9g}" for number in numbers]
    return "".join(word if word[0] == "-" or not index else f" {word}" for index, word in enumerate(words))


def rasterise(outline: Outline, size: int) -> NDArray[np.uint8]:
    """Return the share of each cell of [size, size] that is ink, 255 for all of it: exact areas, no sampling.

    Each chord adds the area to its right to its own cell and its height to all cells after it (Levien, "How the font-rs
    library works").
    """
    rings = [ring * size for ring in flatten(outline, min(TOLERANCE, 0.05 / size))]
    if not rings:
        return np.zeros((size, size), dtype=np.uint8)
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    start, end = _cut(start, end)
    middle = (start + end) / 2
    rise = end[:, 1] - start[:, 1]
    column = np.clip(np.floor(middle[:, 0]).astype(np.int64), 0, size - 1)
    row = np.floor(middle[:, 1]).astype(np.int64)
    held = (row >= 0) & (row < size)
    column, row, rise, middle = column[held], row[held], rise[held], middle[held]
    beside = np.clip(middle[:, 0] - column, 0.0, 1.0)  # of the cell, left of the chord
    cell = row * (size + 1) + column
    area = np.bincount(cell, rise * (1 - beside), minlength=size * (size + 1))
    area += np.bincount(cell + 1, rise * beside, minlength=size * (size + 1) + 1)[: size * (size + 1)]
    cover = np.cumsum(area.reshape(size, size + 1), axis=1)[:, :size]
    return np.asarray(np.rint(np.clip(np.abs(cover), 0.0, 1.0) * 255), dtype=np.uint8)


def _cut(start: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Cut chords [S, 2] where they cross lines of whole x or y."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    first = np.floor(low) + 1
    crossed = np.maximum(np.ceil(high) - first, 0).astype(np.int64)  # [S, 2]
    every = np.arange(len(start))
    owners, places = [every, every], [np.zeros(len(start)), np.ones(len(start))]
    for axis in (0, 1):
        count = crossed[:, axis]
        owner = np.repeat(every, count)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        line = first[owner, axis] + within
        owners.append(owner)
        places.append((line - start[owner, axis]) / (end[owner, axis] - start[owner, axis]))
    owner, place = np.concatenate(owners), np.concatenate(places)
    order = np.lexsort((place, owner))
    owner, place = owner[order], place[order]
    points = start[owner] + (end - start)[owner] * place[:, None]
    same = owner[1:] == owner[:-1]
    return points[:-1][same], points[1:][same]
