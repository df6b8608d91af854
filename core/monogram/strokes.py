"""What a letter's strokes are like: stem, slant and contrast, read off straight runs of ink between parallel edges."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.alphabet import CLAMP

Floats = NDArray[np.float64]

UPRIGHT: Final = np.radians(35)  # an edge that leans more is no side of a stem
PARALLEL: Final = np.radians(12)  # sides of one stroke differ by less
WIDEST: Final = 0.25  # of the canvas: what is thicker is no stroke
DEPTH: Final = 0.8  # of half its thickness lies the middle of a stroke from the nearest edge, or the run goes along it
FEWEST: Final = 0.03  # of the canvas: so many rows of a letter must cross a stem to measure it
_SHALLOW: Final = 0.3  # cells: what is no deeper is an edge
_PORTION: Final = 128  # letters at a time


@dataclass(frozen=True)
class Strokes:
    """Figures of N letters; nan where a letter has no such strokes."""

    stem: Floats  # [N] thickness of upright strokes, of the canvas
    slant: Floats  # [N] mean lean of upright strokes to the right, rad
    contrast: Floats  # [N] thickness of level strokes over that of upright ones

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the figures of several groups of letters as those of one."""
        return cls(*(np.concatenate([getattr(part, entry.name) for part in parts]) for entry in fields(cls)))


def measure(letters: Tensor) -> Strokes:
    """Measure fields [N, 1, h, h] on their own grid.

    A run is a stretch of ink along a row (for stems; along a column for level strokes) whose two edges lean by less
    than 35 degrees from the upright (the level) and differ by less than 12. Its thickness is its length times the
    cosine of its lean; a letter's is the median of its runs, its slant their mean. A run that goes along a stroke
    instead of across it is told by its middle, which lies nearer to an edge than half its length (fields are clamped at
    1/16), or by its length.
    """
    portions = [letters[start : start + _PORTION] for start in range(0, len(letters), _PORTION)]
    return Strokes.join([_measure(portion.float()) for portion in portions or [letters]])


def thinnest(letters: Tensor) -> Floats:
    """Return how thick the thinnest strokes of fields [N, 1, h, h] are, [N] of the canvas; nan without ink.

    Strokes are deepest along their middles: twice the depth that all but a twentieth of the cells have which no
    neighbour is deeper than. Hairlines count however they lean; tips do not, since they only grow deeper.
    """
    size = letters.shape[-1]
    field = letters[:, 0].float()
    # Maxima of slices: many times as fast as a pooling layer.
    deepest = shallowest = F.pad(field, (1, 1, 1, 1), value=-CLAMP)
    for axis in (1, 2):
        deepest = torch.stack([deepest.narrow(axis, step, size) for step in range(3)]).amax(0)
        shallowest = torch.stack([shallowest.narrow(axis, step, size) for step in range(3)]).amin(0)
    # Where fields are clamped strokes are flat inside: those cells are many, and tell nothing.
    owner, row, column = ((field == deepest) & (field > shallowest) & (field > _SHALLOW / size)).nonzero().T
    depth = field[owner, row, column].numpy(force=True).astype(np.float64)
    letter = owner.numpy(force=True)
    order = np.lexsort((depth, letter))
    often = np.bincount(letter, minlength=len(letters))
    first = np.cumsum(often) - often
    found = np.full(len(letters), np.nan)
    inked = often > 0
    # The middle lies up to half a cell beside the deepest cell, a quarter on average: right to half a cell either way.
    found[inked] = 2 * depth[order][first[inked] + often[inked] // 20] + 0.5 / size
    return found


def _measure(letters: Tensor) -> Strokes:
    field = F.pad(letters[:, 0], (1, 1, 1, 1), value=-CLAMP)
    owner, stems, leans = _runs(field)
    level, bars, _ = _runs(field.transpose(1, 2))
    count, fewest = len(letters), FEWEST * letters.shape[-1]
    stem = _medians(owner, stems, count, fewest)
    return Strokes(stem, _means(owner, leans, count, fewest), _medians(level, bars, count, fewest) / stem)


def _runs(field: Tensor) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return letter, thickness (of the canvas) and lean of each run along the rows of framed fields [N, H, W]."""
    ink = field > 0
    edges = (ink[..., 1:] != ink[..., :-1]).nonzero()  # row by row: where ink begins and where it ends take turns
    letter, row, column = edges.T
    before, after = field[letter, row, column], field[letter, row, column + 1]
    share = before / (before - after)
    place = column + share
    lean = torch.atan2(*_slopes(field, letter, row, column, share)).numpy().astype(np.float64)
    lean = np.arctan(np.tan(lean))  # the two sides of a stroke face away from each other
    first, last = lean[0::2], lean[1::2]
    width = (place[1::2] - place[0::2]).numpy().astype(np.float64) / (field.shape[-1] - 2)
    angle = (first + last) / 2
    thick = width * np.cos(angle)
    middle = ((place[0::2] + place[1::2]) / 2).round().long()
    beside = 0.5 / (field.shape[-1] - 2)  # the middle may lie between two cells
    deep = field[letter[0::2], row[0::2], middle].numpy() + beside > DEPTH * np.minimum(thick / 2, CLAMP)
    straight = (np.maximum(abs(first), abs(last)) < UPRIGHT) & (abs(first - last) < PARALLEL)
    kept = straight & deep & (thick < WIDEST)
    return letter[0::2].numpy()[kept], thick[kept], angle[kept]


def _slopes(field: Tensor, letter: Tensor, row: Tensor, column: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slope down and along the rows where edges cross them, between two cells."""
    far = field.shape[-1] - 1

    def across(cell: Tensor) -> Tensor:
        return field[letter, row, (cell + 1).clamp(max=far)] - field[letter, row, (cell - 1).clamp(min=0)]

    def down(cell: Tensor) -> Tensor:
        return field[letter, row + 1, cell] - field[letter, row - 1, cell]

    return (
        torch.lerp(down(column), down(column + 1), share),
        torch.lerp(across(column), across(column + 1), share),
    )


def _medians(owner: NDArray[np.int64], values: Floats, count: int, fewest: float) -> Floats:
    """Return the median of the values of each of `count` letters; nan for fewer than `fewest` of them."""
    order = np.lexsort((values, owner))
    often = np.bincount(owner, minlength=count)
    first = np.cumsum(often) - often
    found = np.full(count, np.nan)
    enough = often >= max(fewest, 1)
    middle = first[enough], often[enough]
    ranked = values[order]
    found[enough] = (ranked[middle[0] + (middle[1] - 1) // 2] + ranked[middle[0] + middle[1] // 2]) / 2
    return found


def _means(owner: NDArray[np.int64], values: Floats, count: int, fewest: float) -> Floats:
    often = np.bincount(owner, minlength=count)
    total = np.bincount(owner, weights=values, minlength=count)
    return np.where(often >= max(fewest, 1), total / np.maximum(often, 1), np.nan)
