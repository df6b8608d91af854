"""Every layout on letters whose shapes are known: on the canvas, apart from each other, of one weight."""

import os
import re
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT
from core.monogram.compose import FALLBACK, RULES, Composed, Wish, compose
from core.monogram.composition import Drawing
from core.monogram.export.files import Origin, write
from core.monogram.export.page import Page
from core.monogram.field import union
from core.monogram.layouts.interlaced import level
from core.monogram.optics import MARGIN, Glyphs, transform
from core.monogram.outline import Outline, bounds
from core.monogram.shapes import CutError, area, intersection
from core.registry import ARITY, Format, Frame, Layout, Ornament
from tests.core.monogram.test_shapes import ink

Shape = Callable[..., Tensor]
TOP = BASELINE - CAP_HEIGHT
SIZE = 128
NUMBER = re.compile(r"-?\d*\.?\d+")
LOTS = np.array([0.1, 0.2, 0.3, 0.4])


@pytest.fixture
def alphabet(box: Shape) -> dict[str, Tensor]:
    """Letters of bars: stems of 0.06 but for those of N, which are of 0.075."""

    def bars(*each: tuple[float, float, float, float]) -> Tensor:
        drawn = [box(*bar, size=SIZE) for bar in each]
        for other in drawn[1:]:
            drawn[0] = union(drawn[0], other)
        return drawn[0].clamp(-1 / 16, 1 / 16)

    middle = (TOP + BASELINE) / 2
    return {
        "H": bars((0.3, TOP, 0.36, BASELINE), (0.64, TOP, 0.7, BASELINE), (0.33, middle - 0.025, 0.67, middle + 0.025)),
        "T": bars((0.47, TOP, 0.53, BASELINE), (0.3, TOP, 0.7, TOP + 0.05)),
        "I": bars((0.47, TOP, 0.53, BASELINE)),
        "L": bars((0.3, TOP, 0.36, BASELINE), (0.3, BASELINE - 0.05, 0.6, BASELINE)),
        "i": bars((0.45, TOP, 0.55, TOP + 0.06), (0.47, TOP + 0.13, 0.53, BASELINE)),
        "O": bars(
            (0.3, TOP, 0.36, BASELINE),
            (0.64, TOP, 0.7, BASELINE),
            (0.3, TOP, 0.7, TOP + 0.05),
            (0.3, BASELINE - 0.05, 0.7, BASELINE),
        ),
        "N": bars((0.3, TOP, 0.375, BASELINE), (0.625, TOP, 0.7, BASELINE), (0.33, TOP, 0.67, TOP + 0.05)),
    }


def draw(
    alphabet: dict[str, Tensor],
    layout: Layout,
    *words: str,
    frame: Frame | None = None,
    ornament: Ornament | None = None,
    stretch: float = 0.0,
) -> list[Composed]:
    places = max(map(len, words))
    letters = torch.full((len(words), places, SIZE, SIZE), -1.0)
    present = torch.zeros(len(words), places, dtype=torch.bool)
    for row, word in enumerate(words):
        for place, letter in enumerate(word):
            letters[row, place], present[row, place] = alphabet[letter], True
    zero = torch.zeros(len(words), places, dtype=torch.float64)
    glyphs = Glyphs.measured(letters, present, transform(zero, zero + stretch, zero))
    return compose(glyphs, letters, [Wish(layout, ornament, frame, LOTS)] * len(words))


def words(layout: Layout) -> list[str]:
    least, most = ARITY[layout]
    return ["HTNI"[:count] for count in range(least, min(most, 4) + 1)]


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("frame", [None, Frame.DOUBLE])
def test_pieces_lie_on_the_canvas_and_apart(alphabet: dict[str, Tensor], layout: Layout, frame: Frame | None) -> None:
    for composed in draw(alphabet, layout, *words(layout), frame=frame):
        low, high = bounds(composed.drawing.pieces)

        assert low.min() > 0.02
        assert high.max() < 0.98
        assert max(high - low) > 0.7
        for one, other in combinations(composed.drawing.pieces, 2):
            assert sum(area(contour) for contour in intersection(one, other).contours) < 1e-4


@pytest.mark.parametrize("layout", [Layout.STRAIGHT, Layout.STACKED, Layout.INTERLACED, Layout.TRADITIONAL])
def test_stems_of_a_variant_are_equal(alphabet: dict[str, Tensor], layout: Layout) -> None:
    (composed,) = draw(alphabet, layout, "HNT" if layout is not Layout.INTERLACED else "HT")
    stems = np.array(composed.drawing.stems)
    allowed = 1.25 if layout in (Layout.STACKED, Layout.TRADITIONAL) else 1.08

    assert stems.max() / stems.min() <= allowed + 0.02


def test_a_variant_does_not_depend_on_those_beside_it(alphabet: dict[str, Tensor]) -> None:
    for layout in (Layout.STRAIGHT, Layout.INTERLACED, Layout.VYAZ):
        together, alone = draw(alphabet, layout, "HT", "TN"), draw(alphabet, layout, "TN")

        for one, other in zip(together[1].drawing.pieces, alone[0].drawing.pieces, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one.contours, other.contours, strict=True))


