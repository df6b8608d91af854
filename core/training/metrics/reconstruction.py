"""How near redrawn letters come to the letters they were drawn after."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.training.metrics import parts

_PORTION = 64  # letters at a time

Floats = NDArray[np.float64]


def overlap(drawn: Tensor, true: Tensor) -> Floats:
    """Return the intersection over union [N] of fields [N, 1, h, h] and [N, 1, H, H], both drawn at 256 px.

    Two letters without any ink are alike.
    """
    found = [
        _overlap(parts.draw_ink(a), parts.draw_ink(b))
        for a, b in zip(parts.portions(drawn, _PORTION), parts.portions(true, _PORTION), strict=True)
    ]
    return np.concatenate(found) if found else np.zeros(0)


def same_parts(drawn: Tensor, true: Tensor) -> parts.Bools:
    """Say of each letter [N] whether it has as many parts and holes as the one it was drawn after."""
    return np.asarray((parts.count(drawn) == parts.count(true)).all(axis=1))


def _overlap(a: parts.Bools, b: parts.Bools) -> Floats:
    both, either = (a & b).sum(axis=(1, 2)), (a | b).sum(axis=(1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)
