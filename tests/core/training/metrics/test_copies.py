"""A copied font is told whatever its weight, width and slant; a sibling and a stranger are not copies."""

import numpy as np
import pytest
import torch

from core.training.metrics.copies import MARGIN, Matched, find, find_margins, flag, match
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
def margins(known: Matched) -> np.ndarray:
    return find_margins(known, np.array([*range(FONTS - 1), FONTS - 2]))


def test_a_margin_is_a_share_of_the_way_to_another_cluster(known: Matched, margins: np.ndarray) -> None:
    alone = find_margins(known, np.arange(FONTS))

    assert margins[-1] > 1.5 * alone[-1]  # the sibling with the same letters does not count
    assert margins[0] == pytest.approx(alone[0])
    assert np.isnan(find_margins(known, np.zeros(FONTS, dtype=np.int64))).all()


def test_a_font_drawn_again_is_a_copy_in_any_weight_width_and_slant(known: Matched, margins: np.ndarray) -> None:
    again = {
        "as it is": draw(*invent(0)),
        "bolder": draw(*invent(1)) + 0.008,
        "lighter": draw(*invent(2)) - 0.006,
        "wider": draw(*invent(3, width=1.15)),
        "slanted": draw(*invent(4, slant=0.2)),
        "noisy": draw(*invent(5)) + 0.002 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(1)),
    }
    found = find(gather(list(again.values()), known), known, margins)

    assert dict(zip(again, flag(found).tolist(), strict=True)) == dict.fromkeys(again, True)
    assert found.which.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.distance[0] < 0.01


def test_strangers_and_siblings_are_no_copies(known: Matched, margins: np.ndarray) -> None:
    strangers = [draw(*invent(seed)) for seed in range(100, 106)]
    half = torch.cat([draw(*invent(0))[:8], draw(*invent(107))[8:]])
    found = find(gather([*strangers, half], known), known, margins)

    assert not flag(found)[:6].any()
    assert found.distance[6] > 0.5 * margins[0] / MARGIN


def test_styles_that_share_few_letters_are_not_compared(known: Matched, margins: np.ndarray) -> None:
    small = shrink(draw(*invent(0)[:4]))
    few = match(small, LABELS[:4], np.zeros(4, dtype=np.int64), 1, known)

    assert not flag(find(few, known, margins)).any()
