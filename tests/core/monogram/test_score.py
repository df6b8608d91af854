"""One number for how good a variant looks: each fault costs, and a plain row never beats a weave that was asked for."""

import numpy as np
import pytest

from core.monogram.composition import Drawing
from core.monogram.render import render
from core.monogram.score import score
from tests.core.monogram.test_shapes import box

LEFT, RIGHT = box(0.2, 0.2, 0.3, 0.8), box(0.7, 0.2, 0.8, 0.8)


def drawing(*, stems: tuple[float, ...] = (0.1, 0.1), **figures: float) -> Drawing:
    return Drawing((LEFT, RIGHT), stems, figures=figures)


PIXELS = render(drawing().pieces, 64)


def test_what_is_even_balanced_and_legible_is_worth_1() -> None:
    found = score(drawing(), PIXELS, [1.0])

    assert (found.evenness, found.balance, found.weave, found.total) == (1.0, 1.0, 1.0, 1.0)


def test_what_nobody_read_is_not_held_against_it() -> None:
    assert score(drawing(), PIXELS, None).total == 1.0
    assert score(drawing(), PIXELS, [0.9, 0.5]).total == pytest.approx(0.5)


def test_uneven_stems_cost_evenness_and_one_that_was_not_measured_costs_nothing() -> None:
    assert score(drawing(stems=(0.09, 0.11)), PIXELS, [1.0]).evenness == pytest.approx(0.6)
    assert score(drawing(stems=(0.1, float("nan"))), PIXELS, [1.0]).evenness == 1.0


def test_ink_beside_the_middle_costs_balance() -> None:
    moved = np.roll(PIXELS, 4, axis=1)

    assert score(drawing(), moved, [1.0]).balance == pytest.approx(1 - 4 / 64 / 0.12, abs=1e-3)


def test_a_weave_that_does_not_alternate_is_worth_less_and_a_plain_row_instead_of_one_the_least() -> None:
    woven, flat = (score(drawing(alternation=turns), PIXELS, [1.0]) for turns in (1.0, 0.0))
    instead = score(drawing(), PIXELS, [1.0], as_asked=False)

    worst = score(drawing(alternation=0.0, stroke=0.0), PIXELS, [0.01], 0.0)

    assert woven.total > flat.total > worst.total >= instead.total > 0


def test_a_band_whose_letters_share_masts_is_worth_more() -> None:
    apart, joined = (score(drawing(shared=3 * share, joined=share), PIXELS, [1.0]).total for share in (0.0, 1.0))

    assert joined > apart


def test_a_hairline_that_cannot_be_made_costs_and_a_stroke_that_can_does_not() -> None:
    thin, enough, thick = (score(drawing(stroke=share * 0.024), PIXELS, [1.0]) for share in (0.5, 1.0, 2.0))

    assert (thin.sturdiness, enough.sturdiness, thick.sturdiness) == (0.5, 1.0, 1.0)
    assert thin.total < enough.total == thick.total


def test_a_new_style_is_worth_more_than_a_known_one() -> None:
    assert score(drawing(), PIXELS, [1.0], 0.9).total > score(drawing(), PIXELS, [1.0], 0.3).total


def test_the_set_is_read_where_each_letter_is() -> None:
    found = score(drawing(), PIXELS, [0.9, 0.5])

    assert found.set == pytest.approx(0.45)
    assert score(drawing(), PIXELS, None).set is None
