"""Strokes of letters drawn from formulas are measured as they were drawn."""

import numpy as np
import pytest
import torch

from core.monogram.strokes import measure, thinnest
from core.training.datasets.archive import CLAMP
from tests.core.training.metrics.specimens import box, draw, letter_h, ring


@pytest.mark.parametrize("slant", [-0.1, 0.0, 0.25])
@pytest.mark.parametrize("size", [64, 128])
def test_stem_slant_and_contrast_are_those_that_were_drawn(slant: float, size: int) -> None:
    found = measure(draw(letter_h(stem=0.08, bar=0.05, slant=slant), size=size))

    assert found.stem[0] == pytest.approx(0.08 * np.cos(slant), rel=0.03)
    assert found.slant[0] == pytest.approx(slant, abs=0.01)
    assert found.contrast[0] == pytest.approx(0.05 / (0.08 * np.cos(slant)), rel=0.06)


def test_a_ring_is_upright_and_without_contrast() -> None:
    found = measure(draw(ring(0.2, 0.07)))

    assert found.stem[0] == pytest.approx(0.07, rel=0.05)
    assert found.slant[0] == pytest.approx(0, abs=0.01)
    assert found.contrast[0] == pytest.approx(1, abs=0.03)


def test_a_run_along_a_stroke_is_no_stroke() -> None:
    found = measure(draw(box(0.45, 0.24, 0.55, 0.76), box(0.3, 0.45, 0.7, 0.5)))

    assert found.stem[0] == pytest.approx(0.1, rel=0.02)
    assert np.isnan(found.contrast).all()  # a post has no level stroke, a plank no upright one
    assert np.isnan(found.stem[1])


def test_bolder_is_a_thicker_stem_and_no_other_slant() -> None:
    plain, bold = (measure(draw(letter_h(slant=0.1)) + more) for more in (0.0, 0.01))

    assert bold.stem[0] - plain.stem[0] == pytest.approx(0.02, rel=0.05)
    assert bold.slant[0] == pytest.approx(plain.slant[0], abs=0.01)


def test_ink_up_to_the_border_and_no_ink_are_measured_without_error() -> None:
    found = measure(torch.stack([torch.full((1, 64, 64), value) for value in (CLAMP, -CLAMP)]))

    assert np.isnan(found.stem).all()
    assert len(measure(torch.zeros(0, 1, 64, 64)).stem) == 0


@pytest.mark.parametrize("slant", [0.0, 0.25])
def test_the_thinnest_stroke_is_the_hairline(slant: float) -> None:
    hair, even = thinnest(torch.cat([draw(letter_h(stem=0.1, bar=bar, slant=slant), size=128) for bar in (0.03, 0.1)]))

    assert hair == pytest.approx(0.03, abs=0.55 / 128)
    assert even == pytest.approx(0.1, abs=0.55 / 128)


def test_a_hairline_is_found_beside_stems_that_fields_do_not_fathom() -> None:
    field = draw(letter_h(stem=0.15, bar=0.03), size=128).clamp(-1 / 16, 1 / 16)

    assert thinnest(field)[0] == pytest.approx(0.03, abs=0.55 / 128)


def test_without_ink_there_is_no_thinnest_stroke() -> None:
    assert np.isnan(thinnest(torch.full((2, 1, 32, 32), -1.0))).all()
