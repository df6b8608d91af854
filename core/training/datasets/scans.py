"""From small grey images to signed distance fields: an edge runs where a pixel's grey is half, to a part of a pixel.

The edge is the contour of marching squares (Lorensen and Cline, 1987, in the plane) at half grey, interpolated between
pixel centres; the distance to its segments is exact. Every segment is held only against the cells in its reach, so a
hundred thousand images take seconds.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HALF: Final = 127.5


@dataclass(frozen=True)
class Edges:
    """Contour pieces of many images, in pixels, x to the right and y downwards from the first pixel's centre."""

    segments: Floats  # [M, 4] x0, y0, x1, y1
    owners: Ints  # [M] their images, ascending


def find_edges(images: NDArray[np.uint8]) -> Edges:
    """Return the edges of images [N, H, W], white ink on black; what lies outside an image is ground."""
    grey = np.pad(images.astype(np.float32) - np.float32(HALF), ((0, 0), (1, 1), (1, 1)), constant_values=-HALF)
    # Corners of every cell between four pixel centres, clockwise from the upper left.
    corners = (grey[:, :-1, :-1], grey[:, :-1, 1:], grey[:, 1:, 1:], grey[:, 1:, :-1])
    inked = np.sum([corner > 0 for corner in corners], axis=0, dtype=np.int8)
    owners, rows, columns = np.nonzero((inked > 0) & (inked < 4))
    a, b, c, d = (corner[owners, rows, columns] for corner in corners)
    crossings = _cross(a, b, c, d) + np.stack([columns, rows], axis=1)[:, None] - 1  # [C, 4, 2]; less the padding
    crossed = np.stack([(a > 0) != (b > 0), (b > 0) != (c > 0), (c > 0) != (d > 0), (d > 0) != (a > 0)], axis=1)
    saddle = crossed.all(axis=1)
    ends = np.argsort(~crossed, axis=1, kind="stable")[:, :2]  # the two crossed sides of a plain cell
    # Where ink meets ink across a corner, the middle says whether it joins: then the other two corners are cut off.
    joins = ((a + b + c + d > 0) == (a > 0))[saddle]
    ends[saddle] = np.where(joins[:, None], (0, 1), (3, 0))
    others = np.where(joins[:, None], (2, 3), (1, 2))
    pieces = np.concatenate([_pick(crossings, ends), _pick(crossings[saddle], others)])
    whose = np.concatenate([owners, owners[saddle]])
    order = np.argsort(whose, kind="stable")
    return Edges(pieces[order].astype(np.float32), whose[order])


def _cross(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """Return where the level crosses the upper, right, lower and left side of cells: [C, 4, 2], senseless where not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        top, right, bottom, left = a / (a - b), b / (b - c), d / (d - c), a / (a - d)
    none, whole = np.zeros_like(a), np.ones_like(a)
    points = [(top, none), (whole, right), (bottom, whole), (none, left)]
    return np.stack([np.stack(point, axis=1) for point in points], axis=1)


def _pick(crossings: NDArray[Any], ends: NDArray[Any]) -> NDArray[Any]:
    return np.take_along_axis(crossings, ends[:, :, None], axis=1).reshape(-1, 4)


def measure(images: NDArray[np.uint8], edges: Edges, places: Floats, reach: float) -> Floats:
    """Return distances to the edges, positive in ink, clamped at `reach`: [N, P, P] at the crossings of `places`.

    `places` [P] are coordinates in pixels, evenly spaced and ascending, the same for columns and rows; so is `reach`.
    """
    size, pitch = len(places), float(places[1] - places[0])
    found = np.full(len(images) * size * size, reach, dtype=np.float32)
    low = (np.minimum(edges.segments[:, :2], edges.segments[:, 2:]) - reach - places[0]) / pitch
    first = np.ceil(low).astype(np.int64)  # [M, 2] the first column and row that a segment can reach
    span = int(np.floor((1 + 2 * reach) / pitch)) + 1
    for down in range(span):
        for right in range(span):
            column, row = first[:, 0] + right, first[:, 1] + down
            held = np.flatnonzero((column >= 0) & (column < size) & (row >= 0) & (row < size))
            column, row = column[held], row[held]
            distance = _distance(edges.segments[held], places[column], places[row])
            np.minimum.at(found, (edges.owners[held] * size + row) * size + column, distance)
    inside = _sample(images, places) > HALF
    return np.where(inside, 1, -1).astype(np.float32) * found.reshape(-1, size, size)


def _distance(segments: Floats, x: Floats, y: Floats) -> Floats:
    """Return the distance of each point [M] to its segment [M, 4]."""
    along_x, along_y = segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1]
    from_x, from_y = x - segments[:, 0], y - segments[:, 1]
    length = np.maximum(along_x**2 + along_y**2, np.float32(1e-12))
    share = np.clip((from_x * along_x + from_y * along_y) / length, 0, 1)
    away: Floats = np.hypot(from_x - share * along_x, from_y - share * along_y)
    return away


def _sample(images: NDArray[np.uint8], places: Floats) -> Floats:
    """Return grey [N, P, P] at the crossings of `places`, bilinear, black outside."""
    # Two pixels of padding, so that a place far outside can be moved to where everything is black.
    spots = np.clip(places, -2, images.shape[-1] + 0.999) + 2
    before = spots.astype(np.int64)
    share = (spots - before).astype(np.float32)
    grey = np.pad(images, ((0, 0), (2, 2), (2, 2))).astype(np.float32)
    columns = grey[:, :, before] * (1 - share) + grey[:, :, before + 1] * share
    weight = share[:, None]
    return np.asarray(columns[:, before] * (1 - weight) + columns[:, before + 1] * weight, dtype=np.float32)
