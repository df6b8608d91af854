"""Corners, given back to the rounded contours of a sampled distance field.

A sampled field cannot hold a corner: its zero contour rounds it over about a cell. Where a contour turns fast, its two
flanks are fitted away from the turn and extended until they meet; thin ends have a third flank between, read off the
field beyond the end. Whether a turn is a corner, a blunt end or truly round is decided by the field itself: that shape
wins whose distances to the samples around are nearest to them. All in cells.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.monogram.rings import STEPS, Bools, Floats, Ints, Rings

_SMOOTH: Final = 0.6  # cells: joins the two bends that the chord across a corner's cell makes
_APART: Final = 3  # steps: no two turns nearer than this
_LEAST_BEND: Final = np.deg2rad(18)  # within two cells, to be looked at
_LEAST_TURN: Final = np.deg2rad(25)
_SHARP_TURN: Final = np.deg2rad(100)  # from here on a turn may be the blunt end of a stroke
_ZONE: Final = STEPS  # steps on either side of a turn that rounding has touched
_SHARP_ZONE: Final = 2 * STEPS  # where the turn is sharp
_FLANKS: Final = (4 * STEPS, 5 * STEPS // 2, 5 * STEPS // 4)  # lengths to be tried, the longest first
_TRUE: Final = 0.1  # cells between a flank and its parabola; a longer one is two edges
_SHORT: Final = 3  # steps: a flank of less is read off the field
_STIFF: Final = 2.5  # squared: noise of a tenth of a cell against bends of eight cells' radius
_WINDOW: Final = 4 * STEPS  # steps on either side whose distances are compared with the field
_BARRED: Final = 4.0  # cells around a crossing, where no corner is to be
_FAR: Final = 3.0  # cells a sharp corner may lie beyond the contour
_NEAR: Final = 1.25  # cells another one may


@dataclass(frozen=True, slots=True)
class Corners:
    """Corners on rings, in the order of their places."""

    place: Ints  # [C] of the ring's point that became the corner
    point: Floats  # [C, 2]
    before: Floats  # [C, 2] unit direction in which the contour arrives
    after: Floats  # [C, 2] unit direction in which it leaves


@dataclass(frozen=True, slots=True)
class _Flanks:
    """One flank of each of K turns, as a parabola in its own frame."""

    origin: Floats  # [K, 2]
    away: Floats  # [K, 2] unit, from the turn along the flank
    bend: Floats  # [K, 3] v = a + b u + c u^2

    def tangent(self, near: Floats) -> tuple[Floats, Floats]:
        """Return a point on each flank nearest `near` [K, 2] and the unit direction there, away from the turn."""
        left = _left(self.away)
        u = np.clip(_dot(near - self.origin, self.away), -_FAR, _FLANKS[0] / STEPS)
        a, b, c = self.bend.T
        v = a + b * u + c * u * u
        direction = self.away + (b + 2 * c * u)[:, None] * left
        return self.origin + u[:, None] * self.away + v[:, None] * left, _unit(direction)


def restore(rings: Rings, fields: Floats, barred: Floats) -> tuple[Floats, Corners]:
    """Return the rings' points [P, 2] with their corners restored, and the corners.

    `fields` [N, H, W] are those that the rings are of. No corner is put near a place in `barred` [B, 3]: field, x, y.
    """
    turn, bend = _find_turns(rings)
    away = np.linalg.norm(rings.points[turn, None] - barred[:, 1:], axis=2)
    away[rings.owner[turn, None] != barred[:, 0]] = np.inf
    free = away.min(axis=1, initial=np.inf) > _BARRED
    turn, bend = turn[free], bend[free]
    if len(turn) == 0:
        nothing = np.zeros((0, 2))
        return rings.points, Corners(turn, nothing, nothing, nothing)
    sign = np.sign(bend)
    gap = _gaps(rings, turn)
    zone = np.minimum(np.where(np.abs(bend) > _SHARP_TURN, _SHARP_ZONE, _ZONE), np.maximum(gap // 2, 2))
    flanks = [_fit_flanks(rings, turn, steps, room, side) for steps, room, side in zip(zone, gap, (-1, 1), strict=True)]
    _read_short(rings, fields, turn, sign, gap, flanks)
    point, arrive, leave, angle = _meet(flanks, rings.points[turn])
    reach = np.where(np.abs(angle) > _SHARP_TURN, _FAR, _NEAR)
    sound = (angle * sign > _LEAST_TURN) & (np.linalg.norm(point - rings.points[turn], axis=1) < reach)
    anchors = _anchor(rings, turn, zone, flanks)
    pointed = _bend_to(rings, rings.points, turn, zone, anchors, point[:, None], sound)
    ends, blunt = _find_ends(rings, fields, turn, sign, flanks, arrive, leave)
    blunt &= np.maximum(np.abs(bend), np.abs(angle)) > _SHARP_TURN
    blunted = _bend_to(rings, rings.points, turn, zone, anchors, ends, blunt)
    costs = _misfit(rings, fields, turn, [rings.points, pointed, blunted])
    ease = np.interp(np.abs(angle), [_LEAST_TURN, _SHARP_TURN], [0.75, 1.1])
    as_point = sound & (costs[1] < ease * costs[0])
    as_end = blunt & (costs[2] < np.where(as_point, costs[1], costs[0]))
    as_point &= ~as_end
    shape = _bend_to(rings, rings.points, turn, zone, anchors, point[:, None], as_point)
    shape = _bend_to(rings, shape, turn, zone, anchors, ends, as_end)
    return shape, _collect(rings, turn, zone, point, ends, arrive, leave, as_point, as_end)


def _find_turns(rings: Rings) -> tuple[Ints, Floats]:
    """Return the places [K] where the rings turn fastest and the signed turn within a cell of each."""
    reach = np.arange(-2 * STEPS, 2 * STEPS + 1)
    weight = np.exp(-0.5 * (reach / (_SMOOTH * STEPS)) ** 2)
    every = np.arange(len(rings.points))
    if len(every) == 0:
        return every, np.zeros(0)
    smooth = rings.blend(rings.points, reach, weight / weight.sum())
    step = smooth[rings.around(every, np.array([1]))[:, 0]] - smooth
    back = step[rings.around(every, np.array([-1]))[:, 0]]
    turn = np.arctan2(_cross(back, step), _dot(back, step))
    bend = turn[rings.around(every, np.arange(-STEPS, STEPS + 1))].sum(axis=1)
    near = np.abs(turn)[rings.around(every, np.arange(-_APART, _APART + 1))]
    # Of equal neighbours the first: argmax is the window's middle only then.
    peak = (near.argmax(axis=1) == _APART) & (np.abs(bend) > _LEAST_BEND)
    place = np.flatnonzero(peak)
    return place, bend[place]


def _gaps(rings: Rings, turn: Ints) -> Ints:
    """Return how many steps the turns before and after each are away: [2, K]."""
    first, count = rings.first[turn], rings.count[turn]
    number = np.arange(len(turn))
    opens = np.concatenate([[True], first[1:] != first[:-1]])
    closes = np.concatenate([opens[1:], [True]])
    head = np.maximum.accumulate(np.where(opens, number, 0))
    tail = np.minimum.accumulate(np.where(closes, number, len(turn))[::-1])[::-1]
    after = np.where(closes, turn[head] + count, np.append(turn[1:], 0)) - turn
    before = turn - np.where(opens, turn[tail] - count, np.append(0, turn[:-1]))
    return np.stack([before, after])


def _fit_flanks(rings: Rings, turn: Ints, zone: Ints, gap: Ints, side: int) -> _Flanks:
    """Fit each flank, from beyond the rounded zone to before the next turn's, by the longest stretch that is smooth."""
    chosen, error = _fit_stretch(rings, turn, zone, gap, side, _FLANKS[0])
    for length in _FLANKS[1:]:
        other, other_error = _fit_stretch(rings, turn, zone, gap, side, length)
        better = (error > _TRUE) & (other_error < 0.7 * error)
        for array, replacement in ((chosen.away, other.away), (chosen.bend, other.bend)):
            array[better] = replacement[better]
        error = np.where(better, other_error, error)
    return chosen


