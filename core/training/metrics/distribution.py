"""How a crowd of drawn letters lies among real ones, in the features of a judge.

Printed without a goal: all of these depend on the judge and on how many letters there are.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEAREST: Final = 5
BLOCK: Final = 1000  # letters of one estimate of the kernel distance
RIDGE: Final = 1e-3  # of the features' mean square


def cover(real: Floats, real_labels: Ints, drawn: Floats, drawn_labels: Ints) -> tuple[float, float]:
    """Return coverage and density with k = 5 of features [N, F], for each sign and then the mean.

    Coverage is the share of real letters with a drawn one nearer than their fifth nearest real neighbour, density the
    mean number of such balls a drawn letter lies in, over 5 (Naeem et al., "Reliable fidelity and diversity metrics
    for generative models", 2020). Signs with at most 5 real letters are left out; nan if none is left.
    """
    found = []
    for a, b in _by_sign(real, real_labels, drawn, drawn_labels):
        if len(a) > NEAREST:
            radius = np.sort(cdist(a, a), axis=1)[:, NEAREST]  # place 0 is the letter itself
            within = cdist(a, b) < radius[:, None]
            found.append((within.any(axis=1).mean(), within.sum(axis=0).mean() / NEAREST))
    coverage, density = np.mean(found, axis=0) if found else (np.nan, np.nan)
    return float(coverage), float(density)


def measure_distance(real: Floats, drawn: Floats, seed: int = 0) -> float:
    """Return the kernel distance of features [N, F] and [M, F]: squared MMD, cubic kernel, unbiased.

    (Binkowski et al., "Demystifying MMD GANs", 2018.) Features are first divided by the root of the real ones' mean
    square length, so that judges of any scale can be read; the mean over disjoint blocks of 1,000 drawn by lot. About 0
    for the same distribution, and below 0 about as often as above.
    """
    scale = np.sqrt((real * real).sum(axis=1).mean())
    rng = np.random.default_rng(seed)
    count = min(len(real), len(drawn))
    blocks = max(1, count // BLOCK)
    a = np.array_split(real[rng.permutation(len(real))[:count]] / scale, blocks)
    b = np.array_split(drawn[rng.permutation(len(drawn))[:count]] / scale, blocks)
    return float(np.mean([_mmd(x, y) for x, y in zip(a, b, strict=True)]))


def train_on(features: Floats, labels: Ints, other: Floats, other_labels: Ints) -> float:
    """Return the accuracy on `other` [M, F] of a linear classifier fitted to features [N, F] by ridge regression.

    With drawn letters first and real held-out ones second this is train-on-generated accuracy (Ravuri and Vinyals,
    "Classification accuracy score for conditional generative models", 2019); labels are to be merged beforehand.
    """
    signs, columns = np.unique(labels, return_inverse=True)
    mean = features.mean(axis=0)
    own, rest = _with_constant(features - mean), _with_constant(other - mean)
    gram = own.T @ own
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram, own.T @ np.eye(len(signs))[columns])
    return float((signs[(rest @ weights).argmax(axis=1)] == other_labels).mean())


def _by_sign(real: Floats, real_labels: Ints, drawn: Floats, drawn_labels: Ints) -> Iterator[tuple[Floats, Floats]]:
    for label in np.intersect1d(real_labels, drawn_labels):
        yield real[real_labels == label], drawn[drawn_labels == label]


def _with_constant(features: Floats) -> Floats:
    return np.hstack([features, np.ones((len(features), 1))])


def _mmd(a: Floats, b: Floats) -> float:
    n, m = len(a), len(b)
    if min(n, m) < 2:
        return float("nan")
    aa, bb, ab = ((x @ y.T + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    own = (aa.sum() - np.trace(aa)) / (n * (n - 1))
    other = (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(own + other - 2 * ab.mean())