def test_the_middle_of_three_is_the_largest(alphabet: dict[str, Tensor]) -> None:
    (composed,) = draw(alphabet, Layout.TRADITIONAL, "HTH")
    heights = [float(np.subtract(*bounds([letter])[::-1])[1]) for letter in composed.drawing.letters]

    assert heights[0] == pytest.approx(heights[2], rel=0.02)
    assert heights[0] < 0.75 * heights[1]


def test_stacked_letters_stand_over_one_another(alphabet: dict[str, Tensor]) -> None:
    two, three = draw(alphabet, Layout.STACKED, "HT", "HTN")
    boxes = [bounds([letter]) for letter in three.drawing.letters]

    assert bounds([two.drawing.letters[0]])[1][1] < bounds([two.drawing.letters[1]])[0][1]
    assert boxes[0][1][1] < boxes[1][0][1]
    assert max(boxes[0][1][0], boxes[1][1][0]) < boxes[2][0][0]


def test_letters_that_cross_are_woven_and_others_set_in_a_row(alphabet: dict[str, Tensor]) -> None:
    woven, plain = draw(alphabet, Layout.INTERLACED, "HT", "II")

    assert woven.layout is Layout.INTERLACED
    assert woven.drawing.figures["crossings"] >= 2
    assert woven.drawing.figures["visible"] >= 0.8
    assert woven.seen is not None
    assert plain.layout is FALLBACK
    assert plain.drawing.figures.keys() == {"stroke"}


def test_a_letter_and_its_mirror_image_are_symmetric(alphabet: dict[str, Tensor]) -> None:
    (composed,) = draw(alphabet, Layout.MIRRORED, "H")
    low, high = bounds(composed.drawing.pieces)

    assert low[0] + high[0] == pytest.approx(1, abs=1e-3)


def test_three_letters_fill_a_circle(alphabet: dict[str, Tensor]) -> None:
    (composed,) = draw(alphabet, Layout.CIRCLE, "HTN")
    points = np.concatenate([c.reshape(-1, 2) for piece in composed.drawing.pieces for c in piece.contours])
    away = np.linalg.norm(points - 0.5, axis=1)

    assert away.max() < 0.47
    assert np.percentile(away, 95) > 0.4


def test_neighbours_with_masts_share_one(alphabet: dict[str, Tensor]) -> None:
    shared, apart = draw(alphabet, Layout.VYAZ, "HH", "TT")
    first, second = (bounds([letter]) for letter in shared.drawing.letters)

    assert shared.drawing.figures["shared"] == 1
    assert apart.drawing.figures["shared"] == 0
    assert second[0][0] == pytest.approx(first[1][0], abs=0.01)  # the mast belongs to the first


def test_a_band_is_condensed_and_even(alphabet: dict[str, Tensor]) -> None:
    (composed,) = draw(alphabet, Layout.VYAZ, "HNHNHNHN")
    boxes = [bounds([letter]) for letter in composed.drawing.letters]
    tallest = max(high[1] - low[1] for low, high in boxes)

    assert all((high[1] - low[1]) == pytest.approx(tallest, rel=0.03) for low, high in boxes)
    assert tallest / np.median([high[0] - low[0] for low, high in boxes]) > 3


@pytest.mark.parametrize("layout", [Layout.STRAIGHT, Layout.STACKED, Layout.INTERLACED, Layout.MIRRORED])
@pytest.mark.parametrize("stretch", [-0.3, 0.0, 0.3])
def test_stretched_letters_fill_the_canvas_too(alphabet: dict[str, Tensor], layout: Layout, stretch: float) -> None:
    (composed,) = draw(alphabet, layout, "H" if layout is Layout.MIRRORED else "HO", stretch=stretch)
    low, high = bounds(composed.drawing.whole or composed.drawing.letters)

    assert composed.layout is layout
    assert max(high - low) == pytest.approx(1 - 2 * MARGIN, abs=0.02)
    assert (low + high).tolist() == pytest.approx([1, 1], abs=0.03)


def test_letters_without_stems_have_a_thinnest_stroke_too(alphabet: dict[str, Tensor], box: Shape) -> None:
    plank = box(0.3, 0.48, 0.7, 0.5, size=SIZE).clamp(-1 / 16, 1 / 16)
    (composed,) = draw(alphabet | {"-": plank}, Layout.SINGLE, "-")

    assert np.isnan(composed.drawing.stems[0])
    assert composed.drawing.figures["stroke"] == pytest.approx(0.02 * 0.78 / 0.4, rel=0.35)


def test_a_frame_takes_the_gap_along_as_it_takes_the_stems(alphabet: dict[str, Tensor]) -> None:
    plain, framed = (draw(alphabet, Layout.INTERLACED, "HO", frame=frame)[0].drawing for frame in (None, Frame.CIRCLE))

    assert framed.stem < 0.9 * plain.stem
    assert framed.figures["gap"] / plain.figures["gap"] == pytest.approx(framed.stem / plain.stem, rel=1e-3)


