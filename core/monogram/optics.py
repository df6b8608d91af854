"""What the eye weighs: how far letters reach row by row, where their ink is centred, how they fill the canvas.

Letters are measured in a *frame*: each letter after its own transform, about the middle of its canvas, on a square of
half side `REACH`. Lengths in the frame are integers in units of 1 / `UNIT` of the glyph canvas, so that sums and
comparisons are exact.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.alphabet import CAP_HEIGHT
from core.monogram import field, strokes

UNIT: Final = 4096
REACH: Final = 0.8  # half the frame's side: holds every letter at the widest bounds a recipe may have
CELLS: Final = 96  # across the frame
FAR: Final = 1 << 20  # units; where a row holds no ink, its edges are this far off

MARGIN: Final = 0.11  # of the canvas, around what is placed
LEAST_MARGIN: Final = 0.07  # what optical centring may leave of it
HAIRLINE: Final = 0.02  # of the cap height: strokes are taken no thinner
SINGLE: Final = 0.3  # of the cap height: narrower letters are one stroke
THINNER: Final = 0.3  # the most that a stroke may lose: hairlines lose as much as stems


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The letters of N variants, L places each; a place past the last letter holds ground."""

    field: Tensor  # [N, L, H, W]
    present: Tensor  # [N, L] bool
    transform: Tensor  # [N, L, 2, 2] float64, glyph -> frame, about the middle of the glyph canvas
    stem: Tensor  # [N, L] float64, how thick upright strokes are, of the glyph's canvas; nan where no letter is

    @classmethod
    def measured(cls, field: Tensor, present: Tensor, transform: Tensor) -> Self:
        """Return letters with their stems measured.

        A letter without upright strokes has the median of the others; nan where none has any.
        """
        stem = torch.from_numpy(strokes.measure(field.flatten(0, 1).unsqueeze(1)).stem).view(present.shape)
        stem = (stem * 2**20).round() / 2**20  # no bit more: an angle may round by where in an array it stands
        stem = torch.where(present, stem, torch.nan)
        usual = stem.nanmedian(dim=1, keepdim=True).values
        return cls(field, present, transform, torch.where(present & ~stem.isfinite(), usual, stem))

    def take(self, rows: list[int] | slice) -> Self:
        """Return some of the variants; a slice of them shares their memory."""
        return type(self)(self.field[rows], self.present[rows], self.transform[rows], self.stem[rows])


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
    back = invert(glyphs.transform) * (2 * REACH)
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
    """Centre and scale letters, moved right and down by `shift` [N, L, 2] units, on the canvas.

    Return matrices [N, L, 2, 3] from canvas to glyph. The centre is half bounding box, half centroid of the ink.
    """
    far = torch.where(glyphs.present, 0, FAR)
    across, down = shift.unbind(-1)
    left, top = outlines.left.amin(-1) + across, outlines.top + down
    right, bottom = outlines.right.amax(-1) + across, outlines.bottom + down
    least = torch.stack([(left + far).amin(1), (top + far).amin(1)], dim=-1)
    most = torch.stack([(right - far).amax(1), (bottom - far).amax(1)], dim=-1)
    extent = (most - least).clamp(min=1).double() / UNIT  # [N, 2]
    scale = (1 - 2 * MARGIN) / extent.amax(-1)
    box = (least + most).double() / (2 * UNIT)
    drift = (_centroid(outlines, shift) - box) / 2
    slack = ((0.5 - LEAST_MARGIN) / scale[:, None] - extent / 2).clamp(min=0)
    centre = box + drift.clamp(-slack, slack)
    back = invert(glyphs.transform)  # [N, L, 2, 2]
    corner = centre[:, None] - 0.5 / scale[:, None, None] - shift.double() / UNIT  # the canvas's origin in each frame
    start = back[..., 0] * corner[..., :1] + back[..., 1] * corner[..., 1:] + 0.5
    return torch.cat([back / scale[:, None, None, None], start[..., None]], dim=-1).float()


def scaled(glyphs: Glyphs, scale: Tensor) -> Glyphs:
    """Return letters made larger or smaller about their middles by `scale` [N, L, 2], across and down."""
    return replace(glyphs, transform=glyphs.transform * scale.double()[..., None])


def upright(glyphs: Glyphs) -> Tensor:
    """Return the letters as their transforms leave them, [N, L, H, W], on the same grid."""
    if torch.equal(glyphs.transform, torch.eye(2, dtype=torch.float64).expand_as(glyphs.transform)):
        return glyphs.field
    back = invert(glyphs.transform)
    matrix = torch.cat([back, (0.5 - back.sum(-1) / 2)[..., None]], dim=-1).flatten(0, 1).float()
    drawn = field.sample(glyphs.field.flatten(0, 1).unsqueeze(1), matrix, glyphs.field.shape[-1])
    return drawn.view_as(glyphs.field)


