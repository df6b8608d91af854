"""The algebra of fields: float32 [N, 1, H, W], unit = the side of the canvas, positive inside the ink.

Points are (x, y) in units of the side, y downwards, sampled at cell centres. Whatever is summed here is summed as
integers, so that no result depends on the order of summation, and with it on the number of threads.
"""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

WORKED: Final = 256  # cells across a glyph
SHARP: Final = 64
_IN_PLANE: Final = np.zeros((3, 3, 3), dtype=np.bool_)  # neighbours within one mask of a stack
_IN_PLANE[1] = True


def union(a: Tensor, b: Tensor) -> Tensor:
    """Ink of either."""
    return torch.maximum(a, b)


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Ink of both."""
    return torch.minimum(a, b)


def difference(a: Tensor, b: Tensor) -> Tensor:
    """Ink of `a` that is not ink of `b`."""
    return torch.minimum(a, -b)


def offset(field: Tensor, amount: float | Tensor) -> Tensor:
    """Move every edge outwards by `amount` (inwards where negative)."""
    return field + amount


def grow(field: Tensor, amount: Tensor) -> Tensor:
    """Move edges outwards by `amount` [N, 2], across and down: [N, 1, H, W] -> the same.

    What both have in common moves all edges alike; the rest is a maximum over shifts along one axis, which thickens
    the strokes that run across it. Shifts are half a cell apart at the most, for the thinnest strokes.
    """
    common = amount.amin(dim=1)
    grown = offset(field, common.view(-1, 1, 1, 1))
    rest = amount - common[:, None]
    size = field.shape[-1]
    # Each letter has a number of steps of its own: what comes of it may not depend on the letters beside.
    steps = (rest.amax(dim=1) * size * 2).ceil()
    if not len(field) or steps.max() == 0:
        return grown
    best = grown.clone()
    for step in range(1, int(steps.max()) + 1):
        own = (steps >= step).nonzero()[:, 0]
        letters, shift = grown[own], rest[own] * (step / steps[own])[:, None]
        for sign in (-1, 1):
            matrix = torch.eye(2, 3, device=field.device).repeat(len(own), 1, 1)
            matrix[:, :, 2] = sign * shift
            best[own] = torch.maximum(best[own], sample(letters, matrix, size))
    return best


def sample(field: Tensor, matrix: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Draw a field on another canvas of `size` cells: [N, 1, H, W] -> [N, 1, size, size].

    `matrix` [N, 2, 3] leads from a point of the new canvas to the point of the old one; beyond the old one its border
    goes on. Values are not rescaled.
    """
    centre = (torch.arange(size, device=field.device, dtype=torch.float32) + 0.5) / size
    # Spelled out instead of affine_grid, whose matrix product may round differently for other shapes.
    double = 2 * matrix  # grid_sample wants -1 ... 1
    across = double[:, :, 0, None] * centre + double[:, :, 2, None] - 1  # [N, 2, size]
    down = double[:, :, 1, None] * centre
    grid = (across[:, :, None, :] + down[:, :, :, None]).permute(0, 2, 3, 1)
    return F.grid_sample(field, grid, mode=mode, padding_mode="border", align_corners=False)


def refine(field: Tensor, factor: int) -> Tensor:
    """Draw a field on a grid `factor` times as fine, through a uniform cubic B-spline over its values.

    The spline smooths by half a cell, which takes the noise of a network and leaves twice differentiable edges.
    """
    basis = _spline(field.shape[-1], factor).to(field.device)
    return basis @ field @ basis.T


def resolve(field: Tensor) -> Tensor:
    """Draw a network's field on the grid that is worked on: four times as fine, at most `WORKED` cells.

    Coarse grids go through the spline of `refine`. From `SHARP` cells on, where noise is gone and corners matter, Keys'
    cubic (a = -0.5; 1981) passes through the values and keeps ramps straight.
    """
    size = field.shape[-1]
    factor = min(4, max(1, WORKED // size))
    if size < SHARP:
        return refine(field, factor)
    return F.interpolate(field, scale_factor=float(factor), mode="bicubic", antialias=True) if factor > 1 else field


def seal(field: Tensor, margin: float) -> Tensor:
    """Make ground of everything nearer to the border than `margin`, so that no ink can run off the canvas."""
    size = field.shape[-1]
    centre = (torch.arange(size, device=field.device, dtype=torch.float32) + 0.5) / size
    inside = torch.minimum(centre, 1 - centre) - margin
    return torch.minimum(field, torch.minimum(inside[:, None], inside))


def slope(field: Tensor) -> Tensor:
    """Return the length of the gradient per cell, by central differences; one-sided at the border."""
    wide = F.pad(field, (1, 1, 1, 1), mode="replicate")
    across = wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]
    down = wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]
    return (across * across + down * down).sqrt() * 0.5


def drop_specks(field: Tensor, percent: int) -> Tensor:
    """Turn every connected part below `percent` of a field's ink cells into ground."""
    ink = field > 0
    labels = connected_parts(ink)
    flat = labels.flatten(1)
    sizes = torch.zeros(len(field), field.shape[-2:].numel() + 1, dtype=torch.int64, device=field.device)
    sizes = sizes.scatter_add(1, flat, ink.flatten(1).long())
    size = sizes.gather(1, flat).view_as(labels)
    total = ink.flatten(1).sum(1).view(-1, 1, 1, 1)
    return torch.where(ink & (size * 100 < total * percent), -field, field)


def connected_parts(ink: Tensor) -> Tensor:
    """Number the connected parts of masks [N, 1, H, W] from 1 on, diagonals connecting; each mask by itself."""
    masks = ink[:, 0].cpu().numpy()
    # Told apart by SciPy, all masks in one pass: labels spread from cell to cell by maxima took 48 times as long.
    labels, _ = ndimage.label(masks, _IN_PLANE)
    before = np.maximum.accumulate(labels.max(axis=(1, 2), initial=0))
    first = np.concatenate([[0], before[:-1]]) if len(masks) else before
    own = np.where(masks, labels - first[:, None, None], 0)
    return torch.from_numpy(own.astype(np.int64))[:, None].to(ink.device)


def _spline(size: int, factor: int) -> Tensor:
    """Return the matrix [size * factor, size] that evaluates a cubic B-spline; past the border the border goes on."""
    place = (torch.arange(size * factor, dtype=torch.float64) + 0.5) / factor - 0.5
    first = place.floor()
    t = place - first
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    basis = torch.zeros(size * factor, size, dtype=torch.float64)
    for step, weight in enumerate(weights):
        column = (first.long() + step - 1).clamp(0, size - 1)
        basis.scatter_add_(1, column[:, None], weight[:, None] / 6)
    return basis.float()
