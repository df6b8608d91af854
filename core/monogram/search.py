"""The search for placements in which letters can be woven: many are tried, on coarse masks.

The first round tries placements spread evenly over offsets, sizes and widths; then the most promising ones are moved a
little, twice. What is clean (`crossings`) is ranked by how it looks: square crossings, three or four of them, a compact
shape, little of any letter under another.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.monogram import crossings
from core.monogram.crossings import Verdicts
from core.monogram.optics import MARGIN

KEPT: Final = 4  # placements a variant: the best, and what is tried if it turns out not to be clean
FEWEST: Final = 2  # crossings
CELLS: Final = 64  # across a mask
_FRAME: Final = 3  # cells of ground around what is placed
_FIRST: Final = 384  # placements tried first, by the number of letters beyond two twice as many
_PARENTS: Final = 8
_CHILDREN: Final = 8  # of each parent, itself among them
_ROUNDS: Final = 2  # of children
_PORTION: Final = 512  # placements at a time: their masks stay in the cache
_SLANTED: Final = 57  # percent: the sine of 35 degrees

# What each letter but the first may do, against the one before it: least and most.
_ACROSS: Final = (0.06, 0.92)  # between the middles, of the mean of their widths
_DOWN: Final = (-0.24, 0.24)  # of the glyph canvas, nearly half a cap height
_SIZE: Final = (0.75, 1.33)
_WIDTH: Final = (0.88, 1.12)
_STEP: Final = (0.10, 0.05, 0.04, 0.05)  # how far children go from their parents, at the most


def search(fields: Tensor, boxes: Tensor) -> Tensor:
    """Find placements of letters: fields [N, L, H, W] with boxes [N, L, 4].

    Return matrices [N, KEPT, L, 2, 3] float64 from the canvas to each glyph, the best first; nan
    where one is not clean.
    """
    number, places = fields.shape[:2]
    first = _even(_FIRST * 2 ** (places - 2), 4 * (places - 1))
    tries = _scale(first.view(1, -1, places - 1, 4)).expand(number, -1, -1, -1)
    rank = _rank(_judge(fields, boxes, tries))
    steps = (_even(_CHILDREN - 1, 4 * (places - 1)) * 2 - 1).view(-1, places - 1, 4) * torch.tensor(_STEP)
    steps = F.pad(steps, (0, 0, 0, 0, 1, 0))  # the parent itself comes first
    for finer in range(_ROUNDS):
        chosen = _take(tries, _order(rank)[:, :_PARENTS])
        tries = (chosen[:, :, None] + steps * 0.5**finer).flatten(1, 2)
        rank = _rank(_judge(fields, boxes, tries))
    order = _order(rank)
    # Of each family only the best, so that what is kept differs.
    family = order // _CHILDREN
    earlier = (family[:, :, None] == family[:, None, :]).tril(-1).any(-1)
    kept = order.gather(1, earlier.long().argsort(dim=1, stable=True)[:, :KEPT])
    matrix = _place(boxes, _take(tries, kept)).matrix(MARGIN)
    return torch.where((rank.gather(1, kept) > 0)[..., None, None, None], matrix, torch.nan)


def _take(tries: Tensor, which: Tensor) -> Tensor:
    return tries.gather(1, which[..., None, None].expand(-1, -1, *tries.shape[2:]))


@dataclass(frozen=True, slots=True)
class _Placed:
    """Letters of N variants in C ways: a point g of a glyph lies at (g - middle) * scale + at; what holds them all."""

    middle: Tensor  # [N, 1, L, 2]
    scale: Tensor  # [N, C, L, 2]
    at: Tensor  # [N, C, L, 2]
    low: Tensor  # [N, C, 2]
    high: Tensor  # [N, C, 2]

    def matrix(self, margin: float = 0.0) -> Tensor:
        """Return the way from a square around it all to each glyph, [N, C, L, 2, 3]."""
        side = (self.high - self.low).amax(-1, keepdim=True) / (1 - 2 * margin)  # [N, C, 1]
        corner = (self.high + self.low) / 2 - side / 2
        start = (corner[:, :, None] - self.at) / self.scale + self.middle
        return torch.cat([torch.diag_embed(side[:, :, None] / self.scale), start[..., None]], dim=-1)


def _place(boxes: Tensor, tries: Tensor) -> _Placed:
    """Place letters with boxes [N, L, 4] by what is tried [N, C, L - 1, 4]."""
    left, top, right, bottom = boxes[:, None].unbind(-1)  # [N, 1, L]
    middle = torch.stack([(left + right) / 2, torch.full_like(left, 0.5)], dim=-1)
    across, down, size, width = F.pad(tries, (0, 0, 1, 0)).unbind(-1)  # [N, C, L]
    size[..., 0], width[..., 0] = 1.0, 1.0
    scale = torch.stack([size * width, size], dim=-1)
    wide = (right - left) * scale[..., 0]
    x = F.pad(across[..., 1:] * (wide[..., :-1] + wide[..., 1:]) / 2, (1, 0)).cumsum(-1)
    at = torch.stack([x, down], dim=-1)
    low = ((torch.stack([left, top], dim=-1) - middle) * scale + at).amin(2)
    high = ((torch.stack([right, bottom], dim=-1) - middle) * scale + at).amax(2)
    return _Placed(middle, scale, at, low, high)


@dataclass(frozen=True, slots=True)
class _Judged:
    verdicts: Verdicts  # of N * C placements
    long: NDArray[np.int64]  # [N, C] percent that the longer side of what holds a placement is longer


def _judge(fields: Tensor, boxes: Tensor, tries: Tensor) -> _Judged:
    """Judge every try [N, C, ...] of every variant, a portion at a time."""
    placed = _place(boxes, tries)
    matrix = placed.matrix(_FRAME / CELLS)
    number, count, places = matrix.shape[:3]
    step = max(1, _PORTION // count)
    portions = [slice(start, start + step) for start in range(0, number, step)]
    drawn = (_draw(fields[here], matrix[here].float()).reshape(-1, places, CELLS, CELLS) for here in portions)
    sides = (placed.high - placed.low).sort(dim=-1).values
    return _Judged(
        Verdicts.join([crossings.judge(each.numpy()) for each in drawn]),
        (100 * sides[..., 1] / sides[..., 0]).long().numpy() - 100,
    )


def _rank(judged: _Judged) -> Tensor:
    """Return what each placement is worth [N, C]: above 0 if it can be woven, higher where it looks better."""
    found = judged.verdicts
    worth = 1000 + found.square // 2 + 12 * np.minimum(found.overlaps, 4) - 8 * np.maximum(found.overlaps - 5, 0)
    worth = worth - 5 * found.busy - 100 * found.hidden // np.maximum(found.ink, 1) - judged.long.flatten() // 2
    fails = 4 * found.spoilt + np.minimum(found.near, 24) // 2 + (np.maximum(_SLANTED - found.square, 0) + 7) // 8
    fails = fails + 8 * np.maximum(FEWEST - found.overlaps, 0) + 8 * np.maximum(found.overlaps - crossings.MOST, 0)
    rank = np.where(fails > 0, -1000 * fails, 0) + np.clip(worth, 1, 1999)
    return torch.from_numpy(rank).view(judged.long.shape)


def _order(rank: Tensor) -> Tensor:
    """Return the places of the best first, [N, C]; of equals the earlier."""
    return rank.argsort(dim=1, descending=True, stable=True)


def _draw(fields: Tensor, matrix: Tensor) -> Tensor:
    """Draw letters [N, L, H, W] by matrices [N, C, L, 2, 3] on masks' grids, in cells, [N, C, L, CELLS, CELLS]."""
    number, count, places = matrix.shape[:3]
    matrix = matrix.transpose(1, 2).flatten(0, 1)  # [N * L, C, 2, 3]
    centre = (torch.arange(CELLS, dtype=torch.float32) + 0.5) / CELLS
    across = matrix[:, :, 0, 0, None] * centre + matrix[:, :, 0, 2, None]
    down = matrix[:, :, 1, 1, None] * centre + matrix[:, :, 1, 2, None]
    shape = (number * places, count, CELLS, CELLS)
    grid = torch.stack([across[:, :, None, :].expand(shape), down[:, :, :, None].expand(shape)], dim=-1) * 2 - 1
    letters = fields.flatten(0, 1).unsqueeze(1)
    drawn = F.grid_sample(letters, grid.view(len(grid), -1, CELLS, 2), padding_mode="border", align_corners=False)
    cell = CELLS / (matrix[:, :, 0, 0] * matrix[:, :, 1, 1]).sqrt()
    drawn = drawn.view(number, places, count, CELLS, CELLS) * cell.view(number, places, count, 1, 1)
    return drawn.transpose(1, 2)


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
