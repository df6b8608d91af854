"""Parts and holes: counted right, and only what breaks or fills up moves them."""

import numpy as np
import torch

from core.training.datasets.archive import CLAMP
from core.training.metrics.parts import agree, count, find_common
from tests.core.training.metrics.specimens import blur, box, draw, hole, letter_h, ring


def test_parts_and_holes_are_counted() -> None:
    dots = np.concatenate([box(0.3, 0.3, 0.4, 0.4), box(0.6, 0.3, 0.7, 0.4), box(0.3, 0.6, 0.7, 0.7)])
    eight = np.concatenate([box(0.3, 0.24, 0.7, 0.76), hole(box(0.4, 0.3, 0.6, 0.45)), hole(box(0.4, 0.55, 0.6, 0.7))])

    assert count(draw(letter_h(), ring(0.2, 0.06), dots, eight)).tolist() == [[1, 0], [1, 1], [3, 0], [1, 2]]


def test_diagonal_cells_are_one_part_of_ink_and_two_of_ground() -> None:
    field = torch.full((2, 1, 256, 256), -CLAMP)
    field[0, 0, 60:100, 60:100] = field[0, 0, 100:140, 100:140] = CLAMP
    field[1, 0, 60:200, 60:200] = CLAMP
    field[1, 0, 80:100, 80:100] = field[1, 0, 100:120, 100:120] = -CLAMP

    assert count(field).tolist() == [[1, 0], [1, 2]]


def test_a_speck_below_half_a_percent_of_the_ink_does_not_count_and_one_above_does() -> None:
    field = torch.full((2, 1, 256, 256), -CLAMP)
    field[:, 0, 100:200, 100:200] = CLAMP  # 10,000 cells
    field[0, 0, 20:27, 20:27] = CLAMP  # 49
    field[1, 0, 20:28, 20:28] = CLAMP  # 64

    assert count(field).tolist() == [[1, 0], [2, 0]]


def test_a_broken_hairline_is_a_part_more_and_a_filled_counter_a_hole_less() -> None:
    hairline = letter_h(bar=0.03)
    whole, thin_ring = draw(hairline), draw(ring(0.2, 0.15))
    broken = whole - 0.017
    filled = thin_ring + 0.055

    assert count(torch.cat([whole, broken])).tolist() == [[1, 0], [2, 0]]
    assert count(torch.cat([thin_ring, filled])).tolist() == [[1, 1], [1, 0]]


def test_a_blurred_letter_and_a_wobbling_contour_have_the_parts_they_had() -> None:
    assert count(blur(draw(letter_h()), 3)).tolist() == [[1, 0]]
    assert count(draw(ring(0.2, 0.08, waves=0.004))).tolist() == [[1, 1]]


def test_what_fewer_than_one_real_letter_in_twenty_has_is_not_common() -> None:
    pairs = np.array([[1, 1]] * 95 + [[1, 0]] * 5 + [[2, 1]] * 4 + [[1, 0]])
    labels = np.array([14] * 104 + [8])
    common = find_common(pairs, labels)

    assert common == {14: {(1, 1)}, 8: {(1, 0)}}
    assert find_common(pairs[:100], labels[:100]) == {14: {(1, 1), (1, 0)}}
    assert agree(np.array([[1, 1], [2, 1], [1, 0], [1, 0]]), np.array([14, 14, 8, 3]), common).tolist() == [
        True, False, True, False,
    ]  # fmt: skip


def test_no_letters_have_no_parts() -> None:
    assert count(torch.zeros(0, 1, 64, 64)).shape == (0, 2)
    assert count(torch.full((1, 1, 64, 64), -CLAMP)).tolist() == [[0, 0]]
