"""Outlines to fields: exact distances, united contours, the non-zero rule."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.training.datasets.outlines import TOLERANCE, Floats, flatten, measure, unite

SIZE = 64
CENTRES = (np.arange(SIZE) + 0.5) / SIZE
X, Y = np.meshgrid(CENTRES, CENTRES)
FAR = 2.0


def polygon(*points: tuple[float, float]) -> Floats:
    corners = np.array(points, dtype=np.float64)
    return np.hstack([corners, np.roll(corners, -1, axis=0)])


def box(left: float, top: float, right: float, bottom: float) -> Floats:
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def circle(radius: float, points: int = 4000) -> Floats:
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return polygon(*zip(0.5 + radius * np.cos(turn), 0.5 + radius * np.sin(turn), strict=True))


def box_field(left: float, top: float, right: float, bottom: float) -> Floats:
    dx, dy = np.maximum(left - X, X - right), np.maximum(top - Y, Y - bottom)
    return -(np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0))


def brute_force(segments: Floats) -> Floats:
    """Distance to every segment at every cell, without windows."""
    start, along = segments[:, :2], segments[:, 2:] - segments[:, :2]
    cells = np.stack([X.ravel(), Y.ravel()], axis=1)[:, None] - start
    t = np.clip((cells * along).sum(2) / (along**2).sum(1), 0, 1)
    return np.linalg.norm(cells - t[..., None] * along, axis=2).min(1).reshape(SIZE, SIZE)


def test_the_field_of_a_circle_is_the_closed_form_up_to_its_reach() -> None:
    expected = np.clip(0.3 - np.hypot(X - 0.5, Y - 0.5), -1 / 16, 1 / 16)

    assert np.abs(measure(circle(0.3), SIZE, 1 / 16) - expected).max() < 1e-6


def test_the_field_of_a_box_is_the_closed_form_everywhere() -> None:
    assert np.allclose(measure(box(0.2, 0.3, 0.6, 0.9), SIZE, FAR), box_field(0.2, 0.3, 0.6, 0.9), atol=1e-12)


def test_overlapping_contours_leave_no_edge_inside_the_ink() -> None:
    two = np.concatenate([box(0.2, 0.2, 0.6, 0.6), box(0.4, 0.4, 0.8, 0.8)])
    one = polygon((0.2, 0.2), (0.6, 0.2), (0.6, 0.4), (0.8, 0.4), (0.8, 0.8), (0.4, 0.8), (0.4, 0.6), (0.2, 0.6))

    assert np.allclose(measure(two, SIZE, FAR), measure(one, SIZE, FAR), atol=1e-9)


def test_contours_that_share_a_border_leave_no_seam() -> None:
    halves = np.concatenate([box(0.2, 0.2, 0.5, 0.8), box(0.5, 0.3, 0.8, 0.7)])
    middle = measure(halves, SIZE, FAR)[SIZE // 2, SIZE // 2]

    assert middle == pytest.approx(0.2, abs=1 / SIZE)


def test_a_contour_drawn_twice_or_inside_another_changes_nothing() -> None:
    plain = measure(box(0.2, 0.2, 0.8, 0.8), SIZE, FAR)
    twice = np.concatenate([box(0.2, 0.2, 0.8, 0.8), box(0.2, 0.2, 0.8, 0.8)])
    nested = np.concatenate([box(0.2, 0.2, 0.8, 0.8), box(0.4, 0.4, 0.6, 0.6)])

    assert np.allclose(measure(twice, SIZE, FAR), plain, atol=1e-9)
    assert np.allclose(measure(nested, SIZE, FAR), plain, atol=1e-9)


def test_a_contour_against_the_other_is_a_counter() -> None:
    ring = np.concatenate([box(0.1, 0.1, 0.9, 0.9), box(0.3, 0.3, 0.7, 0.7)[::-1, [2, 3, 0, 1]]])
    expected = np.minimum(box_field(0.1, 0.1, 0.9, 0.9), -box_field(0.3, 0.3, 0.7, 0.7))
    field = measure(ring, SIZE, FAR)

    assert field[SIZE // 2, SIZE // 2] < -0.19
    assert ((field > 0) == (expected > 0)).all()


@settings(max_examples=40, deadline=None)
@given(radii=st.lists(st.floats(0.05, 0.45), min_size=3, max_size=24), clockwise=st.booleans())
def test_windows_find_the_same_distance_as_looking_at_every_segment(radii: list[float], clockwise: bool) -> None:
    turn = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    star = polygon(*zip(0.5 + radii * np.cos(turn), 0.5 + radii * np.sin(turn), strict=True))
    if clockwise:
        star = star[::-1, [2, 3, 0, 1]]

    assert np.allclose(np.abs(measure(star, SIZE, 1 / 16)), np.minimum(brute_force(star), 1 / 16), atol=1e-9)


def test_a_glyph_without_outline_is_all_ground() -> None:
    nothing = np.zeros((0, 4))

    assert (measure(nothing, SIZE, 1 / 16) == -1 / 16).all()
    assert len(unite(nothing)) == len(flatten([])) == 0


@pytest.mark.parametrize("controls", [[(0.1, 0.1), (0.5, 0.9), (0.9, 0.1)], [(0, 0), (0, 0.55), (0.45, 1), (1, 1)]])
def test_chords_stay_within_the_tolerance_of_their_curve(controls: list[tuple[float, float]]) -> None:
    curve = np.array(controls, dtype=np.float64)
    segments = flatten([[curve]])
    points = [curve[:, None, :][place] for place in range(len(curve))]
    t = np.linspace(0, 1, 997)[:, None]
    while len(points) > 1:
        points = [a * (1 - t) + b * t for a, b in pairwise(points)]
    start, along = segments[:, :2], segments[:, 2:] - segments[:, :2]
    apart = points[0][:, None] - start
    near = np.clip((apart * along).sum(2) / (along**2).sum(1), 0, 1)
    error = np.linalg.norm(apart - near[..., None] * along, axis=2).min(1).max()

    assert 0 < error < TOLERANCE * 1.5
    assert 4 < len(segments) < 64
