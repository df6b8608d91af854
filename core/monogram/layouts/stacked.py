"""Letters over one another: two in a column, three as two small ones beside a large last one, four two by two."""

from typing import Final

import torch
from torch import Tensor

from core.alphabet import CAP_HEIGHT
from core.monogram.composition import Placement
from core.monogram.optics import UNIT, Glyphs, Outlines, even, fit, measure, scaled

GAP: Final = 0.14  # of a large letter's cap height, between letters
SMALL: Final = (1 - GAP) / 2  # two of them and a gap are as high as the large one
HEAVIER: Final = 1.2  # strokes of the large letter, against the small ones'
_GAP: Final = round(GAP * CAP_HEIGHT * UNIT)


def place(glyphs: Glyphs) -> Placement:
    """Place two to four letters."""
    number, places = glyphs.present.shape
    count = glyphs.present.sum(1)
    small = (count[:, None] == 3) & (torch.arange(places) < 2)
    size = torch.where(small, SMALL, 1.0).double()[..., None].expand(number, places, 2)
    drawn = scaled(glyphs, size)
    outlines = measure(drawn)
    shift = torch.zeros(number, places, 2, dtype=torch.int64)
    for letters, arrange in ((2, _column), (3, _beside), (4, _square)):
        if letters <= places:
            shift[:, :letters] = torch.where((count == letters)[:, None, None], arrange(outlines), shift[:, :letters])
    weight = torch.where((count[:, None] == 3) & ~small, HEAVIER, 1.0).double()
    return Placement(fit(drawn, outlines, shift)[:, None], even(glyphs.stem, size, weight))


def _column(outlines: Outlines, first: int = 0, second: int = 1) -> Tensor:
    """Put one letter below another, middle under middle, [N, 2, 2]."""
    left, right = _sides(outlines)
    middle = -(left + right) // 2
    down = outlines.bottom[:, first] + _GAP - outlines.top[:, second]
    upper = torch.stack([middle[:, first], torch.zeros_like(down)], dim=-1)
    return torch.stack([upper, torch.stack([middle[:, second], down], dim=-1)], dim=1)


def _beside(outlines: Outlines) -> Tensor:
    """Put a column of two beside the third letter, from its cap line to its baseline, [N, 3, 2]."""
    column = _column(outlines)
    half = column[:, 1, 1] // 2
    column[:, :, 1] -= half[:, None]
    left, right = _sides(outlines)
    edge = torch.maximum(right[:, 0] + column[:, 0, 0], right[:, 1] + column[:, 1, 0])
    third = torch.stack([edge + _GAP - left[:, 2], torch.zeros_like(edge)], dim=-1)
    return torch.cat([column, third[:, None]], dim=1)


def _square(outlines: Outlines) -> Tensor:
    """Put two rows of two, middle under middle, [N, 4, 2]."""
    first, second = _column(outlines, 0, 2), _column(outlines, 1, 3)
    down = torch.maximum(first[:, 1, 1], second[:, 1, 1])
    left, right = _sides(outlines)
    half = ((right - left)[:, :4].amax(1) + _GAP) // 2
    shift = torch.stack([first[:, 0], second[:, 0], first[:, 1], second[:, 1]], dim=1)
    shift[:, 0::2, 0] -= half[:, None]
    shift[:, 1::2, 0] += half[:, None]
    shift[:, 2:, 1] = down[:, None]
    return shift


def _sides(outlines: Outlines) -> tuple[Tensor, Tensor]:
    """Return the leftmost and the rightmost ink of each letter, [N, L]."""
    return outlines.left.amin(-1), outlines.right.amax(-1)
