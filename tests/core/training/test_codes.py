"""Codes of styles: what differs most comes first, and every coordinate looks like a standard normal."""

from dataclasses import replace

import torch

from core.networks.mlp import REACH, SIZE
from core.training.codes import code_styles
from core.training.views import View, view
from tests.core.training.foundry import make_dataset

STROKES = (0.055, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12)


def seen() -> View:
    return view(make_dataset(strokes=STROKES), SIZE, REACH)


def test_the_first_coordinate_orders_styles_by_what_differs_most() -> None:
    first = code_styles(seen(), 12)[:, 0].tolist()

    assert first in (sorted(first), sorted(first, reverse=True))


def test_coordinates_are_spread_like_a_normal_and_filled_up_with_zeros() -> None:
    codes = code_styles(seen(), 12)
    spread = torch.special.ndtri((torch.arange(8) + 0.5) / 8)

    assert codes.shape == (8, 12)
    assert torch.allclose(codes[:, :8].sort(dim=0).values, spread[:, None].expand(8, 8), atol=1e-6)
    assert not codes[:, 8:].any()


def test_a_style_that_lacks_letters_keeps_its_place() -> None:
    whole = seen()
    kept = (whole.styles != 7) | (whole.labels == whole.labels[0])
    partly = replace(whole, images=whole.images[kept], labels=whole.labels[kept], styles=whole.styles[kept])
    first = code_styles(partly, 12)[:, 0]

    assert first[:7].tolist() in (sorted(first[:7].tolist()), sorted(first[:7].tolist(), reverse=True))


def test_one_style_alone_has_a_code() -> None:
    assert code_styles(view(make_dataset(strokes=(0.1,)), SIZE, REACH), 12).tolist() == [[0.0] * 12]
