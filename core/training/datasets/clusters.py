"""Which styles are the same drawing, and which are so near that no split may part them.

Nearness of two styles is the mean intersection over union of the letters both have.
"""

from collections.abc import Hashable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from core.alphabet import LETTERS

# Masks of this many cells a side: fine enough to tell neighbouring weights apart.
_SIZE: Final = 64
REPEAT: Final = 0.97
NEAR: Final = 0.9

# One style: labels [n] and int8 fields [n, H, W].
Style = tuple[NDArray[Any], NDArray[Any]]


def repeats(near: NDArray[np.float32]) -> list[int]:
    """Return for each style the first one that is the same drawing, itself in most cases."""
    first: list[int] = []
    for number, row in enumerate(near > REPEAT):
        earlier = [other for other in np.flatnonzero(row[:number]).tolist() if first[other] == other]
        first.append(earlier[0] if earlier else number)
    return first


def group(near: NDArray[np.float32], families: Sequence[Hashable]) -> NDArray[np.int64]:
    """Return the cluster of each style, numbered from 0: near ones and those of one family, by single link."""
    numbers = {family: number for number, family in enumerate(dict.fromkeys(families))}
    family = np.array([numbers[name] for name in families])
    linked = (near > NEAR) | (family[:, None] == family[None])
    return np.asarray(connected_components(linked, directed=False)[1], dtype=np.int64)


def nearness(styles: Sequence[Style]) -> NDArray[np.float32]:
    """Return the mean intersection over union of shared letters for every pair `[S, S]`; 0 where none is shared."""
    total = np.zeros((len(styles), len(styles)), dtype=np.float32)
    shared = np.zeros_like(total)
    for label in range(len(LETTERS)):
        owners = [number for number, (labels, _) in enumerate(styles) if label in labels]
        if not owners:
            continue
        masks = np.stack([_mask(styles[number], label) for number in owners])  # [O, cells]
        both = masks @ masks.T
        ink = masks.sum(axis=1)
        either = ink[:, None] + ink[None] - both
        grid = np.ix_(owners, owners)
        total[grid] += both / np.maximum(either, 1)
        shared[grid] += 1
    return np.asarray(total / np.maximum(shared, 1), dtype=np.float32)


def _mask(style: Style, label: int) -> NDArray[np.float32]:
    labels, fields = style
    field = fields[np.flatnonzero(labels == label)[0]]
    step = max(1, field.shape[-1] // _SIZE)
    return np.asarray(field[::step, ::step] > 0, dtype=np.float32).ravel()
