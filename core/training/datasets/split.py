"""Who sees which fonts: a generator one part, each judge another, by cluster, so that no twin is on both sides.

What a cluster's role is follows from the names in it, not from the order of files: the same on every machine.
"""

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.alphabet import LATIN, UKRAINIAN
from core.errors import JobError
from core.training.datasets.archive import Dataset


class Role(StrEnum):
    """What the styles of a cluster are for."""

    TRAIN = "train"  # the generator's
    SELECT = "select"  # the judge's that gates and chooses models
    REPORT = "report"  # the judge's that reports, and what held-out figures are taken on


SHARES: Final[Mapping[Role, float]] = MappingProxyType({Role.TRAIN: 0.6, Role.SELECT: 0.15, Role.REPORT: 0.25})


def check(dataset: Dataset) -> None:
    """Raise `JobError` if the styles cannot be parted at all: one cluster would be judged by its own twins."""
    count = len(np.unique(dataset.clusters))
    if count < 2:
        raise JobError(
            f"no honest split: all {len(dataset.clusters)} styles are one cluster; add fonts of other families"
        )


def split(dataset: Dataset, seed: int = 125) -> NDArray[np.str_]:
    """Return the role [S] of each style; all styles of a cluster have one.

    Designs with Cyrillic, and display faces, are spread over the roles by the same shares as all clusters.
    """
    roles = list(SHARES)
    wanted = np.array([SHARES[role] for role in roles])
    given = np.zeros(len(roles))
    role_of: dict[int, Role] = {}
    for place, cluster in enumerate(_order(dataset, seed), start=1):
        # Whoever lacks most: neighbours in the order, which are alike in script and kind, go to different roles.
        neediest = int(np.argmax(wanted * place - given))
        given[neediest] += 1
        role_of[cluster] = roles[neediest]
    return np.array([role_of[cluster].value for cluster in dataset.clusters.tolist()], dtype=np.str_)


def _order(dataset: Dataset, seed: int) -> list[int]:
    """List the clusters by kind, and within a kind by a digest of the first of their names."""
    cyrillic = has_cyrillic(dataset)
    kinds: dict[int, tuple[bool, bool]] = {}
    names: dict[int, str] = {}
    for style, cluster in enumerate(dataset.clusters.tolist()):
        script, display = kinds.get(cluster, (False, False))
        kinds[cluster] = (script or bool(cyrillic[style]), display or bool(dataset.display[style]))
        names[cluster] = min(dataset.style_names[style], names.get(cluster, dataset.style_names[style]))

    def rank(cluster: int) -> tuple[Any, ...]:
        return (*kinds[cluster], sha256(f"{seed} {names[cluster]}".encode()).digest())

    return sorted(kinds, key=rank)


def has_cyrillic(dataset: Dataset) -> NDArray[np.bool_]:
    """Say of each style [S] whether it draws at least half of the Ukrainian letters."""
    own = (dataset.labels >= len(LATIN)) & (dataset.labels < len(LATIN + UKRAINIAN))
    count = np.bincount(dataset.styles[own], minlength=len(dataset.style_names))
    return np.asarray(2 * count >= len(UKRAINIAN))
