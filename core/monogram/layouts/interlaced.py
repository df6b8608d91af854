"""Letters woven into one another, in the best of many placements (`search`)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.alphabet import CAP_HEIGHT
from core.monogram.composition import Drawing, Floats, Placement
from core.monogram.field import SHARP
from core.monogram.optics import Glyphs, behind, boxes, spare, thickness, upright
from core.monogram.outline import Outline, move
from core.monogram.search import FEWEST, KEPT, search
from core.monogram.shapes import CutError, grow
from core.monogram.weave import weave

STEM: Final = 0.1  # of the cap height, at the most: heavier strokes leave nothing between them to weave through
GAP: Final = 0.35  # of the thinnest stem, beside a stroke that goes over
STUB: Final = 1.3  # of a stem's square: an end beyond a crossing with less ink is a speck
VISIBLE: Final = 0.8  # of every letter's ink
_SLIGHT: Final = 3e-4  # of the canvas: strokes this little too heavy stay as they are
_GAPS: Final = (0.012, 0.03)  # of the canvas: least and most


def place(glyphs: Glyphs) -> Placement:
    """Find the best placements of letters; a variant that no clean one was found for has matrices of nan."""
    growth = thin(glyphs)
    fields = upright(glyphs) + growth[..., :1, None].float()
    plain = torch.eye(2, dtype=torch.float64).expand_as(glyphs.transform)
    held = boxes(replace(glyphs, field=fields, transform=plain))  # what their transforms do is done already
    matrix = torch.full((len(fields), KEPT, fields.shape[1], 2, 3), torch.nan, dtype=torch.float64)
    for number, count in enumerate(glyphs.present.sum(1).tolist()):
        # One by one: the same numbers come out whatever the variants beside.
        if count > 1:
            matrix[number, :, :count] = search(fields[number, :count], held[number, :count])
    return Placement(behind(glyphs, matrix), growth)


def finish(letters: Sequence[Outline], matrix: Floats, stem: Floats, lots: Floats) -> Drawing | None:
    """Weave letters [L] placed in one of K ways [K, L, 2, 3], their stems [L] of the glyph's canvas.

    None where none of the ways turns out to be clean.
    """
    for way in matrix[np.isfinite(matrix).all(axis=(1, 2, 3))]:
        placed = [move(letter, own) for letter, own in zip(letters, way, strict=True)]
        try:
            drawing = interlace(*level(placed, thickness(stem, way)), float(lots[0]))
        except CutError:  # what cannot be made heavier or lighter here may be elsewhere
            continue
        if drawing is not None and drawing.figures["crossings"] >= FEWEST:
            return drawing
    return None


def level(letters: Sequence[Outline], stems: Sequence[float]) -> tuple[list[Outline], tuple[float, ...]]:
    """Make letters that lie on the canvas equally heavy: their stems the geometric mean of what they are."""
    own = np.array(stems)
    target = float(np.exp(np.log(own[np.isfinite(own)]).mean())) if np.isfinite(own).any() else float("nan")
    change = np.where(np.isfinite(own), (target - own) / 2, 0.0)
    levelled = [
        grow(letter, each) if abs(each) > _SLIGHT else letter
        for letter, each in zip(letters, change.tolist(), strict=True)
    ]
    return levelled, tuple(np.where(np.isfinite(own), target, own).tolist())


def interlace(letters: Sequence[Outline], stems: tuple[float, ...], lot: float) -> Drawing | None:
    """Weave letters that lie on the canvas; None if they do not cross cleanly, or too little of one is left."""
    thinnest = np.nanmin([*stems, np.inf])
    gap = float(np.clip(GAP * thinnest, *_GAPS))
    stub = STUB * thinnest**2 if np.isfinite(thinnest) else 0.0
    woven = weave(letters, gap, len(letters) - 1, lot, stub, VISIBLE)
    if woven is None:
        return None
    figures = {
        "crossings": woven.crossings,
        "alternation": round(woven.alternation, 4),
        "visible": round(min(woven.visible), 4),
        "gap": round(gap, 5),
    }
    return Drawing(woven.letters, stems, whole=tuple(letters), figures=figures)


def thin(glyphs: Glyphs) -> Tensor:
    """Return the growth [N, L, 2], none above 0, that leaves stems of `STEM`, or of what keeps the letters whole."""
    wanted = ((STEM * CAP_HEIGHT - glyphs.stem) / 2).clamp(max=0).nan_to_num(0.0)
    coarse = F.avg_pool2d(glyphs.field, max(1, glyphs.field.shape[-1] // SHARP))  # as networks draw them, or about so
    return spare(coarse, wanted[..., None].expand(-1, -1, 2))
