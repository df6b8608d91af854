"""Letters of one style: what belongs together varies little, what is mixed varies more, each trait by itself."""

import numpy as np
import pytest

from core.alphabet import LETTERS
from core.monogram.strokes import Strokes, measure
from core.training.metrics.consistency import compare, learn_usual, part, spread
from tests.core.training.metrics.specimens import draw, letter_h

COUNT = len(LETTERS)
LABELS = np.tile(np.arange(COUNT), 4)
STYLES = np.repeat(np.arange(4), COUNT)
SIGN = np.random.default_rng(0).uniform(0.9, 1.1, COUNT)  # what is usual of each sign


def make_strokes(noise: tuple[float, float, float] = (0.02, 0.02, 0.02), seed: int = 1) -> Strokes:
    rng = np.random.default_rng(seed)
    swing = rng.normal(size=(3, len(LABELS))) * np.array(noise)[:, None]
    stem = (0.05 + 0.02 * STYLES) * np.tile(SIGN, 4) * (1 + swing[0])
    return Strokes(stem, 0.1 * STYLES + swing[1], np.tile(SIGN, 4) * (0.6 + 0.1 * STYLES) * (1 + swing[2]))


def test_the_spread_is_the_coefficient_of_variation_once_what_is_usual_of_a_sign_is_taken_off() -> None:
    strokes = make_strokes()
    usual = learn_usual(strokes, LABELS, STYLES)
    found = spread(make_strokes(seed=2), LABELS, STYLES, usual)

    assert found.shape == (4, 3)
    assert found == pytest.approx(np.full((4, 3), 0.0235), rel=0.3)


@pytest.mark.parametrize("trait", [0, 1, 2])
def test_a_trait_that_wanders_moves_its_own_figure_and_no_other(trait: int) -> None:
    usual = learn_usual(make_strokes(), LABELS, STYLES)
    noise = [0.02, 0.02, 0.02]
    noise[trait] = 0.1
    found = spread(make_strokes(tuple(noise), seed=2), LABELS, STYLES, usual).mean(axis=0)

    assert found[trait] > 3 * np.delete(found, trait).max()


def test_letters_of_other_fonts_in_one_style_are_less_consistent_than_real_fonts() -> None:
    strokes = make_strokes()
    usual = learn_usual(strokes, LABELS, STYLES)
    real = spread(strokes, LABELS, STYLES, usual)
    order = np.random.default_rng(3).permuted(np.arange(4)[:, None].repeat(COUNT, 1), axis=0).ravel()

    assert compare(real, real) == pytest.approx(1)
    assert compare(spread(strokes, LABELS, order, usual), real) > 3


def test_scripts_that_differ_in_weight_part_in_stem_alone() -> None:
    strokes = make_strokes()
    usual = learn_usual(strokes, LABELS, STYLES)
    bold = np.where((LABELS >= 26) & (LABELS < 59), 1.3, 1.0)
    found = part(Strokes(strokes.stem * bold, strokes.slant, strokes.contrast), LABELS, STYLES, usual).mean(axis=0)

    assert found[0] == pytest.approx(2 * 0.3 / 2.3, rel=0.1)
    assert found[1:].max() < 0.02


def test_a_style_of_few_letters_has_no_spread() -> None:
    strokes = make_strokes()
    usual = learn_usual(strokes, LABELS, STYLES)
    few = np.flatnonzero((STYLES != 2) | (LABELS < 4))
    thinned = Strokes(strokes.stem[few], strokes.slant[few], strokes.contrast[few])

    assert np.isnan(spread(thinned, LABELS[few], STYLES[few], usual)).all(axis=1).tolist() == [
        False,
        False,
        True,
        False,
    ]


def test_a_broken_hairline_and_a_blur_leave_the_stem_as_it_is() -> None:
    whole = draw(letter_h(bar=0.03))
    broken = whole.clone()
    broken[0, 0, :, 62:66] = -1 / 16

    assert measure(broken).stem == pytest.approx(measure(whole).stem, rel=0.01)
