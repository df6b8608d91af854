"""The search for placements in which letters can be woven: many are tried, on coarse masks.

The first round tries placements spread evenly over offsets, sizes and widths; then the most promising ones are moved a
little, twice. Where nothing clean comes out, other placements are tried from the start, a few times. What is clean
(`crossings`) is ranked by how it looks: square crossings, three or four of them, a compact shape, letters in their
order and of one size, little of any under another.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.monogram import crossings
from core.monogram.crossings import Verdicts
from core.monogram.optics import MARGIN

KEPT: Final = 8  # placements a variant: the best, and what is tried if it turns out not to be clean
FEWEST: Final = 2  # crossings
CELLS: Final = 64  # across a mask
_FRAME: Final = 3  # cells of ground around what is placed
_FIRST: Final = 384  # placements tried first, by the number of letters beyond two twice as many
_PARENTS: Final = 8
_CHILDREN: Final = 8  # of each parent, itself among them
_ROUNDS: Final = 2  # of children
_STARTS: Final = 4  # at the most, while nothing clean was found
_PORTION: Final = 512  # placements at a time: their masks stay in the cache
_REMEMBERED: Final = 4096  # sets of letters whose placements are kept in memory, 800 bytes each
_SLANTED: Final = 50  # percent: the sine of 30 degrees
_ORDERLY: Final = 0.25  # of the mean of their widths, and a letter stands clearly to the right of the one before
_COVERED: Final = 28  # percent of a letter under or over others, from which on too little of it would be left

# What each letter but the first may do, against the one before it: least and most.
_ACROSS: Final = (-0.3, 0.92)  # between the middles, of the mean of their widths
_DOWN: Final = (-0.34, 0.34)  # of the glyph canvas, two thirds of a cap height
_SIZE: Final = (0.6, 1.6)
_WIDTH: Final = (0.8, 1.25)
_STEP: Final = (0.10, 0.05, 0.04, 0.05)  # how far children go from their parents, at the most


_known: OrderedDict[bytes, Tensor] = OrderedDict()
_lock: Final = Lock()


def search(fields: Tensor, boxes: Tensor) -> Tensor:
    """Find placements of L letters: fields [L, H, W] with boxes [L, 4].

    Return matrices [KEPT, L, 2, 3] float64 from the canvas to each glyph, the best first; nan where one is not clean.
    What was found for the very same letters is remembered: a house style meets the same initials again and again.
    """
    key = hashlib.sha256(repr(fields.shape).encode())
    for each in (fields, boxes):
        key.update(each.numpy(force=True).tobytes())
    digest = key.digest()
    with _lock:
        if digest in _known:
            _known.move_to_end(digest)
            return _known[digest]
    found = _search(fields, boxes)
    with _lock:
        _known[digest] = found
        if len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return found


def _search(fields: Tensor, boxes: Tensor) -> Tensor:
    places = len(fields)
    count = _FIRST * 2 ** (places - 2)
    points = _even(_STARTS * count, 4 * (places - 1)).view(_STARTS, count, places - 1, 4)
    steps = (_even(_CHILDREN - 1, 4 * (places - 1)) * 2 - 1).view(-1, places - 1, 4) * torch.tensor(_STEP)
    steps = F.pad(steps, (0, 0, 0, 0, 1, 0))  # the parent itself comes first
    for start in points:
        tries = _scale(start)
        rank = _rank(_judge(fields, boxes, tries), tries)
        for finer in range(_ROUNDS):
            chosen = tries[_order(rank)[:_PARENTS]]
            tries = (chosen[:, None] + steps * 0.5**finer).flatten(0, 1)
            rank = _rank(_judge(fields, boxes, tries), tries)
        if rank.max() > 0:
            break
    order = _order(rank)
    # Of each family first the best, so that what is kept differs.
    family = order // _CHILDREN
    earlier = (family[:, None] == family[None, :]).tril(-1).any(-1)
    kept = order[earlier.long().argsort(stable=True)[:KEPT]]
    matrix = _place(boxes, tries[kept]).matrix(MARGIN)
    return torch.where((rank[kept] > 0)[:, None, None, None], matrix, torch.nan)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Letters in C ways: a point g of a glyph lies at (g - middle) * scale + at; what holds them all."""

    middle: Tensor  # [L, 2]
    scale: Tensor  # [C, L, 2]
    at: Tensor  # [C, L, 2]
    low: Tensor  # [C, 2]
    high: Tensor  # [C, 2]

    def matrix(self, margin: float = 0.0) -> Tensor:
        """Return the way from a square around it all to each glyph, [C, L, 2, 3]."""
        side = (self.high - self.low).amax(-1, keepdim=True) / (1 - 2 * margin)  # [C, 1]
        corner = (self.high + self.low) / 2 - side / 2
        start = (corner[:, None] - self.at) / self.scale + self.middle
        return torch.cat([torch.diag_embed(side[:, None] / self.scale), start[..., None]], dim=-1)


