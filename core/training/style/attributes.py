"""Weight, width, slant, contrast and serif of fonts, measured; the directions in w that change one of them alone."""

from typing import Final

import torch
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT, LETTERS
from core.networks.style import HEAD_OF, REACH
from core.training.style.framing import Framed
from core.training.style.tables import Table

_STEMMED: Final = "BDEFHLNPR"  # letters with both vertical and horizontal strokes
_SERIFED: Final = "HI"
_BAND: Final = 0.06  # of the cap height at the foot of a stem that a serif fills
_RIDGE: Final = 5e-4


def directions(vectors: Tensor, measured: Tensor) -> Tensor:
    """Return how w changes with each attribute, others held: [S, W] and [S, A] -> [A, W] a standard deviation."""
    sure = measured.isfinite().all(dim=1)
    if sure.sum() <= 2 * measured.shape[1]:  # nothing to tell them by
        return torch.zeros(measured.shape[1], vectors.shape[1])
    values = measured[sure]
    values = (values - values.mean(0)) / values.std(0).clamp(min=1e-6)
    own = vectors[sure] - vectors[sure].mean(0)
    ridge = _RIDGE * len(values) * torch.eye(values.shape[1])
    found: Tensor = torch.linalg.solve(values.T @ values + ridge, values.T @ own)
    return found


def measure(table: Table, framed: Framed) -> Tensor:
    """Return `ATTRIBUTES` of each style [S, 5]; NaN where its letters do not tell.

    Weight and contrast are logarithms of stroke widths (vertical ones; their ratio to horizontal ones), serif is the
    logarithm of how much wider a stem is at its foot.
    """
    found = torch.full((len(table.rows), 5), torch.nan)
    stemmed, serifed = _heads(_STEMMED), _heads(_SERIFED)
    for style, rows in enumerate(table.rows):
        stems, feet = rows[stemmed], rows[serifed]
        mine = rows[rows >= 0]
        if (stems >= 0).sum() < 3 or not (feet >= 0).any():
            continue
        field = table.fine(stems[stems >= 0])[:, 0]
        upright, level = _stroke(field, 2), _stroke(field, 1)
        found[style] = torch.stack(
            [
                upright.log(),
                framed.frames[mine, 2].median(),
                framed.frames[mine, 0].median(),
                (upright / level).log(),
                _serif(framed.rows(feet[feet >= 0]).view(-1, 64, 64)),
            ]
        )
    return found


def _stroke(field: Tensor, axis: int) -> Tensor:
    """Return the median width of strokes across an axis, of the canvas: twice the depth of their ridges."""
    cell = 1 / field.shape[-1]
    depth = field * REACH
    before, here, after = (depth.narrow(axis, start, depth.shape[axis] - 2) for start in range(3))
    bend = before + after - 2 * here
    ridge = (here > 0) & (here >= before) & (here >= after) & (bend < -0.9 * cell)
    widths = (2 * (here + cell + bend / 2))[ridge]
    return widths.median() if len(widths) else torch.tensor(2 * REACH)


def _serif(field: Tensor) -> Tensor:
    """Return the logarithm of the ink's width at the foot of the stems over that of their middle."""
    row = (torch.arange(field.shape[1]) + 0.5) / field.shape[1]
    ink = (field * 4 + 0.5).clamp(0, 1).sum(2)
    foot = (row > BASELINE - _BAND * CAP_HEIGHT) & (row < BASELINE)
    waist = (row > BASELINE - 0.35 * CAP_HEIGHT) & (row < BASELINE - 0.2 * CAP_HEIGHT)
    return (ink[:, foot].amax(1).clamp(min=0.5) / ink[:, waist].mean(1).clamp(min=0.5)).log().mean()


def _heads(letters: str) -> Tensor:
    return torch.tensor([HEAD_OF[LETTERS.index(letter)] for letter in letters])
