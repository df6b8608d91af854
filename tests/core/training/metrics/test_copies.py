"""A copied font is told whatever its weight, width and slant; a sibling and a stranger are not copies."""

import numpy as np
import pytest
import torch

from core.training.metrics.copies import Matched, Nearness, calibrate, find, find_siblings, flag, match
from core.training.metrics.novelty import shrink
from tests.core.training.metrics.specimens import SHEET, draw, invent, labels_of

FONTS = 10
LABELS = labels_of()


def gather(fonts: list[torch.Tensor], known: Matched | None = None) -> Matched:
    fields = np.concatenate([shrink(font) for font in fonts])
    styles = np.repeat(np.arange(len(fonts)), len(SHEET))
    return match(fields, np.tile(LABELS, len(fonts)), styles, len(fonts), known)


@pytest.fixture(scope="module")
def known() -> Matched:
    """Ten designs; the last two are siblings, half of whose letters are the same."""
    fonts = [draw(*invent(seed)) for seed in range(FONTS)]
    fonts[-1] = torch.cat([fonts[-2][:8], fonts[-1][8:]])
    return gather(fonts)


@pytest.fixture(scope="module")
def siblings(known: Matched) -> np.ndarray:
    return find_siblings(known, np.array([*range(FONTS - 1), FONTS - 2]))


def test_a_font_without_sibling_is_given_the_median_distance(siblings: np.ndarray) -> None:
    assert siblings[-1] == pytest.approx(siblings[-2], rel=0.05)
    assert siblings[:-2] == pytest.approx(np.full(FONTS - 2, np.median(siblings[-2:])))


def test_a_font_drawn_again_is_a_copy_in_any_weight_width_and_slant(known: Matched, siblings: np.ndarray) -> None:
    again = {
        "as it is": draw(*invent(0)),
        "bolder": draw(*invent(1)) + 0.008,
        "lighter": draw(*invent(2)) - 0.006,
        "wider": draw(*invent(3, width=1.15)),
        "slanted": draw(*invent(4, slant=0.2)),
        "noisy": draw(*invent(5)) + 0.002 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(1)),
    }
    found = find(gather(list(again.values()), known), known, siblings)

    assert dict(zip(again, flag(found).tolist(), strict=True)) == dict.fromkeys(again, True)
    assert found.which.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.distance[0] < 0.01


def test_strangers_and_siblings_are_no_copies(known: Matched, siblings: np.ndarray) -> None:
    strangers = [draw(*invent(seed)) for seed in range(100, 106)]
    half = torch.cat([draw(*invent(0))[:8], draw(*invent(107))[8:]])
    found = find(gather([*strangers, half], known), known, siblings)

    assert not flag(found)[:6].any()
    assert found.distance[6] > 0.5 * siblings[0]


def test_a_floor_is_set_only_where_siblings_are_nearer_than_the_generator_redraws() -> None:
    sharp = Nearness(np.zeros(10, dtype=np.int64), np.full(10, 0.5), np.full(10, 0.02))
    soft = Nearness(np.zeros(10, dtype=np.int64), np.r_[0.5, np.full(9, 1.5)], np.linspace(0.01, 0.1, 10))

    assert calibrate(sharp) == 0
    assert calibrate(soft) == pytest.approx(0.09)
    assert flag(soft, calibrate(soft)).sum() == 9
    assert flag(soft).sum() == 1


def test_styles_that_share_few_letters_are_not_compared(known: Matched, siblings: np.ndarray) -> None:
    small = shrink(draw(*invent(0)[:4]))
    few = match(small, LABELS[:4], np.zeros(4, dtype=np.int64), 1, known)

    assert not flag(find(few, known, siblings)).any()
