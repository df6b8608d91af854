"""Redrawn letters beside the letters they were drawn after."""

import pytest
import torch

from core.training.datasets.archive import CLAMP
from core.training.metrics.reconstruction import overlap, same_parts
from tests.core.training.metrics.specimens import blur, box, draw, letter_h, ring


def test_overlap_is_intersection_over_union_at_any_two_sizes() -> None:
    left, right = box(0.2, 0.2, 0.6, 0.6), box(0.4, 0.2, 0.8, 0.6)
    found = overlap(torch.cat([draw(left, size=64)] * 2), draw(left, right))

    assert found[0] > 0.99
    assert found[1] == pytest.approx(1 / 3, abs=0.01)


def test_two_letters_without_ink_are_alike() -> None:
    none = torch.full((1, 1, 64, 64), -CLAMP)

    assert overlap(none, none).tolist() == [1.0]
    assert overlap(none, draw(ring(0.2, 0.1))).tolist() == [0.0]


def test_a_broken_hairline_is_other_parts_at_the_same_overlap_and_a_blur_the_reverse() -> None:
    true = draw(letter_h(bar=0.03))
    broken, blurred = true.clone(), blur(true, 2)
    broken[0, 0, :, 64] = -CLAMP  # a gap that costs less ink than the rounding of all corners
    cut, soft = overlap(torch.cat([broken, blurred]), torch.cat([true, true]))

    assert same_parts(torch.cat([broken, blurred]), torch.cat([true, true])).tolist() == [False, True]
    assert cut > 0.985 > soft
