"""From a field to the outline of its ink: corners sharp, straight edges straight, curves in few cubics.

The tolerances are in cells of the field; what is smaller is taken for noise of a network or of the sampling.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.monogram import curves
from core.monogram.corners import Corners, restore
from core.monogram.outline import Outline, crossings
from core.monogram.rings import STEPS, Bools, Floats, Ints, Rings, find_rings

_TOLERANCE: Final = (0.05, 0.25)  # cells between a contour and its curve: where it is exact, and at the most
_FLAT: Final = 0.35  # cells beside a straight edge: half a percent of the cap height, which no eye takes for a curve
_WOBBLY: Final = 0.4  # the same of an edge with noise
_NOISY: Final = 0.4  # of the squares beside such an edge, at the least, a cubic leaves
_BESIDE: Final = 0.6  # cells: the most that points beside a corner may be off
_LEVEL: Final = np.deg2rad(8)  # the most a straight edge turns
_STRICT: Final = (0.12, np.deg2rad(4))  # the same two where no corners bound the edge
_ROUNDED: Final = 3  # steps beside a corner that say little about its edges; more where it is sharp
_UPRIGHT: Final = np.deg2rad(0.5)  # an edge nearer than this to an axis is on it
_RUN: Final = 5 * STEPS  # half the shortest straight edge that flows into a curve
_LONG_RUN: Final = 8 * STEPS  # the same where it wobbles
_TRIM: Final = 2 * STEPS  # taken off its ends
_LOOK: Final = 12  # steps on either side from which a direction is taken
_DEAD: Final = np.sin(np.deg2rad(4))  # a direction nearer to an axis has not yet turned past it
_CLOSE: Final = 6  # steps: no extremum nearer to another node
_SPLITS: Final = 4
_ENDLESS: Final = 8000  # points: no letter has so long a contour, but noise has
_TRIES: Final = 3  # with fewer corners each, until nothing crosses


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


def trace(field: Tensor | NDArray[np.floating]) -> Outline:
    """Return the outline of a field [H, H], canvas units, positive inside; exact or a little wobbly.

    Corners that sampling rounded are restored. Contours shorter than three cells are dropped; none cross.
    """
    values = np.asarray(field.detach().cpu() if isinstance(field, Tensor) else field, dtype=np.float64)
    size = values.shape[-1]
    values = values * size
    rings = find_rings(values)
    barred = np.zeros((0, 2))
    for _ in range(_TRIES if len(rings.points) < _ENDLESS else 0):
        shape = _Shape(rings, *restore(rings, values, barred))
        outline = Outline(tuple(contour / size for contour in shape.fit()))
        found = crossings(outline)
        if len(found) == 0:
            return outline
        barred = np.concatenate([barred, found * size])
    return Outline(tuple(_polygon(rings.points[first : first + count]) / size for first, count in rings.each()))


def _polygon(points: Floats) -> Floats:
    """Return a ring as it is: among gaps narrower than a cell no curve is safe."""
    return np.stack([curves.straight(*pair) for pair in zip(points, np.roll(points, -1, axis=0), strict=True)])


class _Shape:
    """Rings with their corners restored, on the way to curves."""

    def __init__(self, rings: Rings, points: Floats, corners: Corners) -> None:
        self.rings = rings
        self.points = points
        self.corners = corners
        self.rounded = np.full(len(points), _ROUNDED)
        sharp = (corners.before * corners.after).sum(axis=1) < 0
        self.rounded[corners.place[sharp]] = 2 * STEPS
        self.room = self._measure_room()
        self.heading = self._measure_heading()
        self.level, self.noise = self._find_level()

    def fit(self) -> list[Floats]:
        """Return the contours [n, 4, 2] in cells."""
        tolerance = min(_TOLERANCE[0] + 20 * self.noise, _TOLERANCE[1])
        spans: list[tuple[_Node, _Node, int]] = []
        done: list[tuple[int, int, Floats]] = []
        for first, count in self.rings.each():
            nodes, lines = self._place_nodes(first, count)
            ends = {line.i % count for line in lines}
            for start, end in zip(nodes, [*nodes[1:], _shift(nodes[0], count)], strict=True):
                if start.at in ends:
                    done.append((first, start.at, curves.straight(start.point, end.point)))
                else:
                    spans.append((start, end, first))
        for last in (split == _SPLITS for split in range(_SPLITS + 1)):
            spans = self._fit_spans(spans, done, tolerance, last)
        done.sort(key=lambda piece: piece[:2])
        return [np.stack([curve for ring, _, curve in done if ring == first]) for first, _ in self.rings.each()]

    def _fit_spans(
        self, spans: list[tuple[_Node, _Node, int]], done: list[tuple[int, int, Floats]], tolerance: float, last: bool
    ) -> list[tuple[_Node, _Node, int]]:
        """Fit every span; keep what is near enough and return the halves of the others."""
        if not spans:
            return []
        points = np.stack([self._sample(start, end, first) for start, end, first in spans])
        leave = np.stack([start.leave for start, _, _ in spans])
        arrive = np.stack([end.arrive for _, end, _ in spans])
        fitted, gaps = curves.fit(points, leave, arrive)
        left = []
        for (start, end, first), curve, gap in zip(spans, fitted, gaps, strict=True):
            if last or gap.max() < tolerance or end.at - start.at < 4 * STEPS:
                done.append((first, start.at, curve))
            else:
                share = np.clip(gap.argmax() / (len(gap) - 1), 0.25, 0.75)
                middle = self._smooth_node(first, round(start.at + share * (end.at - start.at)))
                left += [(start, middle, first), (middle, end, first)]
        return left

    def _sample(self, start: _Node, end: _Node, first: int) -> Floats:
        count = int(self.rings.count[first])
        place = np.linspace(start.at, end.at, curves.SAMPLES)
        low = np.floor(place).astype(np.int64)
        part = (place - low)[:, None]
        points = self.points[first + low % count] * (1 - part) + self.points[first + (low + 1) % count] * part
        points[0], points[-1] = start.point, end.point
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
        near = self.points[self.rings.around(np.arange(len(self.points)), offsets)]
        half = np.clip(self.room, 1, _LOOK)[:, None]
        weight = np.where(np.abs(offsets) <= half, offsets, 0)
        heading = np.einsum("pwc,pw->pc", near, weight.astype(np.float64))
        return np.asarray(heading / np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-12))

    def _find_level(self) -> tuple[Bools, float]:
        """Say which points [P] lie on a straight stretch, and how wobbly the shape is: the residual of cubics."""
        level = np.zeros(len(self.points), dtype=np.bool_)
        noise = 0.0
        for half, flat, noisy in ((_RUN, _STRICT[0], False), (_LONG_RUN, _WOBBLY, True)):
            offsets = np.arange(-half, half + 1, half // 10)
            basis = np.linalg.qr(np.vander(offsets / half, 4, increasing=True))[0]
            middle = np.flatnonzero(self.room >= half)[::2]
            near = self.points[self.rings.around(middle, offsets)]
            near = near - near.mean(axis=1, keepdims=True)
            parts = np.einsum("pwc,wk->pkc", near, basis)
            power = (parts * parts).sum(axis=2)  # [M, 4]
            beside = near - np.einsum("pkc,wk->pwc", parts[:, :2], basis[:, :2])
            squares = (beside * beside).sum(axis=2)
            turn = 8 * np.sqrt(power[:, 2]) * np.ptp(basis[:, 2]) * STEPS / (2 * half)
            straight = (turn < _STRICT[1]) & (squares.max(axis=1) < flat * flat)
            total = squares.sum(axis=1)
            left = np.maximum(total - power[:, 2] - power[:, 3], 0.0)
            if noisy:
                straight &= left > _NOISY * total
            elif len(middle):
                noise = float(np.quantile(np.sqrt(left / len(offsets)), 0.25))
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
            line = self._fit_line(first, count, i, j)
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
            line = self._fit_line(first, count, start, end)
            if line and (not found or line.i >= found[-1].j):
                found.append(line)
        return found

    def _fit_line(self, first: int, count: int, i: int, j: int) -> _Line | None:
        """Return the straight edge between two steps, if the points between are on one."""
        after, before = (min(int(self.rounded[first + at % count]), max(_ROUNDED, (j - i) // 16)) for at in (i, j))
        every = self.points[first + np.arange(i, j + 1) % count]
        points = every[min(after, (j - i) // 4) : j - i + 1 - min(before, (j - i) // 4)]
        if len(points) < 3:
            return None
        middle = points.mean(axis=0)
        _, _, axes = np.linalg.svd(points - middle, full_matrices=False)
        direction = axes[0] if axes[0] @ (points[-1] - points[0]) >= 0 else -axes[0]
        left = np.array([-direction[1], direction[0]])
        if not _is_straight((points - middle) @ direction, (points - middle) @ left):
            return None
        if np.abs((every[1:-1] - middle) @ left).max() > _BESIDE:
            return None
        return _Line(i, j, middle, _set_upright(direction))

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
            for low, high in zip(clear.tolist(), after.tolist(), strict=True):
                if past[low] * past[high % count] < 0:
                    at = round((low + high) / 2) % count
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
        weights = np.linalg.pinv(np.vander(offsets, 3, increasing=True).astype(np.float64))[0]
        heading = self.heading[first + at % count]
        if upright:
            heading = np.where(np.abs(heading) == np.abs(heading).max(), np.sign(heading), 0.0)
        return _Node(at, weights @ points, heading, heading)


def _is_straight(u: Floats, v: Floats) -> bool:
    """Say whether points `v` beside a line and `u` along it are that line, wobbling perhaps."""
    most, length = np.abs(v).max(), np.ptp(u)
    if most > _WOBBLY:
        return False
    basis = np.linalg.qr(np.vander(u / max(length, 1e-9), 4, increasing=True))[0]
    parts = v @ basis
    # A parabola of this sagitta turns by 8 sagittas over its chord.
    bend = 8 * abs(parts[2]) * np.ptp(basis[:, 2]) / max(length, 1e-9)
    if most < _FLAT and (length < 4 or bend < _LEVEL):
        return True
    # What a cubic explains is shape; what it does not is noise.
    left = v - basis @ parts
    return bool(length > 12 and left @ left > _NOISY * (v @ v))


def _set_upright(direction: Floats) -> Floats:
    slim = np.abs(direction) < np.sin(_UPRIGHT)
    return np.where(slim, 0.0, np.sign(direction)) if slim.any() else direction


def _shift(node: _Node, count: int) -> _Node:
    return _Node(node.at + count, node.point, node.arrive, node.leave)
