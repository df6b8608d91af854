"""What a layout makes of letters: every letter, frame and rule of a variant as a field on one canvas."""

from dataclasses import dataclass
from typing import Final

from torch import Tensor

CANVAS: Final = 256  # cells across the canvas that is composed on


@dataclass(frozen=True, slots=True)
class Composition:
    """N variants of P pieces each: first the letters in their reading order, then frames and rules.

    Pieces of a variant do not overlap: each is cut as it is to be drawn, sawn or stitched.
    """

    pieces: Tensor  # [N, P, CANVAS, CANVAS] distances, unit = the side of the canvas; ground where a piece is absent
    present: Tensor  # [N, P] bool
    letters: int  # how many of the P places are letters
