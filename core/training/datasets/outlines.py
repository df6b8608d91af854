"""From a flattened outline to its exact signed distance field.

The distance is taken to the outline itself and sampled at cell centres, never an EDT of a bitmap. Overlapping contours,
which variable fonts are full of, are united first: what lies inside other ink is no edge. Arrays of segments are
float64 `[S, 4]` = x0, y0, x1, y1 on the unit canvas, y downwards, each contour closed.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Chord error allowed when a curve is flattened: a quarter of one step of the stored int8 field.
TOLERANCE = 1 / 8192
# How far beside a piece of outline its two sides are probed.
_ASIDE = 1e-5
# A slanting piece larger than this many cells is halved, or its bounding box would hold mostly cells out of reach.
_SLANT = 8


def flatten(contours: Sequence[Sequence[Floats]]) -> Floats:
    """Turn contours of Bezier curves into segments `[S, 4]`.

    A contour is a list of curves `[2..4, 2]`: a line, a quadratic or a cubic by its control points. Chords stay within
    `TOLERANCE` of the curve. Points of zero length are dropped.
    """
    chains = [_flatten_curve(curve) for contour in contours for curve in contour]
    if not chains:
        return np.zeros((0, 4))
    segments: Floats = np.concatenate([np.hstack([chain[:-1], chain[1:]]) for chain in chains])
    long: Bools = np.abs(segments[:, :2] - segments[:, 2:]).max(axis=1) > 1e-9
    return np.compress(long, segments, axis=0)


def _flatten_curve(curve: Floats) -> Floats:
    """Return points along one Bezier curve, both ends included; their count follows the second-difference bound."""
    if len(curve) == 2:
        return curve
    bend = float(np.abs(np.diff(curve, n=2, axis=0)).max())
    degree = len(curve) - 1
    pieces = max(1, ceil(sqrt(degree * (degree - 1) / 8 * bend / TOLERANCE)))
    t = np.linspace(0.0, 1.0, pieces + 1)[:, None]
    points = list(curve[:, None, :])  # each [1, 2], then [pieces + 1, 2]
    while len(points) > 1:  # de Casteljau
        points = [a * (1 - t) + b * t for a, b in pairwise(points)]
    return np.asarray(points[0], dtype=np.float64)


def unite(segments: Floats) -> Floats:
    """Keep the pieces of outline that separate ink from ground under the non-zero rule."""
    if len(segments) == 0:
        return segments
    pieces = _split(segments)
    middle = (pieces[:, :2] + pieces[:, 2:]) / 2
    along = pieces[:, 2:] - pieces[:, :2]
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) * (_ASIDE / np.linalg.norm(along, axis=1))[:, None]
    left = _winding_at(middle + aside, segments) != 0
    right = _winding_at(middle - aside, segments) != 0
    return np.compress(left != right, pieces, axis=0)


def _split(segments: Floats) -> Floats:
    """Cut every segment where another one crosses or touches it."""
    start, along = segments[:, :2], segments[:, 2:] - segments[:, :2]
    low = np.minimum(segments[:, :2], segments[:, 2:]) - 1e-9
    high = np.maximum(segments[:, :2], segments[:, 2:]) + 1e-9
    apart = (low[:, None] > high[None]).any(axis=2)
    first, second = np.nonzero(~(apart | apart.T))
    gap = start[second] - start[first]
    determinant = _cross(along[first], along[second])
    with np.errstate(divide="ignore", invalid="ignore"):
        t = _cross(gap, along[second]) / determinant
        u = _cross(gap, along[first]) / determinant
    # Parallel pairs give nan or inf and fail; the neighbours of a shared stretch mark its ends instead.
    met = (t > 1e-9) & (t < 1 - 1e-9) & (u > -1e-9) & (u < 1 + 1e-9)
    if not met.any():
        return segments
    every = np.arange(len(segments))
    owner = np.concatenate([every, every, first[met]])
    place = np.concatenate([np.zeros(len(every)), np.ones(len(every)), t[met]])
    order = np.lexsort((place, owner))
    owner, place = owner[order], place[order]
    points = start[owner] + along[owner] * place[:, None]
    kept = (owner[1:] == owner[:-1]) & (place[1:] - place[:-1] > 1e-9)
    return np.compress(kept, np.hstack([points[:-1], points[1:]]), axis=0)


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _winding_at(points: Floats, segments: Floats) -> Ints:
    """Return the winding number around each point `[P, 2]`; in portions, or memory would go with P x S."""
    portions = np.array_split(points, 1 + len(points) // 512)
    return np.concatenate([_winding_at_portion(portion, segments) for portion in portions])


def _winding_at_portion(points: Floats, segments: Floats) -> Ints:
    x, y = points[:, :1], points[:, 1:]  # [P, 1] against [S]
    x0, y0, x1, y1 = segments.T
    down = (y0 <= y) & (y < y1)
    up = (y1 <= y) & (y < y0)
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    before = x0 + (y - y0) * ((x1 - x0) / rise) < x
    turns = (down & before).astype(np.int64) - (up & before)
    return np.asarray(turns.sum(axis=1), dtype=np.int64)


def measure(segments: Floats, size: int, reach: float) -> Floats:
    """Return the signed distance field `[size, size]`: canvas units, positive inside, exact and clamped at `reach`."""
    distance = _distance(unite(segments), size, reach)
    return np.where(_inside(segments, size), distance, -distance)


def _distance(pieces: Floats, size: int, reach: float) -> Floats:
    """Return the distance to the nearest piece at every cell centre; each piece visits only cells it may reach."""
    squared = np.full(size * size, reach * reach)
    if len(pieces) == 0:
        return np.asarray(np.sqrt(squared).reshape(size, size))
    pieces = _halve_slanting(pieces, _SLANT / size)
    low = np.minimum(pieces[:, :2], pieces[:, 2:]) - reach
    high = np.maximum(pieces[:, :2], pieces[:, 2:]) + reach
    first = np.clip(np.ceil(low * size - 0.5).astype(np.int64), 0, size)
    last = np.clip(np.floor(high * size - 0.5).astype(np.int64), -1, size - 1)
    extent = np.maximum(last - first + 1, 0)  # columns, rows
    for chunk in _chunks(extent.prod(axis=1), 1 << 17):
        columns, rows, owner = _visit(first[chunk], extent[chunk])
        x0, y0, x1, y1 = pieces[chunk].T
        dx, dy = x1 - x0, y1 - y0
        px = (columns + 0.5) / size - x0[owner]
        py = (rows + 0.5) / size - y0[owner]
        t = np.clip((px * dx[owner] + py * dy[owner]) / (dx * dx + dy * dy)[owner], 0.0, 1.0)
        px -= t * dx[owner]
        py -= t * dy[owner]
        np.minimum.at(squared, rows * size + columns, px * px + py * py)
    return np.asarray(np.sqrt(squared).reshape(size, size))


def _halve_slanting(pieces: Floats, limit: float) -> Floats:
    """Halve pieces whose bounding box is larger than `limit` both ways until none is left."""
    while (slanting := np.abs(pieces[:, 2:] - pieces[:, :2]).min(axis=1) > limit).any():
        long = pieces[slanting]
        middle = (long[:, :2] + long[:, 2:]) / 2
        halves = [np.hstack([long[:, :2], middle]), np.hstack([middle, long[:, 2:]])]
        pieces = np.concatenate([pieces[~slanting], *halves])
    return pieces


def _chunks(costs: Ints, limit: int) -> list[slice]:
    """Cut a sequence of costs into runs of about `limit` each."""
    group = np.cumsum(costs) // limit
    edges = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(costs)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _visit(first: Ints, extent: Ints) -> tuple[Ints, Ints, Ints]:
    """List every (column, row, owner) of windows given by their first cell and extent."""
    cells = extent.prod(axis=1)
    owner = np.repeat(np.arange(len(cells)), cells)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(cells) - cells, cells)
    width = extent[owner, 0]
    down = within // width
    return first[owner, 0] + within - down * width, first[owner, 1] + down, owner


def _inside(segments: Floats, size: int) -> Bools:
    """Say which cell centres have a winding number other than 0, by one sweep along the rows."""
    x0, y0, x1, y1 = segments.T
    # A row is crossed when its centre lies in [upper, lower).
    upper = np.clip(np.ceil(np.minimum(y0, y1) * size - 0.5).astype(np.int64), 0, size)
    lower = np.clip(np.ceil(np.maximum(y0, y1) * size - 0.5).astype(np.int64), 0, size)
    crossed = lower - upper
    owner = np.repeat(np.arange(len(segments)), crossed)
    rows = upper[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(crossed) - crossed, crossed)
    slope = (x1 - x0) / np.where(y1 == y0, 1.0, y1 - y0)
    x = x0[owner] + ((rows + 0.5) / size - y0[owner]) * slope[owner]
    columns = np.clip(np.floor(x * size - 0.5).astype(np.int64) + 1, 0, size)
    steps = np.zeros((size, size + 1), dtype=np.int64)
    np.add.at(steps, (rows, columns), np.where(y1 > y0, 1, -1)[owner])
    winding = np.cumsum(steps, axis=1)
    return np.asarray(winding[:, :size] != 0)
