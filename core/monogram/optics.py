"""What the eye weighs: how far letters reach row by row, where their ink is centred, how they fill the canvas.

Letters are measured in a *frame*: each letter after its own transform, about the middle of its canvas, on a square of
half side `REACH`. Lengths in the frame are integers in units of 1 / `UNIT` of the glyph canvas, so that sums and
comparisons are exact.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from core.monogram import field

UNIT: Final = 4096
REACH: Final = 0.8  # half the frame's side: holds every letter at the widest bounds a recipe may have
CELLS: Final = 96  # across the frame
FAR: Final = 1 << 20  # units; where a row holds no ink, its edges are this far off

MARGIN: Final = 0.11  # of the canvas, around what is placed
LEAST_MARGIN: Final = 0.07  # what optical centring may leave of it


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The letters of N variants, L places each; a place past the last letter holds ground."""

    field: Tensor  # [N, L, H, W]
    present: Tensor  # [N, L] bool
    transform: Tensor  # [N, L, 2, 2] float64, glyph -> frame, about the middle of the glyph canvas


@dataclass(frozen=True, slots=True)
class Outlines:
    """How far the letters of N variants reach in their frames; units, int64."""

    left: Tensor  # [N, L, CELLS] first ink of each row, about +FAR if none
    right: Tensor  # [N, L, CELLS] last ink of each row, about -FAR if none
    top: Tensor  # [N, L]
    bottom: Tensor  # [N, L]
    mass: Tensor  # [N, L] cells of ink
    moment: Tensor  # [N, L, 2] sums of their (x, y)


def transform(rotation: Tensor, stretch: Tensor, shear: Tensor) -> Tensor:
    """Return [..., 2, 2] matrices: widen by 1 + stretch, lean by shear, then turn counter-clockwise by degrees."""
    turn = torch.deg2rad(rotation)
    cos, sin, wide = turn.cos(), turn.sin(), 1 + stretch
    # y points down: leaning right at the top is -shear, and counter-clockwise is [[cos, sin], [-sin, cos]].
    rows = (wide * cos, sin - shear * cos, -wide * sin, cos + shear * sin)
    return torch.stack(rows, dim=-1).view(*rotation.shape, 2, 2)


def measure(glyphs: Glyphs) -> Outlines:
    """Measure each letter as its transform leaves it."""
    number, places = glyphs.present.shape
    back = _inverse(glyphs.transform) * (2 * REACH)
    middle = 0.5 - back.sum(-1, keepdim=True) / 2
    matrix = torch.cat([back, middle], dim=-1).flatten(0, 1).float()
    frame = field.sample(glyphs.field.flatten(0, 1).unsqueeze(1), matrix, CELLS).view(number, places, CELLS, CELLS)
    cell = 2 * REACH / CELLS
    place = _units((torch.arange(CELLS, device=frame.device, dtype=torch.float32) + 0.5) * cell - REACH)
    # An edge lies a field's value beyond the centre of a cell; deeper cells say less about it. Whole units in float32:
    # integers below 2 ** 24 are exact there, and twice as fast.
    depth = torch.where(frame > 0, _units(frame.clamp(max=cell)), -FAR)
    deepest = depth.amax(-1)
    ink = (frame > 0).float()
    rows, columns = ink.sum(-1), ink.sum(-2)
    return Outlines(
        left=-(depth - place).amax(-1).long(),
        right=(depth + place).amax(-1).long(),
        top=-(deepest - place).amax(-1).long(),
        bottom=(deepest + place).amax(-1).long(),
        mass=rows.sum(-1).long(),
        moment=torch.stack([(count.long() * place.long()).sum(-1) for count in (columns, rows)], dim=-1),
    )


def fit(glyphs: Glyphs, outlines: Outlines, shift: Tensor) -> Tensor:
    """Centre and scale letters, moved right by `shift` [N, L] units, on the canvas.

    Return matrices [N, L, 2, 3] from canvas to glyph. The centre is half bounding box, half centroid of the ink.
    """
    far = torch.where(glyphs.present, 0, FAR)
    least = torch.stack([(outlines.left.amin(-1) + shift + far).amin(1), (outlines.top + far).amin(1)], dim=-1)
    most = torch.stack([(outlines.right.amax(-1) + shift - far).amax(1), (outlines.bottom - far).amax(1)], dim=-1)
    extent = (most - least).clamp(min=1).double() / UNIT  # [N, 2]
    scale = (1 - 2 * MARGIN) / extent.amax(-1)
    box = (least + most).double() / (2 * UNIT)
    drift = (_centroid(outlines, shift) - box) / 2
    slack = ((0.5 - LEAST_MARGIN) / scale[:, None] - extent / 2).clamp(min=0)
    centre = box + drift.clamp(-slack, slack)
    back = _inverse(glyphs.transform)  # [N, L, 2, 2]
    moved = torch.stack([shift.double() / UNIT, torch.zeros_like(shift, dtype=torch.float64)], dim=-1)
    corner = centre[:, None] - 0.5 / scale[:, None, None] - moved  # the canvas's origin in each letter's frame
    start = back[..., 0] * corner[..., :1] + back[..., 1] * corner[..., 1:] + 0.5
    return torch.cat([back / scale[:, None, None, None], start[..., None]], dim=-1).float()


def _centroid(outlines: Outlines, shift: Tensor) -> Tensor:
    """Return the centre of all ink of each variant, [N, 2]."""
    moved = outlines.moment + torch.stack([outlines.mass * shift, torch.zeros_like(shift)], dim=-1)
    return moved.sum(1).double() / (outlines.mass.sum(1, keepdim=True).clamp(min=1) * UNIT)


def _units(length: Tensor) -> Tensor:
    return (length * UNIT).round()


def _inverse(matrix: Tensor) -> Tensor:
    a, b, c, d = matrix.flatten(-2).unbind(-1)
    rows = torch.stack([d, -b, -c, a], dim=-1) / (a * d - b * c).unsqueeze(-1)
    return rows.view(matrix.shape)
