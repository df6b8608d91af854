"""Letters in a row: order, equal gaps to the eye, one baseline, on the canvas."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT
from core.monogram.field import sample, union
from core.monogram.layouts.straight import CLIP, GAP, LEAST_GAP, place
from core.monogram.optics import LEAST_MARGIN, Glyphs, transform

Shape = Callable[..., Tensor]
SIZE = 512
TOP = BASELINE - CAP_HEIGHT


def draw(*letters: Tensor, present: int | None = None, shear: float = 0) -> Tensor:
    """Return the ink of each letter of a word on its canvas, [L, SIZE, SIZE] bool."""
    number = len(letters)
    zero = torch.zeros(1, number, dtype=torch.float64)
    shown = torch.arange(number)[None] < (number if present is None else present)
    glyphs = Glyphs.measured(torch.stack(letters)[None], shown, transform(zero, zero, zero + shear))
    matrix = place(glyphs).matrix[:, 0].float()
    return sample(torch.stack(letters)[:, None], matrix[0], SIZE)[:, 0] > 0


def gaps(left: Tensor, right: Tensor) -> Tensor:
    """Return the white between two letters in the rows where both have ink, in cap heights of the canvas."""
    rows = left.any(1) & right.any(1)
    columns = torch.arange(SIZE)
    last = torch.where(left[rows], columns, -1).amax(1)
    first = torch.where(right[rows], columns, SIZE).amin(1)
    return (first - last - 1).float() / height(left)


def height(ink: Tensor) -> int:
    rows = ink.any(1).nonzero()
    return int(rows.max() - rows.min() + 1)


def test_two_stems_stand_a_gap_apart(box: Shape) -> None:
    first, second = draw(box(0.4, TOP, 0.5, BASELINE), box(0.2, TOP, 0.35, BASELINE))

    assert gaps(first, second).mean() == pytest.approx(GAP, abs=0.01)
    assert gaps(first, second).std() < 0.01


def test_letters_keep_their_order_and_their_baseline(box: Shape) -> None:
    stem = box(0.4, TOP, 0.5, BASELINE)
    words = draw(stem, box(0.3, TOP, 0.6, BASELINE), stem, stem)
    columns = [ink.any(0).nonzero() for ink in words]
    bottoms = {int(ink.any(1).nonzero().max()) for ink in words}

    assert all(int(one.max()) < int(two.min()) for one, two in pairwise(columns))
    assert len(bottoms) == 1


def test_all_gaps_of_a_word_look_alike(box: Shape) -> None:
    stem = box(0.45, TOP, 0.55, BASELINE)
    ell = union(stem, box(0.45, 0.66, 0.8, BASELINE))
    words = draw(stem, ell, stem, ell)
    clip = [gaps(one, two).clamp(max=CLIP).mean().item() for one, two in pairwise(words)]

    # The second gap is held by the least gap at the foot of the L.
    assert clip[0] == pytest.approx(clip[2], abs=0.01)
    assert clip[0] == pytest.approx(GAP, abs=0.01)


def test_open_letters_move_together_but_never_touch(box: Shape) -> None:
    stem = box(0.45, TOP, 0.55, BASELINE)
    ell = union(stem, box(0.45, 0.66, 0.8, BASELINE))
    first, second = draw(ell, stem)

    assert gaps(first, second).min() >= LEAST_GAP - 0.01
    assert gaps(first, second).min() < GAP - 0.03


def test_a_slanted_pair_is_spaced_like_an_upright_one(box: Shape) -> None:
    first, second = draw(box(0.4, TOP, 0.5, BASELINE), box(0.2, TOP, 0.35, BASELINE), shear=0.2)

    assert gaps(first, second).mean() == pytest.approx(GAP, abs=0.02)


def test_marks_above_the_cap_line_do_not_loosen_a_gap(box: Shape) -> None:
    stem = box(0.45, TOP, 0.55, BASELINE)
    marked = union(stem, box(0.45, 0.1, 0.55, 0.18))
    plain, dotted = draw(stem, stem), draw(marked, stem)
    white = [int(pair[1].any(0).nonzero().min() - pair[0].any(0).nonzero().max() - 1) for pair in (plain, dotted)]

    # The marked word is taller, so the same gap is smaller on its canvas.
    assert white[1] / height(dotted[1]) == pytest.approx(white[0] / height(plain[1]), abs=0.01)


def test_places_without_a_letter_change_nothing(box: Shape) -> None:
    stem, ground = box(0.45, TOP, 0.55, BASELINE), torch.full((112, 112), -1.0)
    alone, among = draw(stem, stem), draw(stem, stem, ground, ground, present=2)

    assert torch.equal(alone, among[:2])
    assert not among[2:].any()


def test_a_word_lies_on_the_canvas_with_a_margin(box: Shape) -> None:
    wide = box(0.05, TOP, 0.95, BASELINE)
    ink = draw(wide, wide, wide, wide).any(0)
    columns = ink.any(0).nonzero()

    assert int(columns.min()) >= (LEAST_MARGIN - 0.01) * SIZE
    assert int(columns.max()) <= (1.01 - LEAST_MARGIN) * SIZE
