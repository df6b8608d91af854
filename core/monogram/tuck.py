"""Which letters of a band are drawn small and tucked beside a neighbour, as О under the arm of a Г.

A letter has *room* where a corner of its box is empty: at its right or left, below or above. A letter fits into room
that reaches far enough, if it stays clear at half the height: in one piece, and of two level strokes at the most. The
first letter stays as it is: names begin with it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.monogram.optics import Glyphs, boxes, upright

Floats = NDArray[np.float64]

SMALL: Final = 0.4  # of the band's height, a tucked letter
OPEN: Final = 0.44  # of the height that must be empty for it
NARROW: Final = 2.6  # masts, the widest that is tucked
WIDER: Final = 1.4  # times as wide at the most, a letter that others are tucked beside
MOST: Final = 1.9  # masts that a tucked letter may stick out
WIDEST: Final = 4.6  # masts of a letter that can be tucked, before it is
_BARS: Final = 2  # level strokes one above the other, in a letter that can be tucked
_FEW: Final = 0.12  # of its columns may hold more: serifs, a tail


@dataclass(frozen=True, slots=True)
class Room:
    """What letters [N, L] leave open."""

    share: Tensor  # [N, L, 2, 2] of their width, at the right and the left, below and above
    fits: Tensor  # [N, L] bool, whether a letter can itself be drawn small


@dataclass(frozen=True, slots=True)
class Tucked:
    """How wide and high the letters of bands are, and where they stand."""

    masts: Tensor  # [N, L]
    length: Tensor  # [N] masts that all of them take, without what is between
    share: Tensor  # [N, L] of the band's height
    foot: Tensor  # [N, L] where letters end, 0 the top of the band and 1 its bottom


def find_room(glyphs: Glyphs) -> Room:
    """Measure what letters leave open as their transforms leave them."""
    ink = upright(glyphs) > 0  # [N, L, H, W]
    size = ink.shape[-1]
    left, top, right, bottom = (boxes(glyphs) * size).unbind(-1)
    row = torch.arange(size, device=ink.device, dtype=torch.float64) + 0.5
    high = (bottom - top)[..., None]
    below = row > bottom[..., None] - OPEN * high  # [N, L, H]
    above = row < top[..., None] + OPEN * high
    wide = (right - left).clamp(min=1)
    shares = []
    for half in (below, above):
        columns = (ink & half[..., None]).any(2)  # [N, L, W]
        far = torch.where(columns, row, -1.0).amax(-1) + 0.5
        near = torch.where(columns, row, 2.0 * size).amin(-1) - 0.5
        shares.append(torch.stack([(right - far) / wide, (near - left) / wide], dim=-1))
    bars = (ink[:, :, 1:] & ~ink[:, :, :-1]).sum(2)  # [N, L, W]
    many = (bars > _BARS).sum(-1) / wide
    whole = ink.any(3).sum(-1) >= bottom - top - 0.5
    return Room(torch.stack(shares, dim=-1).clamp(0, 1), (many < _FEW) & whole)


def tuck(room: Room, masts: Tensor, white: float) -> Tucked:
    """Tuck what can be tucked into bands of letters that are so many `masts` [N, L] wide, `white` masts apart; 0 where
    no letter is."""
    wide, share, foot = masts.clone(), torch.ones_like(masts), torch.ones_like(masts)
    length = masts.sum(1)
    for number, row in enumerate(masts.numpy(force=True)):
        own = _choose(room.share[number].numpy(force=True), room.fits[number].numpy(force=True), row, white)
        for small, (host, new, level) in own.items():
            stick = max(
                0.0, float(min(row[small], NARROW) + white - new * room.share[number, host, int(small < host), level])
            )
            wide[number, small], wide[number, host] = min(float(row[small]), NARROW), new
            share[number, small] = SMALL
            foot[number, small] = (1.0, SMALL)[level]
            length[number] += new - float(row[host]) + stick - float(row[small]) - white
    return Tucked(wide, length, share, foot)


def _choose(room: Floats, fits: NDArray[np.bool_], masts: Floats, white: float) -> dict[int, tuple[int, float, int]]:
    """Return, by each letter that is tucked, its neighbour, how wide that becomes, and 0 for below or 1 for above."""
    found: dict[int, tuple[int, float, int]] = {}
    hosts: set[int] = set()
    for first in range(int((masts > 0).sum()) - 1):
        for side, (host, small) in enumerate(((first, first + 1), (first + 1, first))):
            if small == 0 or not fits[small] or not 1 < masts[small] <= WIDEST or masts[host] <= 1:
                continue
            if {host, small} & found.keys() or {host, small} & hosts:
                continue
            needed = min(masts[small], NARROW) + white
            for level in (0, 1):
                share = room[host, side, level]
                new = float(np.clip(needed / max(share, 1e-6), masts[host], WIDER * masts[host]))
                if needed - share * new <= MOST and small not in found:
                    found[small] = (host, new, level)
                    hosts.add(host)
    return found