def _fit_stretch(rings: Rings, turn: Ints, zone: Ints, gap: Ints, side: int, length: int) -> tuple[_Flanks, Floats]:
    """Fit a stiff parabola to `length` steps of each flank; return how far off the farthest point is, too."""
    offsets = zone[:, None] + np.arange(length + 1)
    points = rings.points[rings.around(turn, side * offsets)]  # [K, W, 2]
    room = np.clip(gap - _ZONE - zone, _SHORT - 1, length)
    weight = (np.arange(length + 1) <= room[:, None]) * 1.0
    far = np.take_along_axis(points, room[:, None, None], axis=1)[:, 0]
    origin = rings.points[turn]
    away = _unit(far - points[:, 0])
    u = _dot(points - origin[:, None], away[:, None])
    v = _dot(points - origin[:, None], _left(away)[:, None])
    middle = (u * weight).sum(1) / weight.sum(1)
    basis = np.stack([np.ones_like(u), u - middle[:, None], (u - middle[:, None]) ** 2], axis=2)
    weighed = basis * weight[..., None]
    normal = (weighed[..., None] * basis[:, :, None]).sum(axis=1) + np.diag([0.0, 1e-9, _STIFF])
    fitted = np.linalg.solve(normal, (weighed * v[..., None]).sum(axis=1)[..., None])[..., 0]
    smooth = fitted[:, None, 0] + basis[..., 1] * fitted[:, None, 1] + basis[..., 2] * fitted[:, None, 2]
    error = (np.abs(smooth - v) * weight).max(axis=1)
    a, b, c = fitted.T
    bend = np.stack([a - b * middle + c * middle * middle, b - 2 * c * middle, c], axis=1)
    return _Flanks(origin.copy(), away, bend), error


