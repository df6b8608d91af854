"""A letter and its mirror image: woven where their strokes cross cleanly, back to back otherwise."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from core.alphabet import CAP_HEIGHT
from core.monogram.composition import Drawing, Floats, Placement
from core.monogram.layouts.interlaced import interlace, thin
from core.monogram.optics import MARGIN, Glyphs, behind, boxes, thickness
from core.monogram.outline import Outline, move

# How far the letter's middle lies from the axis, of its width; away from it the letter faces outwards.
OFFSETS: Final = (0.2, 0.27, 0.34, 0.14, 0.4, 0.1, 0.3, 0.24, 0.17, 0.37)
APART: Final = 0.14  # of the cap height, between letters that do not cross
_AXIS: Final = np.array([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])  # the canvas seen in a mirror


def place(glyphs: Glyphs) -> Placement:
    """Place the letter of the first place in several ways, to the right of the axis and to the left; the last two do
    not touch it."""
    growth = thin(glyphs)
    left, top, right, bottom = (boxes(glyphs)[:, :1] + _outwards(growth)).unbind(-1)  # [N, 1]
    wide, high = right - left, bottom - top
    middle = torch.stack([(left + right) / 2, (top + bottom) / 2], dim=-1)  # [N, 1, 2]
    signed = torch.tensor([sign * offset for offset in OFFSETS for sign in (1, -1)], dtype=torch.float64)
    apart = (wide + APART * CAP_HEIGHT) / 2
    offset = torch.cat([signed * wide, apart, -apart], dim=1)  # [N, K]
    side = torch.maximum(2 * offset.abs() + wide, high) / (1 - 2 * MARGIN)
    across = middle[..., 0] - side / 2 - offset
    start = torch.stack([across, middle[..., 1] - side / 2], dim=-1)
    matrix = torch.cat([torch.diag_embed(side[..., None].expand(-1, -1, 2)), start[..., None]], dim=-1)
    each = matrix[:, :, None].expand(-1, -1, glyphs.present.shape[1], -1, -1)
    return Placement(behind(glyphs, each), growth)


def _outwards(growth: torch.Tensor) -> torch.Tensor:
    across, down = growth[:, :1].unbind(-1)
    return torch.stack([-across, -down, across, down], dim=-1)


def finish(letters: Sequence[Outline], matrix: Floats, stem: Floats, lots: Floats) -> Drawing | None:
    """Weave the letter with its mirror image in the first way that is clean; beside it if there is none."""
    ways = list(matrix[:-2])
    if lots[1] < 0.5:  # as many face outwards as inwards
        ways[0::2], ways[1::2] = ways[1::2], ways[0::2]
    for way in ways:
        drawing = interlace(_pair(letters[0], way[0]), 2 * thickness(stem, way[:1]), float(lots[0]))
        if drawing is not None:
            return drawing
    way = matrix[-2 if lots[1] < 0.5 else -1]
    return Drawing(_pair(letters[0], way[0]), 2 * thickness(stem, way[:1]))


def _pair(letter: Outline, way: Floats) -> tuple[Outline, Outline]:
    placed = move(letter, way)
    return placed, move(placed, _AXIS)
