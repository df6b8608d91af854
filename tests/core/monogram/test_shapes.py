"""Outlines united, cut and grown: areas that can be worked out by hand."""

import math

import numpy as np
import pytest

from core.monogram.curves import straighten
from core.monogram.outline import Outline, bend, bounds, crossings, rasterise
from core.monogram.shapes import area, difference, grow, intersection, union

KAPPA = 0.5522847498307936


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return Outline((straighten(corners, np.roll(corners, -1, axis=0)),))


def disc(x: float, y: float, radius: float) -> Outline:
    turns = [np.array([np.cos(a), np.sin(a)]) for a in np.arange(4) * math.pi / 2]
    ring = []
    for start, end in zip(turns, [*turns[1:], turns[0]], strict=True):
        ring.append(np.stack([start, start + KAPPA * end, end + KAPPA * start, end]) * radius + np.array([x, y]))
    return Outline((np.stack(ring),))


def ink(shape: Outline) -> float:
    return sum(map(area, shape.contours))


def test_ink_has_a_positive_area_and_it_is_the_pixels() -> None:
    assert ink(box(0.2, 0.3, 0.6, 0.5)) == pytest.approx(0.08)
    assert ink(disc(0.5, 0.5, 0.3)) == pytest.approx(math.pi * 0.09, rel=1e-3)
    assert ink(disc(0.5, 0.5, 0.3)) == pytest.approx(rasterise(disc(0.5, 0.5, 0.3), 128).mean() / 255, rel=1e-3)


def test_union_takes_either_and_does_not_mind_the_order() -> None:
    a, b = box(0.1, 0.1, 0.5, 0.5), disc(0.5, 0.5, 0.2)
    both = [rasterise(union(pair), 128) for pair in ((a, b), (b, a))]

    assert np.abs(both[0].astype(int) - both[1]).max() <= 1
    assert ink(union((a, b))) == pytest.approx(ink(a) + ink(b) - ink(intersection(a, b)), abs=1e-5)


def test_a_difference_leaves_a_hole_that_runs_the_other_way() -> None:
    ring = difference(disc(0.5, 0.5, 0.3), disc(0.5, 0.5, 0.2))

    assert sorted(area(contour) > 0 for contour in ring.contours) == [False, True]
    assert ink(ring) == pytest.approx(math.pi * 0.05, rel=1e-3)
    assert len(crossings(ring)) == 0


@pytest.mark.parametrize("amount", [0.02, -0.02])
def test_growing_moves_every_edge_and_keeps_corners(amount: float) -> None:
    grown = grow(box(0.3, 0.4, 0.7, 0.6), amount)
    low, high = bounds([grown])

    assert low == pytest.approx([0.3 - amount, 0.4 - amount], abs=1e-5)
    assert high == pytest.approx([0.7 + amount, 0.6 + amount], abs=1e-5)
    assert ink(grown) == pytest.approx((0.4 + 2 * amount) * (0.2 + 2 * amount), abs=1e-5)


def test_growing_closes_in_on_a_hole() -> None:
    ring = grow(difference(disc(0.5, 0.5, 0.3), disc(0.5, 0.5, 0.2)), 0.02)

    assert ink(ring) == pytest.approx(math.pi * (0.32**2 - 0.18**2), rel=2e-3)


def test_a_bent_outline_follows_the_map_and_stays_smooth() -> None:
    def half_as_high(points: np.ndarray) -> np.ndarray:
        return np.stack([points[:, 0], points[:, 1] * (0.5 + points[:, 0])], axis=1)

    bent = bend(box(0.2, 0.2, 0.6, 0.4), half_as_high, 8)
    round_one = bend(disc(0.5, 0.5, 0.2), half_as_high)
    before, after = (np.roll(round_one.contours[0], 1, axis=0), round_one.contours[0])
    arrive, leave = before[:, 3] - before[:, 2], after[:, 1] - after[:, 0]
    turn = arrive[:, 0] * leave[:, 1] - arrive[:, 1] * leave[:, 0]

    assert ink(bent) == pytest.approx(0.2 * (0.5 * 0.4 + (0.36 - 0.04) / 2), rel=1e-4)  # the integral by hand
    assert np.abs(turn / (np.linalg.norm(arrive, axis=1) * np.linalg.norm(leave, axis=1))).max() < 1e-3
