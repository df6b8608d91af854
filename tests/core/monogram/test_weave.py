"""Crossings told from what only looks like one, and strokes that go over and under in turn."""

import numpy as np
import pytest
from scipy import ndimage

from core.monogram.crossings import judge
from core.monogram.outline import Outline, rasterise
from core.monogram.shapes import area, intersection, union
from core.monogram.weave import Woven, weave
from tests.core.monogram.test_shapes import box

ACROSS, DOWN = box(0.1, 0.45, 0.9, 0.55), box(0.45, 0.1, 0.55, 0.9)
# A letter of two masts and one of two bars: four crossings, each next to two others.
MASTS = union([box(0.25, 0.1, 0.35, 0.9), box(0.65, 0.1, 0.75, 0.9), box(0.25, 0.1, 0.75, 0.16)])
BARS = union([box(0.1, 0.35, 0.9, 0.43), box(0.1, 0.65, 0.9, 0.73), box(0.84, 0.35, 0.9, 0.73)])


def field(*letters: Outline, cells: int = 64) -> np.ndarray:
    cover = np.stack([rasterise(letter, cells) for letter in letters]).astype(np.float32) / 255
    return (cover - np.float32(0.5))[None]


@pytest.mark.parametrize(
    ("letters", "clean"),
    [
        ((ACROSS, DOWN), True),
        ((ACROSS, box(0.45, 0.1, 0.55, 0.57)), False),  # a tip
        ((ACROSS, box(0.45, 0.1, 0.55, 0.5)), False),  # a joint
        ((ACROSS, box(0.1, 0.5, 0.9, 0.6)), False),  # parallel stems
        ((ACROSS, ACROSS), False),  # a shared stem: bands have them, weaves do not
        ((ACROSS, box(0.1, 0.54, 0.9, 0.64)), False),  # a sliver
        ((ACROSS, box(0.1, 0.56, 0.9, 0.66)), False),  # near, without touching
        ((ACROSS, box(0.1, 0.7, 0.9, 0.8)), False),  # nothing touches: nothing is woven
        ((MASTS, BARS), True),
        ((ACROSS, DOWN, box(0.4, 0.4, 0.6, 0.6)), False),  # three at one place
    ],
)
def test_a_crossing_is_told_from_other_overlaps(letters: tuple[Outline, ...], clean: bool) -> None:
    assert judge(field(*letters)).clean.tolist() == [clean]
    assert (weave(letters, 0.02, 0, 0.0) is not None) == clean


def test_two_crossings_too_near_each_other_are_none() -> None:
    close = union([box(0.4, 0.1, 0.46, 0.9), box(0.5, 0.1, 0.56, 0.9), box(0.4, 0.1, 0.56, 0.16)])

    assert not judge(field(ACROSS, close)).clean[0]


def test_verdicts_count_what_is_covered_and_how_square_it_is() -> None:
    def deep(*letters: Outline) -> np.ndarray:
        ink = field(*letters) > 0
        return np.where(ink, np.stack([[ndimage.distance_transform_edt(each) for each in ink[0]]]) - 0.5, -1)

    square = judge(deep(ACROSS, DOWN))
    slanted = Outline(tuple(contour @ np.array([[1.0, 0.0], [1.6, 1.0]]) - [0.8, 0.0] for contour in DOWN.contours))

    assert square.overlaps.tolist() == [1]
    assert square.covered[0] == pytest.approx(100 / 8, abs=3)
    assert square.square[0] > judge(deep(ACROSS, slanted)).square[0]


def woven(letters: tuple[Outline, ...], gap: float = 0.02, top: int = 1, lot: float = 0.0) -> Woven:
    found = weave(letters, gap, top, lot)
    assert found is not None
    return found


def test_over_and_under_take_turns_along_both_letters() -> None:
    found = woven((MASTS, BARS))
    over = [rasterise(found.letters[0], 100)[row, column] > 127 for row in (39, 69) for column in (30, 70)]

    assert found.crossings == 4
    assert found.alternation == 1.0
    assert over in ([True, False, False, True], [False, True, True, False])


def test_an_end_that_would_stand_alone_as_a_speck_is_left_out_and_a_dot_stays() -> None:
    dot = box(0.2, 0.2, 0.28, 0.28)
    short = Outline((*box(0.1, 0.45, 0.63, 0.55).contours, *dot.contours))  # ends a little beyond the crossing
    both_short = box(0.45, 0.1, 0.55, 0.63)
    kept = weave((short, both_short), 0.02, 1, 0.0)
    dropped = weave((short, both_short), 0.02, 1, 0.0, stub=0.008)
    assert kept is not None
    assert dropped is not None

    assert [len(found.letters[0].contours) for found in (kept, dropped)] == [3, 2]
    assert any(abs(area(contour) - 0.08**2) < 1e-5 for contour in dropped.letters[0].contours)
    assert dropped.visible[0] < kept.visible[0]


def test_an_end_goes_over_rather_than_be_left_out() -> None:
    short = box(0.1, 0.45, 0.63, 0.55)
    found = weave((short, DOWN), 0.02, 1, 0.0, stub=0.008)
    assert found is not None

    assert found.visible[0] == 1.0
    assert len(found.letters[1].contours) == 2


def test_the_letter_on_top_is_over_where_turns_do_not_decide() -> None:
    for top in (0, 1):
        found = woven((ACROSS, DOWN), top=top)
        assert found.letters[top] == (ACROSS, DOWN)[top]
        assert found.visible[top] == 1.0


def test_another_way_is_taken_where_too_little_of_a_letter_would_be_left() -> None:
    short = box(0.45, 0.3, 0.55, 0.7)  # a third of it would go under
    rest = [weave((ACROSS, short), 0.02, 0, 0.0, least=least) for least in (0.0, 0.8, 0.99)]

    assert [found and found.visible[1] == 1.0 for found in rest] == [False, True, None]


def test_the_lot_chooses_between_ways_that_are_equally_good() -> None:
    ways = {woven((MASTS, BARS), lot=lot).letters[0].nodes for lot in (0.0, 0.99)}
    first, last = (rasterise(woven((MASTS, BARS), lot=lot).letters[0], 64) for lot in (0.0, 0.99))

    assert ways
    assert (first != last).any()


def test_pieces_keep_the_gap_and_all_other_ink() -> None:
    gap = 0.02
    found = woven((ACROSS, DOWN), gap)
    lost = 0.1 * (0.1 + 2 * gap)  # the crossing and a gap on either side of the stroke above

    assert sum(area(c) for letter in found.letters for c in letter.contours) == pytest.approx(0.16 - lost, abs=1e-4)
    assert not intersection(*found.letters).contours
    assert found.visible[0] == pytest.approx(1 - lost / 0.08, abs=1e-3)


def test_weaving_does_not_depend_on_where_on_the_canvas_it_happens() -> None:
    moved = tuple(Outline(tuple(c + 0.05 for c in letter.contours)) for letter in (MASTS, BARS))

    assert woven(moved).visible == pytest.approx(woven((MASTS, BARS)).visible, abs=1e-3)
