"""Which styles are the same drawing, and which are so near that no split may part them.

Nearness of two styles is the mean intersection over union of the capitals both have.
"""

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from core.alphabet import HOMOGLYPHS, LATIN, LETTERS, UKRAINIAN
from core.training.datasets.styles import Style

REPEAT: Final = 0.97
NEAR: Final = 0.9

# A letter that looks like one before it says nothing new, and every cell costs time.
_CAPITALS: Final = [
    label for label, letter in enumerate(LATIN + UKRAINIAN) if letter in LATIN or HOMOGLYPHS[letter] == letter
]


def repeats(near: NDArray[np.float32]) -> list[int]:
    """Return for each style the first one that is the same drawing, itself in most cases."""
    first: list[int] = []
    for number, row in enumerate(near > REPEAT):
        earlier = [other for other in np.flatnonzero(row[:number]).tolist() if first[other] == other]
        first.append(earlier[0] if earlier else number)
    return first


def group(near: NDArray[np.float32], families: Sequence[Hashable], link: float = NEAR) -> NDArray[np.int64]:
    """Return the cluster of each style, numbered from 0: near ones and those of one family, by single link."""
    numbers = {family: number for number, family in enumerate(dict.fromkeys(families))}
    family = np.array([numbers[name] for name in families])
    linked = (near > link) | (family[:, None] == family[None])
    return np.asarray(connected_components(linked, directed=False)[1], dtype=np.int64)


def spread(near: NDArray[np.float32], count: int) -> list[int]:
    """Return `count` styles that are most unlike each other, the most typical one first, in ascending order.

    Each next one is that whose nearest chosen one is farthest (Gonzalez, "Clustering to minimize the maximum
    intercluster distance", 1985).
    """
    chosen = [int(near.sum(axis=1).argmax())]
    nearest = near[chosen[0]].copy()
    while len(chosen) < min(count, len(near)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        np.maximum(nearest, near[chosen[-1]], out=nearest)
    return sorted(chosen)


def nearness(styles: Sequence[Style]) -> NDArray[np.float32]:
    """Return the mean intersection over union of shared capitals for every pair `[S, S]`; 0 where none is shared."""
    total = np.zeros((len(styles), len(styles)), dtype=np.float32)
    shared = np.zeros_like(total)
    places = np.full((len(styles), len(LETTERS)), -1)
    for number, style in enumerate(styles):
        places[number, style.labels] = np.arange(len(style.labels))
    for label in _CAPITALS:
        owners = np.flatnonzero(places[:, label] >= 0)
        if not len(owners):
            continue
        packed = np.stack([styles[owner].masks[places[owner, label]] for owner in owners.tolist()])
        used = np.flatnonzero(np.bitwise_or.reduce(packed))  # bytes of cells that anyone inks
        masks = np.unpackbits(packed[:, used], axis=1).astype(np.float32)  # [O, cells]
        both = masks @ masks.T
        ink = np.diagonal(both)
        grid = np.ix_(owners, owners)
        total[grid] += both / np.maximum(ink[:, None] + ink[None] - both, 1)
        shared[grid] += 1
    return np.asarray(total / np.maximum(shared, 1), dtype=np.float32)