def _read_short(rings: Rings, fields: Floats, turn: Ints, sign: Floats, gap: Ints, flanks: list[_Flanks]) -> None:
    """Replace flanks between two near turns of one sign by what the field says beyond their middle."""
    short = np.flatnonzero(gap[1] < 2 * _ZONE + _SHORT)
    first = turn[short]
    following = rings.around(first, gap[1][short][:, None])[:, 0]
    other = np.searchsorted(turn, following)
    alike = (sign[short] == sign[other]) & (short != other)
    short, other, first, following = short[alike], other[alike], first[alike], following[alike]
    if len(short) == 0:
        return
    middle = rings.points[rings.around(first, (gap[1][short] // 2)[:, None])[:, 0]]
    chord = _unit(rings.points[following] - rings.points[first])
    point, normal = _read_end(fields, rings.owner[first], middle, sign[short][:, None] * -_left(chord), sign[short])
    along = _left(normal) * sign[short][:, None]
    for flank, row, away in ((flanks[1], short, along), (flanks[0], other, -along)):
        flank.origin[row], flank.away[row], flank.bend[row] = point, away, 0.0


def _read_end(fields: Floats, owner: Ints, tip: Floats, axis: Floats, sign: Floats) -> tuple[Floats, Floats]:
    """Read the line that ends a stroke off the samples beyond it: a point on it [K, 2] and its normal.

    Straight ahead of a blunt end the distance is that to its line, however thin the stroke. `sign` is -1 where the
    stroke is one of ground.
    """
    ahead = np.array([0.75, 1.0, 1.25, 1.5, 1.75])
    aside = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
    around = (tip + axis)[:, None] + aside
    east, west, south, north = (_sample(fields, owner, around) * -sign[:, None]).T
    rise = np.stack([east - west, south - north], axis=1)
    normal = _unit(np.where(_dot(rise, axis)[:, None] > 0.5 * np.linalg.norm(rise, axis=1)[:, None], rise, axis))
    value = _sample(fields, owner, tip[:, None] + ahead[:, None] * normal[:, None]) * sign[:, None]
    slope = np.clip(-(value - value.mean(1, keepdims=True)) @ (ahead - ahead.mean()) / np.var(ahead) / 5, 0.5, 1.5)
    return tip + (ahead + value / slope[:, None]).mean(axis=1)[:, None] * normal, normal


def _meet(flanks: list[_Flanks], start: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Extend both flanks of each turn until they meet: point, directions of arrival and leaving, and turn."""
    point = start
    for _ in range(3):  # tangents at the point where the last ones met
        (one, back), (two, leave) = (flank.tangent(point) for flank in flanks)
        arrive = -back
        point = _intersect(one, arrive, two, leave, start)
    return point, arrive, leave, np.arctan2(_cross(arrive, leave), _dot(arrive, leave))


def _find_ends(
    rings: Rings, fields: Floats, turn: Ints, sign: Floats, flanks: list[_Flanks], arrive: Floats, leave: Floats
) -> tuple[Floats, Bools]:
    """Return the two corners [K, 2, 2] that a blunt end at each turn would have, and where there can be one."""
    tip = rings.points[turn]
    point, normal = _read_end(fields, rings.owner[turn], tip, _unit(arrive - leave), sign)
    along = _left(normal) * sign[:, None]
    corners = []
    for flank in flanks:
        at, direction = flank.tangent(point)
        corners.append(_intersect(at, direction, point, along, tip))
    wide = _dot(corners[1] - corners[0], along)
    near = np.maximum(*(np.linalg.norm(corner - tip, axis=1) for corner in corners)) < 2.0
    opposed = (_cross(arrive, along) * sign > 0.3) & (_cross(along, leave) * sign > 0.3)
    return np.stack(corners, axis=1), (wide > 0.3) & near & opposed


def _anchor(rings: Rings, turn: Ints, zone: Ints, flanks: list[_Flanks]) -> Floats:
    """Return the points [K, 2, 2] where each turn's zone begins and ends, on its flank where that is short."""
    sides = []
    for flank, steps, way in zip(flanks, zone, (-1, 1), strict=True):
        point = rings.points[rings.around(turn, way * steps[:, None])[:, 0]]
        sides.append(np.where((steps < _ZONE)[:, None], flank.tangent(point)[0], point))
    return np.stack(sides, axis=1)


def _bend_to(
    rings: Rings, points: Floats, turn: Ints, zone: Ints, anchors: Floats, corners: Floats, chosen: Bools
) -> Floats:
    """Lead the points around the chosen turns straight to their corners [K, 1 or 2, 2]."""
    bent = points.copy()
    rows = np.flatnonzero(chosen)
    before, after = zone[:, rows]
    offsets = np.arange(-_SHARP_ZONE, _SHARP_ZONE + 1)
    knots = np.concatenate([anchors[rows, :1], corners[rows], anchors[rows, 1:]], axis=1)
    held = (offsets >= -before[:, None]) & (offsets <= after[:, None])
    path = np.zeros((len(rows), len(offsets), 2))
    at = _knots(before, after, corners.shape[1])
    for start, end, low, high in zip(knots.transpose(1, 0, 2), knots.transpose(1, 0, 2)[1:], at, at[1:], strict=False):
        share = (offsets - low[:, None]) / np.maximum(high - low, 1)[:, None]
        here = (offsets >= low[:, None]) & (offsets <= high[:, None])
        path = np.where(here[..., None], start[:, None] + share[..., None] * (end - start)[:, None], path)
    bent[rings.around(turn[rows], offsets)[held]] = path[held]  # of two turns' shares of a point the later one's
    return bent


def _knots(before: Ints, after: Ints, corners: int) -> list[Ints]:
    """Return the steps at which the path around each turn bends, from its first to its last."""
    return [-before, 0 * before, after] if corners == 1 else [-before, -(before // 2), after // 2, after]


def _misfit(rings: Rings, fields: Floats, turn: Ints, shapes: list[Floats]) -> list[Floats]:
    """Return how far the samples around each turn [K] are from the distances to each shape, RMS in cells.

    Only samples count on which a shape and the first, the rounded one, disagree.
    """
    place = rings.around(turn, np.arange(-_WINDOW, _WINDOW + 1, 2))
    height, width = fields.shape[1:]
    block = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), axis=-1).reshape(-1, 2)
    cell = np.floor(rings.points[turn]).astype(np.int64)[:, None] + block  # [K, 25, 2]
    held = ((cell >= 0) & (cell < [width, height])).all(axis=2)
    row, column = np.clip(cell[..., 1], 0, height - 1), np.clip(cell[..., 0], 0, width - 1)
    value = fields[rings.owner[turn, None], row, column]
    centre: Floats = cell.astype(np.float64) + 0.5
    raw = rings.points[place]
    expected = []
    for shape in shapes:
        path = shape[place]  # [K, W, 2]
        distance = _distances(centre, path)
        # The contour parts the samples by their sign; only one between it and the shape changes sides.
        loop = np.concatenate([raw, path[:, ::-1]], axis=1)
        expected.append(np.where((value > 0) != _within(centre, loop), distance, -distance))
    apart = np.max([np.abs(other - expected[0]) for other in expected[1:]], axis=0)
    weight = held * np.exp(-(((centre - rings.points[turn][:, None]) / 1.5) ** 2).sum(axis=2))
    weight *= np.minimum(apart, 0.1) + 1e-6
    squares = [(weight * (each - value) ** 2).sum(axis=1) / weight.sum(axis=1) for each in expected]
    return [np.asarray(np.sqrt(each)) for each in squares]


def _distances(points: Floats, path: Floats) -> Floats:
    """Return the distance of points [K, N, 2] to open paths [K, W, 2]: [K, N]."""
    x, y = (points[..., axis, None] - path[:, None, :-1, axis] for axis in (0, 1))  # [K, N, W - 1]
    dx, dy = (np.diff(path[..., axis], axis=1)[:, None] for axis in (0, 1))
    t = np.clip((x * dx + y * dy) / np.maximum(dx * dx + dy * dy, 1e-12), 0.0, 1.0)
    x, y = x - t * dx, y - t * dy
    return np.asarray(np.sqrt((x * x + y * y).min(axis=2)))


def _within(points: Floats, loop: Floats) -> Bools:
    """Say which points [K, N, 2] are inside closed loops [K, W, 2], by the parity of crossings."""
    x, y = points[..., 0, None], points[..., 1, None]
    x0, y0 = loop[:, None, :, 0], loop[:, None, :, 1]
    x1, y1 = np.roll(x0, -1, axis=2), np.roll(y0, -1, axis=2)
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    crossed = ((y0 <= y) != (y1 <= y)) & (x0 + (y - y0) * (x1 - x0) / rise < x)
    return np.asarray(crossed.sum(axis=2) % 2 == 1)


def _collect(
    rings: Rings,
    turn: Ints,
    zone: Ints,
    point: Floats,
    ends: Floats,
    arrive: Floats,
    leave: Floats,
    as_point: Bools,
    as_end: Bools,
) -> Corners:
    across = _unit(ends[:, 1] - ends[:, 0])
    first = rings.around(turn, -(zone[:1].T // 2))[:, 0]
    second = rings.around(turn, zone[1:].T // 2)[:, 0]
    place = np.concatenate([turn[as_point], first[as_end], second[as_end]])
    order = np.argsort(place, kind="stable")
    return Corners(
        place[order],
        np.concatenate([point[as_point], ends[as_end, 0], ends[as_end, 1]])[order],
        np.concatenate([arrive[as_point], arrive[as_end], across[as_end]])[order],
        np.concatenate([leave[as_point], across[as_end], leave[as_end]])[order],
    )


def _sample(fields: Floats, owner: Ints, points: Floats) -> Floats:
    """Return fields [N, H, W] at points [K, M, 2] of field `owner` [K], in cells: [K, M].

    Bilinear; beyond the border the border goes on.
    """
    height, width = fields.shape[1:]
    x = np.clip(points[..., 0] - 0.5, 0, width - 1)
    y = np.clip(points[..., 1] - 0.5, 0, height - 1)
    column = np.minimum(x.astype(np.int64), width - 2)
    row = np.minimum(y.astype(np.int64), height - 2)
    fx, fy = x - column, y - row
    which = owner[:, None]
    top = fields[which, row, column] * (1 - fx) + fields[which, row, column + 1] * fx
    low = fields[which, row + 1, column] * (1 - fx) + fields[which, row + 1, column + 1] * fx
    return np.asarray(top * (1 - fy) + low * fy)


def _intersect(one: Floats, first: Floats, two: Floats, second: Floats, otherwise: Floats) -> Floats:
    """Return where lines [K, 2] through `one` and `two` meet; `otherwise` where they are all but parallel."""
    turn = _cross(first, second)
    apart = np.abs(turn) > 0.05
    t = _cross(two - one, second) / np.where(apart, turn, 1.0)
    return np.where(apart[:, None], one + t[:, None] * first, otherwise)


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1])


def _left(vector: Floats) -> Floats:
    return np.stack([-vector[..., 1], vector[..., 0]], axis=-1)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12))