def behind(glyphs: Glyphs, matrix: Tensor) -> Tensor:
    """Lead matrices [N, K, L, 2, 3] from the canvas to letters as transformed on to the letters as networks draw
    them."""
    back = invert(glyphs.transform)[:, None]  # [N, 1, L, 2, 2]
    start = (back @ matrix[..., 2:])[..., 0] + 0.5 - back.sum(-1) / 2
    return torch.cat([back @ matrix[..., :2], start[..., None]], dim=-1)


def unslanted(glyphs: Glyphs) -> Glyphs:
    """Return letters set upright: each variant's median slant taken off."""
    slant = torch.from_numpy(strokes.measure(glyphs.field.flatten(0, 1).unsqueeze(1)).slant).view(glyphs.present.shape)
    slant = torch.where(glyphs.present, slant, torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num(0.0)
    lean = (slant.tan() * 1024).round() / 1024
    zero = torch.zeros_like(glyphs.transform[..., 0, 0])
    return replace(glyphs, transform=transform(zero, zero, zero - lean) @ glyphs.transform)


def masts(wide: Tensor) -> Tensor:
    """Return how many equal strokes and whites make up letters so wide, of the glyph's canvas: an H three, a Ш about
    five, an I one."""
    found = (3 + 5.5 * (wide / CAP_HEIGHT - 0.74)).clamp(2.3, 5.4)
    return torch.where(wide < SINGLE * CAP_HEIGHT, 1.0, found)


def boxes(glyphs: Glyphs) -> Tensor:
    """Return the box around the ink of each letter as transformed, [N, L, 4] float64: left, top, right, bottom."""
    ink = upright(glyphs) > 0
    size = ink.shape[-1]
    cells = torch.arange(size, device=ink.device)
    columns, rows = ink.any(2), ink.any(3)
    sides = (
        torch.where(columns, cells, size).amin(-1),
        torch.where(rows, cells, size).amin(-1),
        torch.where(columns, cells, -1).amax(-1) + 1,
        torch.where(rows, cells, -1).amax(-1) + 1,
    )
    return torch.stack(sides, dim=-1).double() / size


def thickness(stem: NDArray[np.float64], matrix: NDArray[np.float64]) -> tuple[float, ...]:
    """Return stems [L] of the glyph's canvas as they are on the canvas, by matrices [L, 2, 3] from there."""
    return tuple((stem[: len(matrix)] / np.linalg.norm(matrix[: len(stem), :, 0], axis=1)).tolist())


def spare(fields: Tensor, growth: Tensor) -> Tensor:
    """Return growth [N, L, 2] with less taken from letters [N, L, H, W] that would lose a stroke or a hole by it.

    A letter that would break spares all of its variant: the others would be lighter than it.
    """
    least = growth.amin(-1)
    thinner = least < 0
    thinned = fields[thinner].unsqueeze(1)
    whole = _count_shapes(thinned)
    share = torch.zeros_like(least)
    for part in (0.5, 1.0):
        tried = part * least[thinner] - HAIRLINE * CAP_HEIGHT / 2
        there = _count_shapes(thinned + tried.view(-1, 1, 1, 1).float())
        kept = torch.ones_like(thinner)
        kept[thinner] = (there == whole).all(-1)
        share = torch.where(kept.all(1, keepdim=True), part, share)
    return torch.where(growth < 0, growth * share[..., None], growth)


def _count_shapes(fields: Tensor) -> Tensor:
    """Return how many parts and holes fields [N, 1, H, W] have, [N, 2]."""
    ink = fields > 0
    return torch.stack([field.connected_parts(each).flatten(1).amax(1) for each in (ink, ~ink)], dim=-1)


def even(stem: Tensor, scale: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Return the growth [N, L, 2] that gives letters of unequal stems [N, L], drawn `scale` [N, L, 2] times as large,
    strokes of one thickness across and down: the geometric mean of what they have by themselves.

    With `weight` [N, L] the strokes of a letter are that many times as thick as the others'. Strokes never lose more
    than `THINNER` of their stem, and nothing changes where no stem is known.
    """
    size = scale.prod(-1).sqrt()
    target = (stem * size / weight).log().nanmean(dim=1, keepdim=True).exp() * weight
    growth = (target[..., None] / scale - stem[..., None]) / 2
    growth = torch.maximum(growth, -THINNER / 2 * stem[..., None]).nan_to_num(0.0)
    return (growth * 2**20).round() / 2**20  # no bit more: logarithms and sums may round differently elsewhere


def _centroid(outlines: Outlines, shift: Tensor) -> Tensor:
    """Return the centre of all ink of each variant, [N, 2]."""
    moved = outlines.moment + outlines.mass[..., None] * shift
    return moved.sum(1).double() / (outlines.mass.sum(1, keepdim=True).clamp(min=1) * UNIT)


def _units(length: Tensor) -> Tensor:
    return (length * UNIT).round()


def invert(matrix: Tensor) -> Tensor:
    """Return the inverses of matrices [..., 2, 2]."""
    a, b, c, d = matrix.flatten(-2).unbind(-1)
    rows = torch.stack([d, -b, -c, a], dim=-1) / (a * d - b * c).unsqueeze(-1)
    return rows.view(matrix.shape)
