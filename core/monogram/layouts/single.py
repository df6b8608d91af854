"""One letter, centred by eye and filling the canvas."""

import torch

from core.monogram.composition import Placement
from core.monogram.optics import Glyphs, fit, measure


def place(glyphs: Glyphs) -> Placement:
    """Place the letter of the first place."""
    nothing = torch.zeros(*glyphs.present.shape, 2, dtype=torch.int64, device=glyphs.field.device)
    return Placement(fit(glyphs, measure(glyphs), nothing)[:, None], nothing.double())
