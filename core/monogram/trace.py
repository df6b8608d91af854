"""From a field to the outline of its ink: corners sharp, straight edges straight, curves in few cubics.

The tolerances are in cells of the field; what is smaller is taken for noise of a network or of the sampling.
"""

from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.monogram import curves
from core.monogram.corners import Corners, restore
from core.monogram.lines import BESIDE, NOISY, WOBBLY, find_axis, is_straight, leaves_chord, set_upright
from core.monogram.outline import Outline, crossings
from core.monogram.rings import STEPS, Bools, Floats, Ints, Rings, follow, join

_TOLERANCE: Final = (0.08, 0.25)  # cells between a contour and its curve: where it is exact, and at the most
# Cells beside a straight edge, and the most it turns. Between two corners half a percent of the cap height of bow is
# taken out: no eye takes it for a curve.
_BOUNDED: Final = (0.35, np.deg2rad(8))
_STRICT: Final = (0.12, np.deg2rad(4))  # where it flows into a curve
_ROUNDED: Final = 3  # steps beside a corner that say little about its edges; more where it is sharp
_RUN: Final = 5 * STEPS  # half the shortest straight edge that flows into a curve
_LONG_RUN: Final = 8 * STEPS  # the same where it wobbles
_TRIM: Final = 2 * STEPS  # taken off its ends
_LOOK: Final = 12  # steps on either side from which a direction is taken
_DEAD: Final = np.sin(np.deg2rad(4))  # a direction nearer to an axis has not yet turned past it
_CLOSE: Final = 6  # steps: no extremum nearer to another node
_SPLITS: Final = 4
_LONGEST: Final = 8  # sides of the canvas: more contour than a letter has, and many rings, are noise
_MOST: Final = 24  # rings
_TRIES: Final = 3  # with fewer corners each, until nothing crosses


# Weights by which points, so many on either side of a node, say where the parabola through them passes it.
_PARABOLAS: Final = {
    half: np.linalg.pinv(np.vander(np.arange(-half, half + 1.0), 3, increasing=True))[0] for half in range(2, 7)
}


@dataclass(frozen=True, slots=True)
class _Line:
    """A straight edge from step i to step j of a ring."""

    i: int
    j: int
    point: Floats  # [2]
    direction: Floats  # [2] unit, of travel


@dataclass(frozen=True, slots=True)
class _Node:
    """A point of the outline at step `at` of a ring; its two directions differ at a corner."""

    at: int
    point: Floats
    arrive: Floats
    leave: Floats


@dataclass(frozen=True, slots=True)
class _Span:
    """What one curve, or a few, are to follow: a ring between two nodes."""

    start: _Node
    end: _Node
    first: int  # where the ring begins
    tolerance: float  # cells


def trace(field: Tensor | NDArray[np.floating]) -> Outline:
    """Return the outline of a field [H, H], canvas units, positive inside; exact or a little wobbly.

    Corners that sampling rounded are restored. Contours shorter than three cells are dropped; none cross.
    """
    return trace_all(field[None])[0]


def trace_all(fields: Tensor | NDArray[np.floating]) -> list[Outline]:
    """Return the outline of each of N fields [N, H, H]: bit for bit what `trace` returns, and in less time."""
    values = np.asarray(fields.detach().cpu() if isinstance(fields, Tensor) else fields, dtype=np.float64)
    size = values.shape[-1]
    values = values * size
    rings = [follow(field) for field in values]
    barred = [np.zeros((0, 2)) for _ in rings]
    outlines: dict[int, Outline] = {}
    plain = [len(own) <= _MOST and sum(map(len, own)) <= _LONGEST * STEPS * size for own in rings]
    for _ in range(_TRIES):
        left = [number for number, fine in enumerate(plain) if fine and number not in outlines]
        if not left:
            break
        for number, outline in zip(left, _fit(values, rings, barred, left), strict=True):
            found = crossings(outline)
            if len(found) == 0:
                outlines[number] = outline
            barred[number] = np.concatenate([barred[number], found * size])
    return [outlines.get(number) or _join_up(own, size) for number, own in enumerate(rings)]


def follow_all(fields: Tensor | NDArray[np.floating]) -> list[Outline]:
    """Return the contours of fields [N, H, H] as polygons, as they are; those shorter than three cells are dropped."""
    values = np.asarray(fields.detach().cpu() if isinstance(fields, Tensor) else fields, dtype=np.float64)
    size = values.shape[-1]
    return [_join_up(follow(field * size), size) for field in values]


