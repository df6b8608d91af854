"""How good a variant looks, as one number from 0 to 1: a product of what may not be bad. Formulas: docs/metrics.md."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.monogram.composition import Drawing

EVEN: Final = 0.25  # spread of stems over their mean at which evenness is 0
LEVEL: Final = 0.12  # of the canvas, from the middle to the centre of ink, at which balance is 0
TURNS: Final = 0.5  # what a weave without any alternation is worth, or a band without a shared mast
PLAIN: Final = 0.01  # what a plain row is worth to who wished for a weave: less than any weave with legible letters
# Exponents: how much each counts.
WEIGHTS: Final = {"legibility": 1.0, "evenness": 0.5, "balance": 0.5, "weave": 0.5}


@dataclass(frozen=True, slots=True)
class Score:
    """What a variant is worth, and why."""

    evenness: float  # of stems
    balance: float  # of ink about the middle
    weave: float  # 1 where nothing is to be woven
    total: float


def score(drawing: Drawing, pixels: NDArray[np.uint8], legibility: float | None, *, as_asked: bool = True) -> Score:
    """Score a drawing with its grey pixels and how surely its letters are read; None: nobody read them.

    `as_asked` is False where the layout that was asked for could not be made.
    """
    known = np.array([stem for stem in drawing.stems if np.isfinite(stem)])
    spread = float(known.std() / known.mean()) if len(known) > 1 else 0.0
    evenness = max(0.0, 1 - spread / EVEN)
    balance = max(0.0, 1 - _lean(pixels) / LEVEL)
    turns = drawing.figures.get("alternation", drawing.figures.get("joined"))
    weave = 1.0 if turns is None else TURNS + (1 - TURNS) * turns
    if not as_asked:
        weave = PLAIN
    parts = {
        "legibility": 1.0 if legibility is None else legibility,
        "evenness": evenness,
        "balance": balance,
        "weave": weave,
    }
    total = 1.0
    for name, weight in WEIGHTS.items():
        total *= parts[name] ** weight
    return Score(round(evenness, 4), round(balance, 4), round(weave, 4), round(total, 4))


def _lean(pixels: NDArray[np.uint8]) -> float:
    """Return how far the centre of ink is from the middle, of the canvas."""
    ink = 255 - pixels.astype(np.int64)
    whole = max(int(ink.sum()), 1)
    size = len(pixels)
    place = 2 * np.arange(size) + 1 - size  # in half pixels from the middle
    across, down = int((ink.sum(axis=0) * place).sum()), int((ink.sum(axis=1) * place).sum())
    return float(np.hypot(across, down)) / (2 * size * whole)
