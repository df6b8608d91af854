"""Edges: known curves have known figures; wobble and blur each move their own."""

import numpy as np
import pytest
import torch

from core.alphabet import CAP_HEIGHT
from core.training.datasets.archive import CLAMP
from core.training.metrics import edges
from core.training.metrics.edges import (
    chain,
    compare,
    find_contours,
    measure_contours,
    measure_fields,
    measure_outlines,
)
from tests.core.training.metrics.specimens import blur, box, draw, hole, letter_h, ring


def test_a_parabola_leaves_no_residual_and_a_wave_its_own() -> None:
    x = np.linspace(0.2, 0.8, 4001)
    wave = 0.001 * np.sin(2 * np.pi * x / 0.02)
    flat, wavy = (np.stack([np.r_[x, x[::-1]], np.r_[0.4 + y, 0.6 + 0 * x]], axis=1) for y in (0 * x, wave))
    one_side = np.stack([np.r_[x, x[::-1]], np.r_[0.4 + wave, 0.6 - wave[::-1]]], axis=1)

    assert measure_contours([flat])[0] < 1e-9
    assert measure_contours([one_side])[0] == pytest.approx(0.001 / 2**0.5, rel=0.15)
    assert measure_contours([flat])[0] < measure_contours([wavy])[0] < measure_contours([one_side])[0]


def test_a_square_corner_turns_by_a_right_angle_within_one_percent_of_the_cap_height() -> None:
    square = measure_outlines([box(0.2, 0.2, 0.8, 0.8)])
    circle = measure_outlines([ring(0.25, 0.1)])

    assert square.corner[0] == pytest.approx(np.pi / 2, rel=0.01)
    assert circle.corner[0] == pytest.approx(CAP_HEIGHT / 100 / 0.15, rel=0.05)  # its inner contour's curvature


def test_weight_is_about_the_stroke() -> None:
    assert measure_outlines([ring(0.25, 0.08)]).weight[0] == pytest.approx(0.08, rel=0.01)
    assert measure_fields(draw(ring(0.25, 0.08))).weight[0] == pytest.approx(0.08, rel=0.01)


def test_a_ring_never_changes_the_sign_of_its_curvature_and_a_wave_does_at_each_half() -> None:
    still, wavy = measure_outlines([ring(0.25, 0.1), ring(0.25, 0.1, waves=0.01, count=10)]).flips
    length = 2 * np.pi * 0.4  # of both contours, about

    assert still == 0
    assert wavy == pytest.approx(20 * CAP_HEIGHT / length, rel=0.1)


def test_a_wobbled_contour_raises_the_residual_and_no_corner_falls() -> None:
    smooth, wobbled = measure_fields(draw(ring(0.22, 0.08), ring(0.22, 0.08, waves=0.002, count=48))).residual

    assert wobbled > 5 * smooth


def test_a_blurred_letter_loses_its_corners_and_gains_no_roughness() -> None:
    sharp, soft = (measure_fields(field) for field in (draw(letter_h()), blur(draw(letter_h()))))

    assert soft.corner[0] < 0.7 * sharp.corner[0]
    assert soft.residual[0] < 1e-4


def test_an_exact_field_has_the_contour_of_its_outline() -> None:
    own, drawn = measure_outlines([ring(0.22, 0.08)]), measure_fields(draw(ring(0.22, 0.08)))

    assert drawn.residual[0] == pytest.approx(own.residual[0], abs=1e-5)
    assert drawn.flips[0] == own.flips[0] == 0


def test_a_straight_edge_of_any_slant_is_drawn_straight() -> None:
    # What torch draws as bicubic by default ripples by a twentieth of a cell here.
    place = (torch.arange(128) + 0.5) / 128 - 0.5
    field = (0.1 - (0.28 * place[:, None] + 0.96 * place).abs())[None, None].clamp(-CLAMP, CLAMP)
    (contour, *_) = find_contours(edges._draw(field)[0])
    away = np.abs((contour - 0.5) @ [0.96, 0.28])
    middle = np.abs(contour[:, 1] - 0.5) < 0.3

    assert np.abs(away[middle] - 0.1).max() < 2e-5


def test_overlapping_contours_are_chained_into_the_outline_of_their_union() -> None:
    cross = np.concatenate([box(0.2, 0.45, 0.8, 0.55), box(0.45, 0.2, 0.55, 0.8)])
    (outline,) = chain(cross)
    frame = chain(np.concatenate([box(0.2, 0.2, 0.8, 0.8), hole(box(0.3, 0.3, 0.7, 0.7))]))

    assert len(outline) == 12
    assert sorted(len(contour) for contour in frame) == [4, 4]


def test_a_ratio_compares_letters_of_one_sign_and_weight() -> None:
    rng = np.random.default_rng(1)
    weight = np.tile(np.geomspace(0.02, 0.12, 40), 2)
    labels = np.repeat([0, 1], 40)
    value = weight * np.where(labels == 1, 10, 1)
    real = edges.Edges(value, value, value, weight)
    bold = np.flatnonzero(weight > 0.08)
    drawn = edges.Edges(*(np.repeat(column, 3) for column in (value[bold], value[bold], value[bold], weight[bold])))
    order = rng.permutation(len(drawn.weight))

    assert compare(drawn.residual, drawn, np.repeat(labels[bold], 3), value, real, labels) == pytest.approx(1, rel=0.05)
    assert compare(2 * drawn.residual, drawn, np.repeat(labels[bold], 3), value, real, labels) > 1.9
    assert np.isnan(compare(drawn.residual[order], drawn, np.full(len(order), 7), value, real, labels))


def test_a_letter_without_ink_has_no_figures() -> None:
    found = measure_fields(torch.full((1, 1, 64, 64), -CLAMP))

    assert np.isnan([found.residual, found.flips, found.corner, found.weight]).all()
