"""How well judges read real letters that they have not seen, and how sure that figure is.

The unit is the cluster: no judge reads a cluster that it was trained on, and intervals come from drawing clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.networks.judge import Judge, accuracy
from core.training.datasets.archive import CLAMP, Dataset
from core.training.datasets.split import has_cyrillic

ROUNDS: Final = 2000
_PORTION: Final = 512


@dataclass(frozen=True)
class Interval:
    """A share of letters with its 95 % interval over clusters."""

    share: float
    low: float
    high: float
    letters: int
    clusters: int

    def __str__(self) -> str:
        return f"{self.share:.2%} ({self.low:.2%} - {self.high:.2%}; {self.letters} letters, {self.clusters} clusters)"


def judge_rows(judge: Judge, dataset: Dataset, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of each row of a dataset whether the judge reads it as its label, look-alikes counting as one."""
    read = np.zeros(len(rows), dtype=np.bool_)
    for start in range(0, len(rows), _PORTION):
        chosen = rows[start : start + _PORTION]
        fields = torch.from_numpy(dataset.fields[chosen]).float()[:, None] * (CLAMP / 127)
        read[start : start + _PORTION] = accuracy(judge, fields, torch.from_numpy(dataset.labels[chosen])).numpy()
    return read


def halve(dataset: Dataset, styles: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Part some styles [S] in two halves by cluster, Cyrillic designs evenly, by their content and not their order."""
    first = np.zeros_like(styles)
    cyrillics = has_cyrillic(dataset)
    taken = {True: 0, False: 0}
    for cluster in _shuffled(dataset, styles):
        own = styles & (dataset.clusters == cluster)
        cyrillic = bool(cyrillics[own].any())
        taken[cyrillic] += 1
        first |= own & bool(taken[cyrillic] % 2)
    return first, styles & ~first


def cross_fit(
    dataset: Dataset,
    styles: NDArray[np.bool_],
    train: Callable[[NDArray[np.bool_]], Judge],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Train one judge on each half of some styles [S] and let it read the other half.

    Return the rows read and whether each was read as its label.
    """
    rows, read = [], []
    halves = halve(dataset, styles)
    for own, other in (halves, halves[::-1]):
        rows.append(np.flatnonzero(other[dataset.styles]))
        read.append(judge_rows(train(own), dataset, rows[-1]))
    return np.concatenate(rows), np.concatenate(read)


def bootstrap(right: NDArray[Any], clusters: NDArray[np.int64], seed: int = 125, rounds: int = ROUNDS) -> Interval:
    """Return the mean of `right` [N] with the interval that drawing its clusters [N] with replacement gives."""
    _, place = np.unique(clusters, return_inverse=True)
    letters = np.bincount(place).astype(np.float64)
    hits = np.bincount(place, weights=np.asarray(right, dtype=np.float64))
    draws = np.random.default_rng(seed).integers(len(letters), size=(rounds, len(letters)))
    shares = hits[draws].sum(axis=1) / letters[draws].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return Interval(float(hits.sum() / letters.sum()), float(low), float(high), len(place), len(letters))


def rate_styles(dataset: Dataset, rows: NDArray[np.int64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of each style's letters [S] that was read, nan where none was tried.

    Judges that have not seen a design still read more than half of nearly every alphabet; a style below that is
    pictures, one layer of a two-colour face, or ornament that hides the letter.
    """
    styles = dataset.styles[rows]
    tried = np.bincount(styles, minlength=len(dataset.style_names)).astype(np.float64)
    hits = np.bincount(styles, weights=right, minlength=len(dataset.style_names))
    return np.divide(hits, tried, out=np.full_like(tried, np.nan), where=tried > 0)


def _shuffled(dataset: Dataset, styles: NDArray[np.bool_]) -> list[int]:
    """List the clusters of some styles in the order of a digest of their names."""
    names: dict[int, str] = {}
    for style in np.flatnonzero(styles).tolist():
        cluster = int(dataset.clusters[style])
        names[cluster] = min(dataset.style_names[style], names.get(cluster, dataset.style_names[style]))
    return sorted(names, key=lambda cluster: sha256(names[cluster].encode()).digest())
