"""What a drawing is put on."""

from dataclasses import dataclass

from core.monogram.composition import Drawing
from core.monogram.outline import Outline


@dataclass(frozen=True, slots=True)
class Page:
    """The square that a drawing fills, and its colours."""

    side: float = 50.0  # mm
    pixels: int = 1024  # the same in a PNG
    ink: str = "#000000"
    ground: str | None = "#ffffff"  # None: none, transparent


def name_pieces(drawing: Drawing) -> list[tuple[str, Outline]]:
    """Name each piece of a drawing for people: `letter-1`, `frame-1`."""
    named = {"letter": drawing.letters, "shadow": drawing.shadows, "frame": drawing.frames}
    return [(f"{name}-{number}", piece) for name, pieces in named.items() for number, piece in enumerate(pieces, 1)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Return `#rrggbb` as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
