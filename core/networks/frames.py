"""Upright letters of one width: the frame in which family `style` adds up fields, and the way out of it.

Fonts differ first of all in slant and width. Once both are taken out, stems of different fonts lie on each other, and
far fewer coefficients tell their differences. A frame holds three numbers of a letter:

    x = middle + slant * (MIDDLE - y) + stretch * (x' - 1/2)        from the frame's x' to the canvas's x; y stays

Only positions move. A value keeps meaning its distance on the canvas, so that going to the frame and back changes
nothing but the rounding of two interpolations along rows.
"""

from typing import Final

import torch
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT

MIDDLE: Final = BASELINE - CAP_HEIGHT / 2  # the height that slanting leaves where it is


def enter(field: Tensor, frame: Tensor, size: int) -> Tensor:
    """Draw fields [N, 1, H, H] in their frames [N, 3] (slant, middle, stretch): [N, 1, H, size]."""
    slant, middle, stretch = frame[:, :, None, None].unbind(1)
    across, down = _centres(size, field), _centres(field.shape[-2], field)
    return _move(field, middle + slant * (MIDDLE - down[:, None]) + stretch * (across - 0.5))


def leave(framed: Tensor, frame: Tensor) -> Tensor:
    """Draw framed fields [N, 1, H, W] on the canvas again: [N, 1, H, W]."""
    slant, middle, stretch = frame[:, :, None, None].unbind(1)
    across, down = _centres(framed.shape[-1], framed), _centres(framed.shape[-2], framed)
    return _move(framed, (across - middle - slant * (MIDDLE - down[:, None])) / stretch + 0.5)


def _move(field: Tensor, place: Tensor) -> Tensor:
    """Look up each row of [N, 1, H, W] at places [N, H, w] by Keys' cubic (a = -0.5), which keeps ramps straight."""
    width = field.shape[-1]
    at = place * width - 0.5
    first = at.floor()
    t = (at - first).unsqueeze(1)
    weights = (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    column = first.long().unsqueeze(1)
    taps = (field.gather(3, (column + step).clamp(0, width - 1)) for step in (-1, 0, 1, 2))
    return torch.stack([weight * tap for weight, tap in zip(weights, taps, strict=True)]).sum(0)


def _centres(count: int, like: Tensor) -> Tensor:
    return (torch.arange(count, device=like.device, dtype=torch.float32) + 0.5) / count
