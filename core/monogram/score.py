"""How good a variant looks, as one number from 0 to 1: a product of what may not be bad. Formulas: docs/metrics.md."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.monogram.composition import Drawing

EVEN: Final = 0.25  # spread of stems over their mean at which evenness is 0
LEVEL: Final = 0.12  # of the canvas, from the middle to the centre of ink, at which balance is 0
TURNS: Final = 0.5  # what a weave without any alternation is worth, or a band without a shared mast
PLAIN: Final = 0.01  # what the best plain row is worth to who wished for a weave, and the worst weave at the least
STURDY: Final = 0.024  # of the canvas: 1.2 mm of 50 mm, from which on a stroke can be made
# Exponents: how much each counts.
WEIGHTS: Final = {"legibility": 1.0, "evenness": 0.5, "balance": 0.5, "weave": 0.5, "sturdiness": 0.25, "novelty": 0.25}


@dataclass(frozen=True, slots=True)
class Score:
    """What a variant is worth, and why."""

    set: float | None  # probability that all letters are read as what they are; None where nobody read them
    evenness: float  # of stems
    balance: float  # of ink about the middle
    weave: float  # 1 where nothing is to be woven
    sturdiness: float  # of the thinnest stroke
    novelty: float | None  # of the style; None where its network does not know
    total: float


def score(
    drawing: Drawing,
    pixels: NDArray[np.uint8],
    read: Sequence[float] | None,
    novelty: float | None = None,
    *,
    as_asked: bool = True,
) -> Score:
    """Score a drawing with its grey pixels, how surely each of its letters is read and how new its style is; what
    nobody knows (None) costs nothing.

    `as_asked` is False where the layout that was asked for could not be made.
    """
    known = np.array([stem for stem in drawing.stems if np.isfinite(stem)])
    spread = float(known.std() / known.mean()) if len(known) > 1 else 0.0
    turns = drawing.figures.get("alternation", drawing.figures.get("joined"))
    weave = 1.0 if turns is None else TURNS + (1 - TURNS) * turns
    parts = {
        "legibility": 1.0 if read is None else min(read),
        "evenness": max(0.0, 1 - spread / EVEN),
        "balance": max(0.0, 1 - _lean(pixels) / LEVEL),
        "weave": weave,
        "sturdiness": min(1.0, drawing.figures.get("stroke", STURDY) / STURDY),
        "novelty": 1.0 if novelty is None else novelty,
    }
    total = math.prod(parts[name] ** weight for name, weight in WEIGHTS.items())
    total = max(total, PLAIN) if as_asked else PLAIN * total
    shown = {name: round(parts[name], 4) for name in ("evenness", "balance", "weave", "sturdiness")}
    whole = None if read is None else round(math.prod(read), 4)
    return Score(set=whole, novelty=novelty, total=round(total, 4), **shown)


def _lean(pixels: NDArray[np.uint8]) -> float:
    """Return how far the centre of ink is from the middle, of the canvas."""
    ink = 255 - pixels.astype(np.int64)
    whole = max(int(ink.sum()), 1)
    size = len(pixels)
    place = 2 * np.arange(size) + 1 - size  # in half pixels from the middle
    across, down = int((ink.sum(axis=0) * place).sum()), int((ink.sum(axis=1) * place).sum())
    return float(np.hypot(across, down)) / (2 * size * whole)
