"""How far a style lies from the nearest font it may have been learned from, letters laid on each other as they are."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.training.datasets.archive import CLAMP

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SIZE: Final = 64
KNOWN: Final = 0.84  # a nearest-font overlap above this is no new style


@dataclass(frozen=True)
class Masks:
    """The ink of S styles, letter by letter."""

    ink: dict[int, Bools]  # label -> [n, cells]
    owners: dict[int, Ints]  # label -> [n] style of each row
    count: int  # S

    @classmethod
    def collect(cls, ink: Bools, labels: Ints, styles: Ints, count: int) -> Self:
        """Sort the ink [N, cells] of styles 0 ... count - 1 by sign; a letter repeated in a style counts once."""
        found, owners = {}, {}
        for label in np.unique(labels).tolist():
            rows = np.flatnonzero(labels == label)
            owners[label], first = np.unique(styles[rows], return_index=True)
            found[label] = ink[rows[first]]
        return cls(found, owners, count)


def shrink(fields: Tensor) -> NDArray[np.int8]:
    """Bring fields [N, 1, h, h] to bytes [N, 64, 64] by their values at the cell centres, `CLAMP` / 127 a step."""
    if fields.shape[-1] != SIZE:
        small = fields.shape[-1] < SIZE
        fields = F.interpolate(fields, (SIZE, SIZE), mode="bicubic" if small else "bilinear", antialias=small)
    steps = (fields[:, 0] * (127 / CLAMP)).round().clamp(-127, 127)
    return np.asarray(steps.to(torch.int8).cpu().numpy())


def overlaps(drawn: Masks, fonts: Masks) -> Floats:
    """Return the mean intersection over union of shared letters of every style and font [S, T]; 0 where none is."""
    total = np.zeros((drawn.count, fonts.count))
    shared = np.zeros_like(total)
    for label in sorted(drawn.ink.keys() & fonts.ink.keys()):
        a, b = (masks.ink[label].astype(np.float32) for masks in (drawn, fonts))
        both = a @ b.T
        either = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - both
        grid = np.ix_(drawn.owners[label], fonts.owners[label])
        total[grid] += both / np.maximum(either, 1)
        shared[grid] += 1
    return np.asarray(total / np.maximum(shared, 1))


def share_new(nearest: Floats, legible: Bools, consistent: Bools) -> float:
    """Return the share of styles that are new, legible and consistent: all [S]; `nearest` from `overlaps`, its maximum.

    What counts as legible and consistent is the caller's: see docs/metrics.md.
    """
    return float(((nearest <= KNOWN) & legible & consistent).mean())
