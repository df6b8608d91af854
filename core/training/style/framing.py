"""Bring letters to one frame: measure the slant of a style, the middle and stretch of each letter; draw them framed."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from core.alphabet import LETTERS
from core.networks import frames
from core.networks.style import CELLS, HEAD_OF, HEADS, SIZE
from core.training.style.tables import Table

STEP: Final = 4096  # of an integer that means 1

# Letters whose stems tell the slant, and letters too narrow to tell a width.
_UPRIGHT: Final = "BDEFHIKLMNPRTUГПЦШЩ"
_NARROW: Final = "IJLЇТГҐЬ1"
_STEEPEST: Final = 0.7  # edges that lean more than this are no stems
_UPRIGHT_BELOW: Final = 0.015
_STRETCHES: Final = (0.55, 1.8)


@dataclass(frozen=True)
class Framed:
    """The rows of a table upright and of one width."""

    frames: Tensor  # [N, 3] slant, middle, stretch
    fields: Tensor  # [N, 4096] int16, `STEP` = 1

    def rows(self, rows: Tensor) -> Tensor:
        """Return rows as fields [n, 4096] in units of `REACH`."""
        return self.fields[rows].float() / STEP


def frame(table: Table) -> Framed:
    """Measure and draw every row."""
    found = measure(table)
    fields = torch.empty(len(table), CELLS, dtype=torch.int16)
    for rows in table.portions(torch.arange(len(table))):
        drawn = frames.enter(table.coarse(rows).view(-1, 1, SIZE, SIZE), found[rows], SIZE)
        fields[rows] = (drawn.clamp(-1, 1) * STEP).round().to(torch.int16).flatten(1)
    return Framed(found, fields)


def measure(table: Table) -> Tensor:
    """Return the frame of every row, [N, 3]: slant, middle, stretch. Stretch 1 is the mean width of the letter."""
    slant = _slants(table)[table.styles]
    middle, spread = torch.zeros(len(table)), torch.zeros(len(table))
    for rows in table.portions(torch.arange(len(table))):
        middle[rows], spread[rows] = _masses(table.coarse(rows).view(-1, 1, SIZE, SIZE), slant[rows])
    count = torch.bincount(table.heads, minlength=HEADS).clamp(min=1)
    usual = torch.zeros(HEADS).index_add_(0, table.heads, spread) / count
    stretch = spread / usual[table.heads]
    narrow = torch.isin(table.heads, _heads(_NARROW))
    for style in range(len(table.rows)):
        mine = table.styles == style
        told = stretch[mine & ~narrow]
        stretch[mine & narrow] = told.median() if len(told) else 1.0
    return torch.stack([slant, middle, stretch.clamp(*_STRETCHES)], dim=1)


def _slants(table: Table) -> Tensor:
    """Return each style's slant [S]: the median lean of its stems' edges, 0 where upright by all appearances."""
    found = torch.zeros(len(table.rows))
    upright = _heads(_UPRIGHT)
    for style, rows in enumerate(table.rows):
        own = rows[upright]
        field = table.fine(own[own >= 0])[:, 0]
        across, down = field[:, 1:-1, 2:] - field[:, 1:-1, :-2], field[:, 2:, 1:-1] - field[:, :-2, 1:-1]
        edge = (field[:, 1:-1, 1:-1].abs() < 0.3) & (down.abs() < _STEEPEST * across.abs())
        lean = (down / across)[edge]
        if len(lean):
            slant = float(lean.median())
            found[style] = slant if abs(slant) > _UPRIGHT_BELOW else 0.0
    return found


def _masses(field: Tensor, slant: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of the ink's x once upright, [n] each."""
    still = torch.stack([slant, torch.full_like(slant, 0.5), torch.ones_like(slant)], dim=1)
    upright = frames.enter(field, still, field.shape[-1])
    ink = (upright * 4 + 0.5).clamp(0, 1).sum(dim=(1, 2))  # [n, W]; a cell is a quarter of `REACH`
    place = (torch.arange(ink.shape[1]) + 0.5) / ink.shape[1]
    mass = ink.sum(1).clamp(min=1e-6)
    mean = (ink * place).sum(1) / mass
    return mean, ((ink * (place - mean[:, None]).square()).sum(1) / mass).sqrt()


def _heads(letters: str) -> Tensor:
    return torch.tensor(sorted({HEAD_OF[LETTERS.index(letter)] for letter in letters}))