def _place(boxes: Tensor, tries: Tensor) -> _Placed:
    """Place letters with boxes [L, 4] by what is tried [C, L - 1, 4]."""
    left, top, right, bottom = boxes.unbind(-1)  # [L]
    middle = torch.stack([(left + right) / 2, torch.full_like(left, 0.5)], dim=-1)
    across, down, size, width = F.pad(tries, (0, 0, 1, 0)).unbind(-1)  # [C, L]
    size[:, 0], width[:, 0] = 1.0, 1.0
    scale = torch.stack([size * width, size], dim=-1)
    wide = (right - left) * scale[..., 0]
    x = F.pad(across[:, 1:] * (wide[:, :-1] + wide[:, 1:]) / 2, (1, 0)).cumsum(-1)
    at = torch.stack([x, down], dim=-1)
    low = ((torch.stack([left, top], dim=-1) - middle) * scale + at).amin(1)
    high = ((torch.stack([right, bottom], dim=-1) - middle) * scale + at).amax(1)
    return _Placed(middle, scale, at, low, high)


@dataclass(frozen=True, slots=True)
class _Judged:
    verdicts: Verdicts  # of C placements
    long: NDArray[np.int64]  # [C] percent that the longer side of what holds a placement is longer


def _judge(fields: Tensor, boxes: Tensor, tries: Tensor) -> _Judged:
    """Judge every try [C, L - 1, 4], a portion at a time."""
    placed = _place(boxes, tries)
    matrix = placed.matrix(_FRAME / CELLS).float()
    drawn = (_draw(fields, part) for part in torch.split(matrix, _PORTION))
    sides = (placed.high - placed.low).sort(dim=-1).values
    return _Judged(
        Verdicts.join([crossings.judge(each.numpy()) for each in drawn]),
        (100 * sides[:, 1] / sides[:, 0]).long().numpy() - 100,
    )


def _rank(judged: _Judged, tries: Tensor) -> Tensor:
    """Return what each placement is worth [C]: above 0 if it can be woven, higher where it looks better."""
    found = judged.verdicts
    worth = 500 + found.square // 2 + 12 * np.minimum(found.overlaps, 4) - 8 * np.maximum(found.overlaps - 5, 0)
    worth = worth - 5 * found.busy - found.covered - judged.long // 2
    across, _, size, _ = tries.unbind(-1)  # [C, L - 1]
    worth = worth - (100 * (_ORDERLY - across).clamp(min=0) + 60 * size.log().abs()).sum(-1).long().numpy()
    fails = 4 * found.spoilt + np.minimum(found.near, 24) // 2 + (np.maximum(_SLANTED - found.square, 0) + 7) // 8
    fails = fails + 8 * np.maximum(FEWEST - found.overlaps, 0) + 8 * np.maximum(found.overlaps - crossings.MOST, 0)
    fails = fails + (np.maximum(found.covered - _COVERED, 0) + 7) // 8
    return torch.from_numpy(np.clip(worth, 1, 999) - 1000 * fails)


def _order(rank: Tensor) -> Tensor:
    """Return the places of the best first, [C]; of equals the earlier."""
    return rank.argsort(descending=True, stable=True)


def _draw(fields: Tensor, matrix: Tensor) -> Tensor:
    """Draw letters [L, H, W] by matrices [C, L, 2, 3] on masks' grids, in cells, [C, L, CELLS, CELLS]."""
    matrix = matrix.transpose(0, 1)  # [L, C, 2, 3]
    places, count = matrix.shape[:2]
    centre = (torch.arange(CELLS, dtype=torch.float32) + 0.5) / CELLS
    across = matrix[:, :, 0, 0, None] * centre + matrix[:, :, 0, 2, None]
    down = matrix[:, :, 1, 1, None] * centre + matrix[:, :, 1, 2, None]
    shape = (places, count, CELLS, CELLS)
    grid = torch.stack([across[:, :, None, :].expand(shape), down[:, :, :, None].expand(shape)], dim=-1) * 2 - 1
    grid = grid.view(places, -1, CELLS, 2)
    drawn = F.grid_sample(fields[:, None], grid, padding_mode="border", align_corners=False)
    cell = CELLS / (matrix[:, :, 0, 0] * matrix[:, :, 1, 1]).sqrt()
    return (drawn.view(shape) * cell[..., None, None]).transpose(0, 1)


def _even(count: int, numbers: int) -> Tensor:
    """Return points spread evenly in the unit cube [count, numbers] (Roberts, "The unreasonable effectiveness of
    quasirandom sequences", 2018)."""
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (numbers + 1))
    step = torch.tensor([root ** -(power + 1) for power in range(numbers)], dtype=torch.float64)
    points: Tensor = torch.arange(1, count + 1, dtype=torch.float64)[:, None] * step + 0.5
    return points.frac()


def _scale(even: Tensor) -> Tensor:
    """Bring points of the unit cube [..., 4] to what each letter may do."""
    low, high = torch.tensor([_ACROSS, _DOWN, _SIZE, _WIDTH], dtype=torch.float64).T
    return torch.lerp(low, high, even)
