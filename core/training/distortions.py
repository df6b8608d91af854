"""What a judge in training may see a letter as: moved, leaning, wobbling, bolder, hollow, coarse, partly covered.

Fields in, fields out: [N, 1, H, H], canvas units, positive inside. Nothing here mirrors a letter or turns it far: И is
not N, and 6 is not 9. Every draw comes from the generator given.
"""

from dataclasses import dataclass
from math import pi, sqrt
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

_COARSE: Final = 28  # cells: the grid of `mlp`


@dataclass(frozen=True)
class Distortion:
    """How far each change may go; lengths in units of the canvas, draws uniform in +- unless said otherwise."""

    rotation: float = 5 * pi / 180
    shear: float = 0.16
    stretch: float = 0.2  # of the logarithm of the width
    scale: float = 0.1  # of the logarithm of the size
    shift: float = 0.05
    bend: float = 0.008  # standard deviation of a smooth displacement
    wobble: float = 0.005  # standard deviation of smooth noise on the distance, and at most
    wobble_share: float = 0.12  # of the style's thinnest stroke: hairlines should thin, seldom break
    thicken: float = 0.014
    thin: float = 0.3  # of the style's thinnest stroke
    cover: float = 0.22  # longest side of what is covered
    hollow: float = 0.08  # share of letters reduced to their outline
    coarse: float = 0.1  # share of letters that went through a coarse grid
    covered: float = 0.12  # share of letters partly covered


def distort(fields: Tensor, strokes: Tensor, generator: torch.Generator, how: Distortion) -> Tensor:
    """Return fields [N, 1, H, H] changed at random; `strokes` [N] is the thinnest stroke of each letter's style."""
    moved = _move(fields, generator, how)
    weighed = _weigh(moved, strokes, generator, how)
    depth = (how.wobble_share * strokes).clamp(max=how.wobble).view(-1, 1, 1, 1)
    wobbling = weighed + depth * _smooth(weighed, 1, (5, 12), generator)
    return _cover(_coarsen(wobbling, generator, how), generator, how)


def _move(fields: Tensor, generator: torch.Generator, how: Distortion) -> Tensor:
    """Rotate, shear, stretch, scale, shift and bend; distances grow with the scale."""
    count = len(fields)
    limits = (how.rotation, how.shear, how.stretch, how.scale, how.shift, how.shift)
    spread = torch.tensor(limits, device=fields.device)
    turn, lean, wide, large, across, down = ((_uniform(count, 6, fields, generator) * 2 - 1) * spread).unbind(1)
    cos, sin = turn.cos(), turn.sin()
    x, y = (wide / 2 + large).exp(), (large - wide / 2).exp()
    # From the new canvas to the old one, in units of grid_sample: -1 ... 1 about the middle.
    rows = torch.stack([cos / x, (lean - sin) / x, 2 * across, sin / y, cos / y, 2 * down], dim=1)
    grid = F.affine_grid(rows.view(count, 2, 3), list(fields.shape), align_corners=False)
    bend = 2 * how.bend * _smooth(fields, 2, (4, 7), generator)
    moved = F.grid_sample(fields, grid + bend.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    return moved * large.exp().view(-1, 1, 1, 1)


def _weigh(fields: Tensor, strokes: Tensor, generator: torch.Generator, how: Distortion) -> Tensor:
    """Make strokes bolder or thinner; turn a few letters into their outlines."""
    amount, chance, line = _uniform(len(fields), 3, fields, generator).unbind(1)
    change = torch.where(amount < 0.5, -how.thin * strokes * (1 - 2 * amount), how.thicken * (2 * amount - 1))
    weighed = fields + change.view(-1, 1, 1, 1)
    half = (0.006 + 0.006 * line).view(-1, 1, 1, 1)
    return torch.where((chance < how.hollow).view(-1, 1, 1, 1), half - weighed.abs(), weighed)


def _coarsen(fields: Tensor, generator: torch.Generator, how: Distortion) -> Tensor:
    """Lead a few letters through the grid of a small network and back."""
    chosen = (_uniform(len(fields), 1, fields, generator)[:, 0] < how.coarse).nonzero()[:, 0]
    size = fields.shape[-1]
    small = F.interpolate(fields[chosen], size=(_COARSE, _COARSE), mode="bilinear", align_corners=False)
    large = F.interpolate(small, size=(size, size), mode="bicubic", align_corners=False)
    return fields.index_copy(0, chosen, large)


def _cover(fields: Tensor, generator: torch.Generator, how: Distortion) -> Tensor:
    """Cover a rectangle of a few letters with ground (DeVries and Taylor, "Cutout", 2017)."""
    chance, left, top, width, height = _uniform(len(fields), 5, fields, generator).view(-1, 5, 1, 1).unbind(1)
    place = (torch.arange(fields.shape[-1], device=fields.device) + 0.5) / fields.shape[-1]
    across = (place - 0.15 - 0.7 * left).abs() - how.cover / 2 * width  # [N, 1, H]
    down = (place - 0.15 - 0.7 * top).abs() - how.cover / 2 * height
    outside = torch.maximum(across, down.transpose(1, 2)).unsqueeze(1)  # [N, 1, H, H], positive outside
    return torch.where((chance < how.covered).unsqueeze(1), torch.minimum(fields, outside), fields)


def _smooth(like: Tensor, channels: int, cells: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw smooth noise [N, channels, H, H] of about unit variance: a sum of coarse grids of these many cells."""
    size = like.shape[-1]
    total = torch.zeros(len(like), channels, size, size, device=like.device)
    for count in cells:
        coarse = torch.randn(len(like), channels, count, count, generator=generator, device=like.device)
        matrix = _hats(count, size).to(like.device)
        total += matrix @ coarse @ matrix.T
    return total / sqrt(len(cells))


def _hats(count: int, size: int) -> Tensor:
    """Return the matrix [size, count] of linear interpolation, smoothed so that no kink shows."""
    place = (torch.arange(size) + 0.5) / size * (count - 1)
    apart = (place[:, None] - torch.arange(count)).abs().clamp(max=1)
    weight = 1 - apart * apart * (3 - 2 * apart)
    return F.normalize(weight, dim=1)


def _uniform(count: int, columns: int, like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(count, columns, generator=generator, device=like.device)
