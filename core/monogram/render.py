"""Placed letters to pixels: dark ink on white, one pixel of antialiasing whatever the scale."""

from typing import Final

import torch
from torch import Tensor

from core.monogram import field

# A slope below this share of the field's own is no edge but noise near zero; sharpening it further would show it.
_LEAST_SLOPE: Final = 0.25


def render(glyphs: Tensor, matrix: Tensor, size: int) -> Tensor:
    """Draw N variants of L letters: [N, L, H, W] by matrices from canvas to glyph, [N, L, 2, 3] -> [N, size, size]."""
    number, places = matrix.shape[:2]
    drawn = field.sample(glyphs.flatten(0, 1).unsqueeze(1), matrix.flatten(0, 1), size)
    ink = drawn.view(number, places, size, size).amax(1, keepdim=True)
    # The length of a pixel in units of the field, if distances were true.
    pixel = (matrix[:, 0, :, :2].square().sum((-1, -2)) / 2).sqrt().view(-1, 1, 1, 1) / size
    return _grey(coverage(ink, pixel)).squeeze(1)


def coverage(ink: Tensor, pixel: Tensor) -> Tensor:
    """Return the share of each cell that is ink, [N, 1, H, W] in 0 ... 1, from how fast the field rises there."""
    rise = torch.maximum(field.slope(ink), pixel * _LEAST_SLOPE)
    return (ink / rise + 0.5).clamp(0, 1)


def _grey(coverage: Tensor) -> Tensor:
    return (255 - 255 * coverage).round().to(torch.uint8)
