"""What the eye weighs: measured on shapes whose edges are known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from core.monogram.field import sample, union
from core.monogram.optics import FAR, LEAST_MARGIN, MARGIN, UNIT, Glyphs, fit, measure, transform

Shape = Callable[..., Tensor]
STILL = torch.zeros(1, 1, dtype=torch.float64)


def glyphs(*shapes: Tensor, rotation: float = 0, stretch: float = 0, shear: float = 0) -> Glyphs:
    """One variant whose letters are these shapes."""
    row = torch.ones(1, len(shapes), dtype=torch.float64)
    turns = transform(rotation * row, stretch * row, shear * row)
    return Glyphs.measured(torch.stack(shapes)[None], torch.ones(1, len(shapes), dtype=torch.bool), turns)


def extent(letter: Glyphs, size: int = 256) -> tuple[float, float, float, float]:
    """Place one letter alone and return left, top, right, bottom of its ink on the canvas."""
    matrix = fit(letter, measure(letter), torch.zeros(1, 1, 2, dtype=torch.int64))
    ink = sample(letter.field, matrix[:, 0], size)[0, 0] > 0
    rows, columns = ink.any(1).nonzero(), ink.any(0).nonzero()
    edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    left, top, right, bottom = (float(edge) / size for edge in edges)
    return left, top, right, bottom


def test_turning_is_counter_clockwise_and_leaning_is_to_the_right() -> None:
    east, north = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, -1.0]).double()
    quarter = transform(STILL + 90, STILL, STILL)[0, 0]
    italic = transform(STILL, STILL, STILL + 0.2)[0, 0]
    wide = transform(STILL, STILL + 0.1, STILL)[0, 0]

    assert torch.allclose(quarter @ east, north)
    assert torch.allclose(italic @ north, torch.tensor([0.2, -1.0]).double())
    assert torch.allclose(wide @ (east + north), torch.tensor([1.1, -1.0]).double())


def test_edges_are_measured_finer_than_a_cell(box: Shape) -> None:
    for left, right in ((0.301, 0.702), (0.305, 0.697), (0.309, 0.691)):
        found = measure(glyphs(box(left, 0.24, right, 0.76)))
        rows = found.left[0, 0] < FAR / 2

        assert (found.left[0, 0][rows].median() / UNIT).item() == pytest.approx(left - 0.5, abs=0.001)
        assert (found.right[0, 0][rows].median() / UNIT).item() == pytest.approx(right - 0.5, abs=0.001)
        assert found.top.item() / UNIT == pytest.approx(-0.26, abs=0.001)
        assert found.bottom.item() / UNIT == pytest.approx(0.26, abs=0.001)


def test_a_letter_without_ink_reaches_nowhere() -> None:
    found = measure(glyphs(torch.full((112, 112), -1.0)))

    assert found.left.min() > FAR / 2
    assert found.right.max() < -FAR / 2
    assert found.mass.item() == 0


def test_a_letter_fills_the_canvas_up_to_the_margin(box: Shape) -> None:
    left, top, right, bottom = extent(glyphs(box(0.4, 0.24, 0.55, 0.76)))

    assert bottom - top == pytest.approx(1 - 2 * MARGIN, abs=0.01)
    assert right - left == pytest.approx((1 - 2 * MARGIN) * 0.15 / 0.52, abs=0.01)
    assert (left + right) / 2 == pytest.approx(0.5, abs=0.01)
    assert (top + bottom) / 2 == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("rotation", "stretch", "shear"), [(30, 0.12, 0.3), (-30, -0.12, -0.3), (2, 0.1, 0.16)])
def test_a_transformed_letter_stays_on_the_canvas(box: Shape, rotation: float, stretch: float, shear: float) -> None:
    widest = glyphs(box(0.04, 0.04, 0.96, 0.96), rotation=rotation, stretch=stretch, shear=shear)
    left, top, right, bottom = extent(widest)

    assert max(right - left, bottom - top) == pytest.approx(1 - 2 * MARGIN, abs=0.02)
    assert min(left, top) > LEAST_MARGIN - 0.02
    assert max(right, bottom) < 1 - LEAST_MARGIN + 0.02


def test_the_centre_lies_between_the_box_and_the_weight(box: Shape) -> None:
    """An L is heavy on the left, so its box moves right; half as far as its centroid lies off."""
    letter = union(box(0.3, 0.24, 0.4, 0.76), box(0.3, 0.66, 0.6, 0.76))
    left, _, right, _ = extent(glyphs(letter))
    scale = (1 - 2 * MARGIN) / 0.52
    centroid = (0.052 * 0.35 + 0.02 * 0.5) / 0.072

    assert (left + right) / 2 - 0.5 == pytest.approx((0.45 - centroid) / 2 * scale, abs=0.01)


def test_optical_centring_never_eats_the_margin(box: Shape) -> None:
    """A flag: a heavy block at one end of a hairline as long as the canvas."""
    letter = union(box(0.05, 0.48, 0.95, 0.52), box(0.05, 0.3, 0.2, 0.7))
    left, _, right, _ = extent(glyphs(letter))

    assert left > LEAST_MARGIN - 0.01
    assert right < 1 - LEAST_MARGIN + 0.01


def test_a_letter_is_placed_alike_at_any_size_and_among_any_neighbours(box: Shape, disc: Shape) -> None:
    shapes = torch.stack([box(0.3, 0.24, 0.5, 0.76), disc(), box(0.2, 0.2, 0.9, 0.9)])[:, None]
    turns = transform(torch.zeros(3, 1).double(), torch.zeros(3, 1).double(), torch.zeros(3, 1).double())
    together = Glyphs.measured(shapes, torch.ones(3, 1, dtype=torch.bool), turns)
    alone = Glyphs.measured(shapes[1:2], torch.ones(1, 1, dtype=torch.bool), turns[1:2])
    shift = torch.zeros(3, 1, 2, dtype=torch.int64)

    assert torch.equal(fit(together, measure(together), shift)[1:2], fit(alone, measure(alone), shift[:1]))
    assert math.isclose(fit(alone, measure(alone), shift[:1])[0, 0, 0, 0].item(), 0.5 / (1 - 2 * MARGIN), rel_tol=0.01)
