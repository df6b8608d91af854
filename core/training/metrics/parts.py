"""Into how many parts a letter falls and how many holes it has, and whether real letters of that sign are so."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SIZE: Final = 256
SPECK: Final = 0.005  # of the ink: smaller parts and holes do not count
COMMON: Final = 0.05  # of the real letters of a sign: what fewer have is no shape of that sign

# Cells of one layer only; diagonals connect ink and part ground.
_INK: Final = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))], dtype=np.bool_)
_GROUND: Final = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))], dtype=np.bool_)
_PORTION: Final = 16  # letters at a time


def portions(fields: Tensor, size: int) -> Iterator[Tensor]:
    """Yield a tensor [N, ...] in runs of at most `size`."""
    return (fields[start : start + size] for start in range(0, len(fields), size))


def draw_ink(fields: Tensor, size: int = SIZE) -> Bools:
    """Return the ink [N, size, size] of fields [N, 1, h, h], bicubic (a = -0.5)."""
    drawn = F.interpolate(fields.float(), size=(size, size), mode="bicubic", antialias=True)
    return np.asarray((drawn[:, 0] > 0).cpu().numpy(), dtype=np.bool_)


def count(fields: Tensor) -> Ints:
    """Return (8-connected ink parts, 4-connected holes) [N, 2] of fields [N, 1, h, h] at 256 px, specks left out."""
    counted = [_count(draw_ink(portion)) for portion in portions(fields, _PORTION)]
    return np.concatenate(counted) if counted else np.zeros((0, 2), dtype=np.int64)


def find_common(pairs: Ints, labels: Ints) -> dict[int, frozenset[tuple[int, int]]]:
    """Return for each sign the pairs that at least `COMMON` of its real letters have: pairs [N, 2], labels [N]."""
    common = {}
    for label in np.unique(labels).tolist():
        kinds, often = np.unique(pairs[labels == label], axis=0, return_counts=True)
        kept = kinds[often >= COMMON * often.sum()]
        common[label] = frozenset((int(ink), int(holes)) for ink, holes in kept)
    return common


def agree(pairs: Ints, labels: Ints, common: dict[int, frozenset[tuple[int, int]]]) -> Bools:
    """Say of each letter [N] whether its pair is a common one of its sign; a sign without real letters never is."""
    rows = zip(labels.tolist(), pairs.tolist(), strict=True)
    return np.array([(ink, holes) in common.get(label, frozenset()) for label, (ink, holes) in rows], dtype=np.bool_)


def _count(ink: Bools) -> Ints:
    least = SPECK * ink.sum(axis=(1, 2))
    parts = _tally(ink, _INK, least, 0)
    # What is joined to the border is the ground around the letter: one part, by a frame of ground.
    ground = ~np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    return np.stack([parts, _tally(ground, _GROUND, least, 1)], axis=1)


def _tally(mask: Bools, structure: Bools, least: NDArray[np.float64], around: int) -> Ints:
    """Count the parts of each layer of `mask` [N, H, W] of at least so many cells, less the `around` first of each."""
    numbers, total = ndimage.label(mask, structure)
    sizes = np.bincount(numbers.ravel(), minlength=total + 1)[1:]
    last = np.maximum.accumulate(numbers.reshape(len(mask), -1).max(axis=1))  # numbers ascend from layer to layer
    layer = np.searchsorted(last, np.arange(1, total + 1))
    counted = np.bincount(layer[sizes >= np.maximum(least[layer], 1)], minlength=len(mask))
    return np.asarray(counted - around, dtype=np.int64)
