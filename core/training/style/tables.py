"""The letters of a dataset as the stages want them: rows by head, fields of 64 and 128 cells, kept as integers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.networks.style import CELLS, HEAD_OF
from core.training.datasets.archive import Dataset

_PORTION: Final = 4096  # rows at a time
_FULL: Final = 127  # of a byte that means 1


@dataclass(frozen=True)
class Table:
    """N letters of S styles. Where a style has both of two look-alikes, one of them stands for both."""

    fields: Tensor  # [N, 128, 128] int8, 127 = 1
    heads: Tensor  # [N] int64
    styles: Tensor  # [N] int64
    rows: Tensor  # [S, heads] int64: the row of each letter, -1 where missing
    weights: Tensor  # [S] float64, chances of being drawn; they sum to 1
    clusters: Tensor  # [S] int64

    @classmethod
    def of(cls, dataset: Dataset, chosen: NDArray[np.bool_], weights: NDArray[Any]) -> Self:
        """Take the chosen styles [S of the dataset], renumbered in their order."""
        numbers = np.cumsum(chosen) - 1
        heads = np.array(HEAD_OF)[dataset.labels]
        places = numbers[dataset.styles] * (max(HEAD_OF) + 1) + heads
        mine = np.flatnonzero(chosen[dataset.styles])
        _, first = np.unique(places[mine], return_index=True)
        kept = mine[first]
        styles, own = numbers[dataset.styles[kept]], heads[kept]
        rows = np.full((int(chosen.sum()), max(HEAD_OF) + 1), -1)
        rows[styles, own] = np.arange(len(kept))
        share = torch.from_numpy(weights[chosen].astype(np.float64))
        return cls(
            fields=torch.from_numpy(dataset.fields[kept]),
            heads=torch.from_numpy(own),
            styles=torch.from_numpy(styles),
            rows=torch.from_numpy(rows),
            weights=share / share.sum(),
            clusters=torch.from_numpy(dataset.clusters[chosen].astype(np.int64)),
        )

    def __len__(self) -> int:
        return len(self.heads)

    @property
    def present(self) -> Tensor:
        """Which letters each style has, [S, heads]."""
        return self.rows >= 0

    def coarse(self, rows: Tensor) -> Tensor:
        """Return rows as sums of 2 x 2 cells: the 64-cell fields [n, 4096], 1 = `REACH`."""
        four = self.fields[rows].view(-1, 64, 2, 64, 2).to(torch.int16)
        return (four.sum(dim=(2, 4), dtype=torch.int16).float() / (4 * _FULL)).view(-1, CELLS)

    def fine(self, rows: Tensor) -> Tensor:
        """Return rows as 128-cell fields [n, 1, 128, 128], 1 = `REACH`."""
        return self.fields[rows].unsqueeze(1).float() / _FULL

    def portions(self, rows: Tensor) -> Iterator[Tensor]:
        """Cut rows into what fits in memory at once."""
        for first in range(0, len(rows), _PORTION):
            yield rows[first : first + _PORTION]