def test_a_placement_that_cannot_be_cut_leaves_the_others(
    alphabet: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail_first(letters: Sequence[Outline], stems: Sequence[float]) -> object:
        calls.append(letters)
        if len(calls) == 1:
            raise CutError("no")
        return level(letters, stems)

    monkeypatch.setattr("core.monogram.layouts.interlaced.level", fail_first)
    (composed,) = draw(alphabet, Layout.INTERLACED, "HO")

    assert composed.layout is Layout.INTERLACED
    assert len(calls) > 1


def test_a_letter_with_a_mark_is_nearly_as_tall_as_the_others(alphabet: dict[str, Tensor]) -> None:
    (composed,) = draw(alphabet, Layout.VYAZ, "HiH")
    (low, high), marked = bounds([composed.drawing.letters[0]]), composed.drawing.letters[1]
    tall = high[1] - low[1]
    (mark_top, mark_end), (body_top, body_end) = sorted(
        (contour[:, :, 1].min(), contour[:, :, 1].max()) for contour in marked.contours
    )

    assert (mark_top, body_end) == pytest.approx((low[1], high[1]), abs=0.02 * tall)
    assert (mark_end - low[1]) / tall == pytest.approx(0.11, abs=0.02)
    assert (body_top - low[1]) / tall == pytest.approx(0.16, abs=0.02)


def test_a_letter_is_tucked_into_the_room_that_its_neighbour_leaves(alphabet: dict[str, Tensor]) -> None:
    after, first, none = draw(alphabet, Layout.VYAZ, "LO", "OL", "HO")
    (low, high), (least, most) = (bounds([letter]) for letter in after.drawing.letters)
    gap = after.drawing.stem * 0.85

    assert [each.drawing.figures["tucked"] for each in (after, first, none)] == [1, 0, 0]
    assert (most - least)[1] == pytest.approx(0.4 * (high - low)[1], rel=0.05)
    assert least[1] == pytest.approx(low[1], abs=0.01)  # an L is open above
    assert least[0] == pytest.approx(low[0] + after.drawing.stem + gap, rel=0.12)


@pytest.mark.parametrize("frame", list(Frame))
def test_a_frame_holds_the_letters_with_air_between(alphabet: dict[str, Tensor], frame: Frame) -> None:
    (composed,) = draw(alphabet, Layout.FRAMED, "HT", frame=frame)
    low, high = bounds(composed.drawing.letters)
    least, most = bounds(composed.drawing.frames)

    assert (low > least + composed.drawing.stem).all()
    assert (high < most - composed.drawing.stem).all()
    lines = {Frame.DOUBLE: 2, Frame.SHIELD: 2, Frame.LAUREL: 2, Frame.BAND: 4}
    assert len(composed.drawing.frames) == lines.get(frame, 1)
    assert max(most - least) == pytest.approx(0.93, abs=0.01)
    assert all(ink(intersection(a, b)) < 1e-6 for a, b in combinations(composed.drawing.pieces, 2))


GOLDEN = {
    "row": (Layout.STRAIGHT, "HT", None, None),
    "weave": (Layout.INTERLACED, "HO", Frame.CIRCLE, None),
    "band": (Layout.VYAZ, "HNLOT", Frame.BAND, Ornament.INLINE),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_recipe_comes_to_the_same_file_as_ever(alphabet: dict[str, Tensor], name: str) -> None:
    """A change of these files is a change of every file that leaves us: of `ENGINE`, too."""
    layout, word, frame, ornament = GOLDEN[name]
    (composed,) = draw(alphabet, layout, word, frame=frame, ornament=ornament)
    drawn = write(Format.SVG, composed.drawing, Page(), Origin({"letters": word}, 0, "00")).decode()
    path = Path(__file__).parent / "golden" / f"{name}.svg"
    if "VYAZ_WRITE_GOLDEN" in os.environ:
        path.write_text(drawn)
    kept = path.read_text()

    assert composed.layout is layout
    assert NUMBER.sub("#", drawn) == NUMBER.sub("#", kept)
    # The last digit may fall differently where sums are added up by other instructions.
    ours, theirs = ([float(each) for each in NUMBER.findall(text)] for text in (drawn, kept))
    assert ours == pytest.approx(theirs, abs=0.0021)


def test_each_layout_has_its_rule() -> None:
    assert set(RULES) == set(Layout)


def test_outlines_that_cannot_be_cut_are_the_fault_of_their_variant_alone(
    alphabet: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(drawing: Drawing, ornament: Ornament) -> Drawing:
        if len(drawing.letters) == 1:
            raise CutError("no")
        return drawing

    monkeypatch.setattr("core.monogram.compose.add_ornament", give_up)
    broken, whole = draw(alphabet, Layout.STRAIGHT, "H", "HT", ornament=Ornament.OUTLINE)

    assert (broken.fault, broken.drawing.pieces) == ("no", ())
    assert (whole.fault, len(whole.drawing.letters)) == ("", 2)
