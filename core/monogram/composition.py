"""What a layout makes of letters: where they go, and then a drawing of pieces that do not overlap."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.monogram.outline import Outline

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the letters of N variants go, in K ways each, the best first; L places."""

    matrix: Tensor  # [N, K, L, 2, 3] float64, from the canvas to each letter's glyph
    growth: Tensor  # [N, L, 2] how far edges move outwards before that, across and down, of the glyph's canvas

    def row(self, number: int) -> tuple[Floats, Floats]:
        """Return what belongs to one variant: [K, L, 2, 3] and [L, 2]."""
        return self.matrix[number].double().cpu().numpy(), self.growth[number].double().cpu().numpy()


@dataclass(frozen=True, slots=True)
class Drawing:
    """One variant on the unit canvas: letters in their reading order, and what stands around them."""

    letters: tuple[Outline, ...]
    stems: tuple[float, ...]  # thickness of each letter's upright strokes, of the canvas; nan where it has none
    shadows: tuple[Outline, ...] = ()
    frames: tuple[Outline, ...] = ()
    whole: tuple[Outline, ...] = ()  # the letters uncut, where they are not seen as they were drawn
    figures: Mapping[str, float] = field(default_factory=dict)  # what the layout says of it, as `crossings`

    @property
    def stem(self) -> float:
        """The median of the stems; nan where no letter has any."""
        known = [stem for stem in self.stems if np.isfinite(stem)]
        return float(np.median(known)) if known else float("nan")

    @property
    def pieces(self) -> tuple[Outline, ...]:
        """All that is drawn."""
        return self.letters + self.shadows + self.frames
