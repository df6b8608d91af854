"""Ornaments on shapes that can be worked out by hand: what is taken away, what is added, and that nothing overlaps."""

from itertools import combinations

import numpy as np
import pytest

from core.monogram.composition import Drawing
from core.monogram.ornaments import AIR, CONTOUR, DEPTH, HATCH, INKED, INLINE, add_ornament
from core.monogram.outline import Outline, bounds, rasterise
from core.monogram.shapes import area, difference, grow, intersection, union
from core.monogram.terminals import find_ends
from core.monogram.weave import weave
from core.registry import Ornament
from tests.core.monogram.test_shapes import box, disc, ink

STEM = 0.1
ENDS = (Ornament.WEDGE, Ornament.BALL, Ornament.SPUR)
BAR, RING = box(0.2, 0.2, 0.3, 0.8), difference(disc(0.65, 0.5, 0.2), disc(0.65, 0.5, 0.1))
PLAIN = Drawing((BAR, RING), (STEM, STEM))
ACROSS, DOWN = box(0.1, 0.45, 0.9, 0.55), box(0.45, 0.1, 0.55, 0.9)


def parts(shape: Outline) -> int:
    return sum(area(contour) > 0 for contour in shape.contours)


def holes(shape: Outline) -> int:
    return sum(area(contour) < 0 for contour in shape.contours)


@pytest.mark.parametrize("ornament", list(Ornament))
def test_pieces_do_not_overlap_and_letters_stay_where_they_were(ornament: Ornament) -> None:
    drawn = add_ornament(PLAIN, ornament)

    assert all(ink(intersection(a, b)) < 1e-6 for a, b in combinations(drawn.pieces, 2))
    for letter, before in zip(drawn.letters, PLAIN.letters, strict=True):
        if ornament not in (*ENDS, Ornament.SPLIT):
            assert np.allclose(bounds([letter]), bounds([before]), atol=2e-3)
            assert not ink(difference(letter, before)) > 1e-5


def test_an_outline_leaves_contours_of_one_thickness() -> None:
    bar, ring = add_ornament(PLAIN, Ornament.OUTLINE).letters
    line = CONTOUR * STEM

    assert (parts(bar), holes(bar)) == (1, 1)
    assert ink(bar) == pytest.approx(0.06 - (0.1 - 2 * line) * (0.6 - 2 * line), abs=1e-5)
    assert (parts(ring), holes(ring)) == (2, 2)


def woven() -> Drawing:
    found = weave((ACROSS, DOWN), 0.02, 1, 0.0)
    assert found is not None
    return Drawing(found.letters, (STEM, STEM), whole=(ACROSS, DOWN), figures={"gap": 0.02})


def test_woven_contours_end_at_those_they_go_under() -> None:
    below, above = add_ornament(woven(), Ornament.OUTLINE).letters
    pixels = rasterise(union([below, above]), 400)

    assert ink(above) == pytest.approx(0.08 - (0.1 - 0.04) * (0.8 - 0.04), abs=1e-5)
    assert parts(below) == 2
    # Along the upper line of the letter below: up to the contour of the one above, nothing within it, and on.
    row = pixels[round(0.46 * 400)] > 127
    assert row[45:188].all()
    assert not row[190:211].any()
    assert row[213:355].all()


def test_an_inline_is_a_white_line_along_the_middle_of_stems() -> None:
    bar, _ = add_ornament(PLAIN, Ornament.INLINE).letters
    row = rasterise(bar, 1000)[500] > 127

    assert row.sum() == pytest.approx(1000 * STEM * (1 - INLINE), abs=2)
    assert not row[250]


def test_a_line_within_goes_on_under_what_crosses_it() -> None:
    below, _ = add_ornament(woven(), Ornament.INLINE).letters
    column = rasterise(below, 1000)[:, 425] > 127  # just before the cut

    assert not column[500]
    assert column[460]


def test_a_stencil_encloses_nothing() -> None:
    both = union([RING, box(0.2, 0.1, 0.3, 0.9)])
    drawn = add_ornament(Drawing((both,), (STEM,)), Ornament.STENCIL)

    assert holes(both) == 1
    assert holes(drawn.letters[0]) == 0
    assert add_ornament(Drawing((BAR,), (STEM,)), Ornament.STENCIL).letters == (BAR,)


def test_a_shadow_is_hatched_and_keeps_off_the_letters() -> None:
    (shadow,) = add_ornament(Drawing((BAR,), (STEM,)), Ornament.SHADE).shadows
    low, high = bounds([shadow])
    depth = DEPTH * STEM
    swept = 0.06 + depth * (0.1 + 0.6)  # the bar, and what its lower right corner passes over
    air = AIR * STEM

    assert low[0] >= 0.2
    assert high[0] == pytest.approx(0.3 + depth, abs=1e-4)
    assert high[1] <= 0.8 + depth + 1e-6
    shade = swept - 0.06 - air * (0.6 + 0.1 - 2 * air)
    assert ink(shadow) == pytest.approx(shade * INKED, rel=0.15)
    assert parts(shadow) == pytest.approx((0.6 + depth) / (HATCH * STEM), abs=3)


@pytest.mark.parametrize("ornament", ENDS)
def test_blunt_ends_are_finished_and_round_strokes_have_none(ornament: Ornament) -> None:
    bar, ring = add_ornament(PLAIN, ornament).letters

    assert len(find_ends(BAR, STEM)) == 2
    assert find_ends(RING, STEM) == []
    assert ring == RING
    assert ink(difference(BAR, bar)) < 1e-5
    assert ink(bar) > ink(BAR) + 0.002
    assert parts(bar) == 1


def test_a_ball_is_round_and_hides_the_end() -> None:
    bar = add_ornament(PLAIN, Ornament.BALL).letters[0]
    low, high = bounds([bar])

    assert high[0] - low[0] == pytest.approx(2 * 0.85 * STEM, abs=1e-3)
    assert (low[1], high[1]) == pytest.approx((0.2 + 0.045 - 0.085, 0.8 - 0.045 + 0.085), abs=1e-3)


def test_finished_ends_keep_the_gap_from_other_letters() -> None:
    near = box(0.34, 0.1, 0.4, 0.9)
    bar, other = add_ornament(Drawing((BAR, near), (STEM, STEM), figures={"gap": 0.03}), Ornament.WEDGE).letters

    assert ink(bar) > ink(BAR)
    assert not intersection(grow(bar, 0.028), other).contours


def test_an_end_that_is_not_seen_is_not_finished() -> None:
    cut = difference(BAR, box(0.1, 0.6, 0.4, 0.9))
    bar = add_ornament(Drawing((cut,), (STEM,), whole=(BAR,)), Ornament.BALL).letters[0]

    assert bounds([bar])[1][1] < 0.61


def test_a_split_leaves_room_between_two_lines() -> None:
    drawn = add_ornament(PLAIN, Ornament.SPLIT)
    room = intersection(union(drawn.letters), box(0.0, 0.38, 1.0, 0.62))

    assert not room.contours
    assert len(drawn.frames) == 2
    assert [parts(letter) for letter in drawn.letters] == [2, 2]
    assert bounds(drawn.frames)[0][0] == pytest.approx(bounds(drawn.letters)[0][0])