def _fit(values: Floats, rings: list[list[Floats]], barred: list[Floats], chosen: list[int]) -> list[Outline]:
    """Fit curves to the rings of some fields; no corner near a barred place."""
    joined = join([rings[number] for number in chosen])
    places = [np.insert(barred[number], 0, row, axis=1) for row, number in enumerate(chosen)]
    shape = _Shape(joined, len(chosen), *restore(joined, values[chosen], np.concatenate(places)))
    size = values.shape[-1]
    return [Outline(tuple(contour / size for contour in contours)) for contours in shape.fit()]


def _join_up(rings: list[Floats], size: int) -> Outline:
    """Return rings as polygons, as they are: among gaps narrower than a cell no curve is safe."""
    return Outline(tuple(curves.straighten(ring, np.roll(ring, -1, axis=0)) / size for ring in rings))


class _Shape:
    """Rings of some fields with their corners restored, on the way to curves."""

    def __init__(self, rings: Rings, fields: int, points: Floats, corners: Corners) -> None:
        self.rings = rings
        self.fields = fields
        self.points = points
        self.corners = corners
        self.rounded = np.full(len(points), _ROUNDED)
        sharp = (corners.before * corners.after).sum(axis=1) < 0
        self.rounded[corners.place[sharp]] = 2 * STEPS
        self.room = self._measure_room()
        self.heading = self._measure_heading()
        self.level, self.noise = self._find_level()

    def fit(self) -> list[list[Floats]]:
        """Return the contours [n, 4, 2] of each field, in cells."""
        spans: list[_Span] = []
        done: list[tuple[int, int, Floats]] = []
        for first, count in self.rings.each():
            tolerance = min(_TOLERANCE[0] + 20 * self.noise[self.rings.owner[first]], _TOLERANCE[1])
            nodes, lines = self._place_nodes(first, count)
            ends = {line.i % count for line in lines}
            for start, end in zip(nodes, [*nodes[1:], _shift(nodes[0], count)], strict=True):
                if start.at in ends:
                    done.append((first, start.at, curves.straighten(start.point, end.point)))
                else:
                    spans.append(_Span(start, end, first, tolerance))
        for last in (split == _SPLITS for split in range(_SPLITS + 1)):
            spans = self._fit_spans(spans, done, last)
        done.sort(key=lambda piece: piece[:2])
        contours: list[list[Floats]] = [[] for _ in range(self.fields)]
        for first, pieces in groupby(done, key=lambda piece: piece[0]):
            contours[self.rings.owner[first]].append(np.stack([curve for _, _, curve in pieces]))
        return contours

    def _fit_spans(self, spans: list[_Span], done: list[tuple[int, int, Floats]], last: bool) -> list[_Span]:
        """Fit every span; keep what is near enough and return the halves of the others."""
        if not spans:
            return []
        points = self._sample(spans)
        leave = np.stack([span.start.leave for span in spans])
        arrive = np.stack([span.end.arrive for span in spans])
        fitted, gaps = curves.fit(points, leave, arrive)
        widest, place = gaps.max(axis=1).tolist(), (gaps.argmax(axis=1) / (gaps.shape[1] - 1)).tolist()
        left = []
        for number, span in enumerate(spans):
            start, length = span.start, span.end.at - span.start.at
            if last or widest[number] < span.tolerance or length < 4 * STEPS:
                done.append((span.first, start.at, fitted[number]))
            else:
                share = min(max(place[number], 0.25), 0.75)
                middle = self._smooth_node(span.first, round(start.at + share * length))
                left += [replace(span, end=middle), replace(span, start=middle)]
        return left

    def _sample(self, spans: list[_Span]) -> Floats:
        """Return points evenly along each span, [S, SAMPLES, 2]."""
        first = np.array([span.first for span in spans])[:, None]
        start, end = (np.array([getattr(span, name).at for span in spans])[:, None] for name in ("start", "end"))
        place = start + (end - start) * (np.arange(curves.SAMPLES) / (curves.SAMPLES - 1))
        low = np.floor(place).astype(np.int64)
        part = (place - low)[..., None]
        count = self.rings.count[first]
        points = self.points[first + low % count] * (1 - part) + self.points[first + (low + 1) % count] * part
        points[:, 0] = [span.start.point for span in spans]
        points[:, -1] = [span.end.point for span in spans]
        return np.asarray(points)

    def _measure_room(self) -> Ints:
        """Return how many steps each point [P] is from the nearest corner of its ring."""
        room = self.rings.count.copy()
        for first, count in self.rings.each():
            place = self._corner_rows(first, count)[1]
            if len(place):
                around = np.concatenate([place[-1:] - count, place, place[:1] + count])
                every = np.arange(count)
                after = np.searchsorted(around, every)
                room[first : first + count] = np.minimum(around[after] - every, every - around[after - 1])
        return room

    def _corner_rows(self, first: int, count: int) -> tuple[Ints, Ints]:
        """Return the corners of a ring: their rows, and their steps along it."""
        rows = np.flatnonzero((self.corners.place >= first) & (self.corners.place < first + count))
        return rows, self.corners.place[rows] - first

    def _measure_heading(self) -> Floats:
        """Return the unit direction at each point [P, 2], taken from as many points before as after it."""
        offsets = np.arange(-_LOOK, _LOOK + 1)
        weights = np.where(np.abs(offsets)[:, None] <= np.clip(self.room, 1, _LOOK), offsets[:, None], 0)
        heading = self.rings.blend(self.points, offsets, weights)
        return np.asarray(heading / np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-12))

    def _find_level(self) -> tuple[Bools, list[float]]:
        """Say which points [P] lie on a straight stretch, and how wobbly each field is: the residual of cubics."""
        level = np.zeros(len(self.points), dtype=np.bool_)
        noise = [0.0] * self.fields
        step = np.arange(len(self.points)) - self.rings.first
        for half, flat, noisy in ((_RUN, _STRICT[0], False), (_LONG_RUN, WOBBLY, True)):
            offsets = np.arange(-half, half + 1, half // 10)
            basis = np.linalg.qr(np.vander(offsets / half, 4, increasing=True))[0]
            middle = np.flatnonzero((self.room >= half) & (step % STEPS == 0))
            around = self.rings.around(middle, offsets).T  # [W, M]: sums over the first axis are many times as fast
            power, squares = np.zeros((2, len(middle))), np.zeros(around.shape)
            for axis in (0, 1):
                near = self.points[around, axis]
                near = near - near.mean(axis=0)
                mean, slope, bend, twist = ((near * each[:, None]).sum(axis=0) for each in basis.T)
                power += np.stack([bend * bend, twist * twist])
                rest = near - basis[:, :1] * mean - basis[:, 1:2] * slope
                squares += rest * rest
            turn = 8 * np.sqrt(power[0]) * np.ptp(basis[:, 2]) * STEPS / (2 * half)
            straight = (turn < _STRICT[1]) & (squares.max(axis=0) < flat * flat)
            total = squares.sum(axis=0)
            left = np.maximum(total - power[0] - power[1], 0.0)
            if noisy:
                straight &= left > NOISY * total
            else:
                noise = _quarters(np.sqrt(left / len(offsets)), self.rings.owner[middle], self.fields)
            level[self.rings.around(middle[straight], np.arange(-half, half + 1))] = True
        return level, noise

    def _place_nodes(self, first: int, count: int) -> tuple[list[_Node], list[_Line]]:
        """Return the nodes of a ring in order, and the straight edges between some of them."""
        rows, place = self._corner_rows(first, count)
        lines = self._find_lines(first, count, place)
        before = {line.j % count: line for line in lines}
        after = {line.i % count: line for line in lines}
        nodes = {}
        for row, at in zip(rows, place.tolist(), strict=True):
            nodes[at] = self._corner_node(row, at, before.get(at), after.get(at))
        for line in lines:
            for at in {line.i % count, line.j % count} - nodes.keys():
                point = self.points[first + at]
                foot = line.point + (point - line.point) @ line.direction * line.direction
                nodes[at] = _Node(at, foot, line.direction, line.direction)
        for at in self._find_extrema(first, count, sorted(nodes), lines):
            nodes[at] = self._smooth_node(first, at, upright=True)
        if not nodes:
            nodes = {at: self._smooth_node(first, at) for at in (0, count // 3, 2 * count // 3)}
        if len(nodes) == 1:
            at = (next(iter(nodes)) + count // 2) % count
            nodes[at] = self._smooth_node(first, at)
        return [nodes[at] for at in sorted(nodes)], lines

    def _corner_node(self, row: int, at: int, before: _Line | None, after: _Line | None) -> _Node:
        """Place a corner where its straight edges, or else the flanks it was found by, meet."""
        point, arrive, leave = (array[row] for array in (self.corners.point, self.corners.before, self.corners.after))
        here, there = point, point
        if before:
            here, arrive = before.point, before.direction
        if after:
            there, leave = after.point, after.direction
        turn = arrive[0] * leave[1] - arrive[1] * leave[0]
        if abs(turn) > 0.1:
            gap = there - here
            met = here + (gap[0] * leave[1] - gap[1] * leave[0]) / turn * arrive
            if np.linalg.norm(met - point) < 0.75:
                point = met
        return _Node(at, point, arrive, leave)

    def _find_lines(self, first: int, count: int, place: Ints) -> list[_Line]:
        """Return the straight edges of a ring: from corner to corner, and inside what is left."""
        found: list[_Line] = []
        for i, j in zip(place.tolist(), [*place[1:].tolist(), *(place[:1] + count).tolist()], strict=True):
            line = self._fit_line(first, count, i, j, _BOUNDED)
            found += [line] if line else self._find_runs(first, count, i, j, True)
        return found if len(place) else self._find_runs(first, count, 0, count, False)

    def _find_runs(self, first: int, count: int, i: int, j: int, corners: bool) -> list[_Line]:
        level = np.concatenate([[False], self.level[first + np.arange(i, j + 1) % count], [False]])
        edges = np.flatnonzero(level[1:] != level[:-1]).reshape(-1, 2) + i
        found: list[_Line] = []
        for low, high in edges.tolist():
            # What is left to a corner is no curve of its own; elsewhere the curve begins a little early.
            start = i if corners and low - i < _CLOSE else low + _TRIM
            end = j if corners and j - high < _CLOSE else high - 1 - _TRIM
            if end - start < _RUN:
                continue
            line = self._fit_line(first, count, start, end, _STRICT)
            if line and (not found or line.i >= found[-1].j):
                found.append(line)
        return found

    def _fit_line(self, first: int, count: int, i: int, j: int, limits: tuple[float, float]) -> _Line | None:
        """Return the straight edge between two steps, if the points between are on one."""
        after, before = (min(int(self.rounded[first + at % count]), max(_ROUNDED, (j - i) // 16)) for at in (i, j))
        every = self.points[first + np.arange(i, j + 1) % count]
        if leaves_chord(every[1:-1]):
            return None
        points = every[min(after, (j - i) // 4) : j - i + 1 - min(before, (j - i) // 4)]
        if len(points) < 3:
            return None
        middle = points.mean(axis=0)
        direction = find_axis(points - middle, points[-1] - points[0])
        left = np.array([-direction[1], direction[0]])
        if not is_straight((points - middle) @ direction, (points - middle) @ left, *limits):
            return None
        if np.abs((every[1:-1] - middle) @ left).max() > BESIDE:
            return None
        return _Line(i, j, middle, set_upright(direction))

    def _find_extrema(self, first: int, count: int, nodes: list[int], lines: list[_Line]) -> list[int]:
        """Return the steps of a ring where it turns past an axis, none close to another node or on a straight edge."""
        found: list[int] = []
        taken = set(nodes)
        straight = np.zeros(count, dtype=np.bool_)
        for line in lines:
            straight[np.arange(line.i, line.j + 1) % count] = True
        for axis in (0, 1):
            past = self.heading[first : first + count, axis]
            clear = np.flatnonzero(np.abs(past) > _DEAD)
            if len(clear) == 0:
                continue
            after = np.append(clear[1:], clear[0] + count)
            turned = past[clear] * past[after % count] < 0
            for at in (np.rint((clear + after)[turned] / 2).astype(np.int64) % count).tolist():
                gap = min((min((at - node) % count, (node - at) % count) for node in taken), default=count)
                if not straight[at] and gap >= _CLOSE:
                    taken.add(at)
                    found.append(at)
        return found

    def _smooth_node(self, first: int, at: int, upright: bool = False) -> _Node:
        """Place a node where the contour runs smooth: on a parabola through the points around."""
        count = int(self.rings.count[first])
        half = int(np.clip(self.room[first + at % count] - 1, 2, 6))
        offsets = np.arange(-half, half + 1)
        points = self.points[first + (at + offsets) % count]
        heading = self.heading[first + at % count]
        if upright:
            heading = np.where(np.abs(heading) == np.abs(heading).max(), np.sign(heading), 0.0)
        return _Node(at, _PARABOLAS[half] @ points, heading, heading)


def _quarters(values: Floats, owner: Ints, fields: int) -> list[float]:
    """Return the lower quartile of the values of each field, 0 where it has none; owners stand in order."""
    ends = np.searchsorted(owner, np.arange(fields + 1)).tolist()
    return [float(np.quantile(values[low:high], 0.25)) if high > low else 0.0 for low, high in pairwise(ends)]


def _shift(node: _Node, count: int) -> _Node:
    return _Node(node.at + count, node.point, node.arrive, node.leave)
