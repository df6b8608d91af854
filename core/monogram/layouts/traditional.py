"""The classic three: first, LAST, middle - the letter in the middle large, those beside it small, all on one axis."""

from typing import Final

import torch

from core.monogram.composition import Placement
from core.monogram.layouts.straight import row
from core.monogram.optics import Glyphs, even, fit, measure, scaled

SMALL: Final = 0.62  # of the middle letter's height
HEAVIER: Final = 1.15  # strokes of the middle letter, against the others'


def place(glyphs: Glyphs) -> Placement:
    """Place three letters in the order in which they are seen."""
    large = torch.arange(glyphs.present.shape[1]) == 1
    size = torch.where(large, 1.0, SMALL)[None, :, None].expand(*glyphs.present.shape, 2).double()
    drawn = scaled(glyphs, size)
    outlines = measure(drawn)
    across = row(outlines, SMALL)
    matrix = fit(drawn, outlines, torch.stack([across, torch.zeros_like(across)], dim=-1))
    weight = torch.where(large, HEAVIER, 1.0).double()[None]
    return Placement(matrix[:, None], even(glyphs.stem, size, weight))
