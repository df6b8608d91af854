"""Letters of many styles looked at once, in batches: everything that metrics ask of single letters.

Fields come and go; what stays of a letter is a few numbers and 64 x 64 bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.monogram import strokes
from core.monogram.strokes import Strokes
from core.networks.judge import Judge, accuracy
from core.training.datasets.archive import CLAMP, Dataset
from core.training.metrics import edges, novelty, parts
from core.training.metrics.edges import Edges

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_PORTION: Final = 512  # letters of a dataset at a time


@dataclass(frozen=True)
class Batch:
    """Some letters: fields in units of the canvas, signs and styles."""

    fields: Tensor  # [n, 1, h, h]
    labels: Ints  # [n]
    styles: Ints  # [n]


@dataclass(frozen=True)
class Survey:
    """What was found of N letters."""

    labels: Ints  # [N]
    styles: Ints  # [N]
    small: NDArray[np.int8]  # [N, 64, 64]
    pairs: Ints  # [N, 2] parts and holes
    strokes: Strokes  # [N]
    read: Bools  # [N] whether the judge reads the letter as its label
    features: NDArray[np.float64]  # [N, F] of the judge
    edges: Edges  # [E] of the traced outlines of a part of the letters
    field_edges: Edges  # [E] of their fields
    edged: Ints  # [E] their signs

    @property
    def count(self) -> int:
        """The number of styles: one more than the largest."""
        return int(self.styles.max(initial=-1)) + 1


def survey(batches: Iterable[Batch], judge: Judge, edge_share: float, seed: int) -> Survey:
    """Look at every letter of some batches, at the edges of a share of them drawn by lot (30 ms a letter)."""
    rng = np.random.default_rng(seed)
    found = [_look(batch, judge, rng.random(len(batch.labels)) < edge_share) for batch in batches]
    columns = [[getattr(part, entry.name) for part in found] for entry in fields(Survey)]
    return Survey(*(_join(column) for column in columns))


def read_dataset(dataset: Dataset, styles: Ints) -> Iterable[Batch]:
    """Yield the letters of some styles of a dataset, which become styles 0 ... in the order given."""
    numbers = np.full(len(dataset.style_names), -1)
    numbers[styles] = np.arange(len(styles))
    rows = np.flatnonzero(numbers[dataset.styles] >= 0)
    for start in range(0, len(rows), _PORTION):
        chosen = rows[start : start + _PORTION]
        yield Batch(units(dataset.fields[chosen]), dataset.labels[chosen], numbers[dataset.styles[chosen]])


def units(stored: NDArray[np.int8]) -> Tensor:
    """Return stored fields [N, H, H] in units of the canvas [N, 1, H, H]."""
    return torch.from_numpy(stored[:, None]).float() * (CLAMP / 127)


@torch.inference_mode()
def _look(batch: Batch, judge: Judge, chosen: Bools) -> Survey:
    letters = batch.fields.float()
    edged = letters[torch.from_numpy(chosen)]
    return Survey(
        labels=batch.labels,
        styles=batch.styles,
        small=novelty.shrink(letters),
        pairs=parts.count(letters),
        strokes=strokes.measure(letters),
        read=accuracy(judge, letters, torch.from_numpy(batch.labels)).numpy(),
        features=judge.features(judge.look(letters)).double().numpy(),
        edges=edges.measure_traced(edged),
        field_edges=edges.measure_fields(edged),
        edged=batch.labels[chosen],
    )


def _join(column: list[Any]) -> Any:
    if isinstance(column[0], Strokes | Edges):
        return type(column[0]).join(column)
    return np.concatenate(column)
