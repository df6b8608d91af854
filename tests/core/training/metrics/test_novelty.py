"""A style's nearest font, and what counts as new."""

import numpy as np
import pytest

from core.training.metrics.novelty import Masks, overlaps, share_new, shrink
from tests.core.training.metrics.specimens import box, draw, invent, labels_of

LABELS = labels_of()


def collect(*fonts: list[np.ndarray]) -> Masks:
    small = np.concatenate([shrink(draw(*font)) for font in fonts])
    styles = np.repeat(np.arange(len(fonts)), len(LABELS))
    return Masks.collect((small > 0).reshape(len(small), -1), np.tile(LABELS, len(fonts)), styles, len(fonts))


def test_a_copied_font_overlaps_wholly_and_strangers_do_not() -> None:
    fonts = [invent(seed) for seed in range(4)]
    found = overlaps(collect(fonts[2], invent(50)), collect(*fonts))

    assert found[0].argmax() == 2
    assert found[0, 2] == 1
    assert found[1].max() < 0.84


def test_only_letters_that_both_have_are_compared() -> None:
    one = Masks.collect(np.array([[True, True, False]]), np.array([3]), np.array([0]), 1)
    other = Masks.collect(np.array([[True, False, False], [True, True, True]]), np.array([3, 4]), np.array([0, 0]), 2)

    assert overlaps(one, other).tolist() == [[0.5, 0.0]]


def test_a_style_is_new_if_far_and_legible_and_consistent() -> None:
    nearest = np.array([0.84, 0.85, 0.5, 0.5])
    yes, no = np.array([True, True, False, True]), np.array([True, True, True, False])

    assert share_new(nearest, yes, no) == 0.25
    assert share_new(nearest, np.ones(4, dtype=bool), np.ones(4, dtype=bool)) == 0.75


def test_fields_of_every_size_shrink_to_the_same_bytes() -> None:
    sizes = [shrink(draw(box(0.3, 0.25, 0.62, 0.74), size=size)).astype(int) for size in (64, 128)]

    assert np.abs(sizes[0] - sizes[1]).max() <= 8
    assert np.abs(sizes[0]).max() == 127
    assert shrink(draw(box(0.3, 0.25, 0.62, 0.74), size=28)).shape == (1, 64, 64)
    assert ((sizes[0] > 0) != (shrink(draw(box(0.3, 0.25, 0.62, 0.74), size=28)) > 0)).mean() == pytest.approx(
        0, abs=0.01
    )
