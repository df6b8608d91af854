"""Vyaz: one band of tall, narrow letters, all strokes of one weight, neighbours sharing a mast where both have one.

Letters are measured in masts, as the old scribes ruled them: strokes and the white between them are equally wide, so
that a band reads as one even texture. Each letter is made as heavy, across and down, as it must be to come out so.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from core.alphabet import CAP_HEIGHT
from core.monogram.composition import Drawing, Floats, Placement
from core.monogram.optics import MARGIN, Glyphs, behind, boxes, masts, unslanted
from core.monogram.outline import Outline, bounds, move, rasterise
from core.monogram.shapes import area, difference

HEIGHT: Final = (9.0, 17.0)  # masts: of a short band and of a long one
TALL: Final = 0.5  # of a band's length, between these
WHITE: Final = 0.85  # masts between letters that do not share one
LEVEL: Final = 0.8  # of a mast: strokes that lie flat
MAST: Final = 0.7  # of the height: a run of ink as tall is a mast
_CELLS: Final = 64
_CRUMB: Final = 1e-4  # of the canvas's area: what sticks out beside a shared mast by less is dropped


def place(glyphs: Glyphs) -> Placement:
    """Size letters in masts, one beside the other; masts are shared when their outlines are known."""
    glyphs = unslanted(glyphs)
    left, top, right, bottom = boxes(glyphs).unbind(-1)  # [N, L]
    wide, high = (right - left).clamp(min=0.02), (bottom - top).clamp(min=0.02)
    count = torch.where(glyphs.present, masts(wide), 0.0)
    length = count.sum(1) + WHITE * (glyphs.present.sum(1) - 1).clamp(min=0)
    height = (TALL * length).clamp(*HEIGHT)  # [N] masts
    mast = (1 - 2 * MARGIN) / torch.maximum(length, height)  # [N] of the canvas
    stem = glyphs.stem
    stem = torch.where(stem.isfinite(), stem, 0.12 * CAP_HEIGHT)
    # A stroke s of a letter w wide becomes 1 of m masts where (s + 2 a) m = w + 2 a.
    across = torch.where(count > 1, (wide - count * stem) / (2 * (count - 1).clamp(min=0.5)), 0.0)
    share = (LEVEL / height)[:, None]
    down = (share * high - stem * LEVEL) / (2 * (1 - share))
    growth = torch.stack([across.clamp(-0.03, 0.07), down.clamp(-0.03, 0.03)], dim=-1)
    extent = torch.stack([wide, high], dim=-1) + 2 * growth
    drawn = torch.stack([count, height[:, None].expand_as(count)], dim=-1) * mast[:, None, None]
    back = extent / drawn.clamp(min=1e-3)  # [N, L, 2] of the glyph's canvas, for one of the canvas
    steps = (count + WHITE) * mast[:, None]
    begin = torch.stack([MARGIN + steps.cumsum(1) - steps, (0.5 - drawn[..., 1] / 2)], dim=-1)
    start = torch.stack([left, top], dim=-1) - growth - begin * back
    matrix = torch.cat([torch.diag_embed(back), start[..., None]], dim=-1)
    return Placement(behind(glyphs, matrix[:, None]), growth)


def finish(letters: Sequence[Outline], matrix: Floats, stem: Floats, lots: Floats) -> Drawing:
    """Set letters side by side, let neighbours with masts share one, and bring the band onto the canvas."""
    placed = [move(letter, own) for letter, own in zip(letters, matrix[0], strict=True)]
    low, high = bounds(placed)
    drawn = stem / matrix[0, :, 0, 0]
    mast = float(np.median(drawn[np.isfinite(drawn)])) if np.isfinite(drawn).any() else (high[1] - low[1]) / HEIGHT[0]
    sides = [_sides(letter, low[1], high[1], mast) for letter in placed]
    band, whole, shared = [placed[0]], [placed[0]], 0
    right = bounds([placed[0]])[1][0]
    for before, own, letter in zip(sides, sides[1:], placed[1:], strict=False):
        share = before[1] and own[0]
        moved = _shift(letter, (right - mast if share else right + WHITE * mast) - bounds([letter])[0][0])
        right = bounds([moved])[1][0]
        shared += share
        # The mast belongs to the letter before: the pieces must not overlap.
        whole.append(moved)
        band.append(_without(moved, band[-1]) if share else moved)
    neighbours = max(1, len(letters) - 1)
    matrix = _centre(band)
    centred, uncut = ([move(letter, matrix) for letter in letters] for letters in (band, whole))
    figures = {"shared": shared, "joined": round(shared / neighbours, 4)}
    return Drawing(tuple(centred), tuple((drawn / matrix[0, 0]).tolist()), whole=tuple(uncut), figures=figures)


def _sides(letter: Outline, top: float, bottom: float, mast: float) -> tuple[bool, bool]:
    """Say whether a letter has a mast at its left and at its right, besides another stroke: ink along its height, near
    its edge and a mast's width inwards."""
    low, high = bounds([letter])
    if high[0] - low[0] < 2 * mast:
        return False, False
    found = []
    for edge, inwards in ((low[0], 1), (high[0], -1)):
        columns = [_column(letter, edge + inwards * share * mast, top, bottom) for share in (0.2, 0.75)]
        found.append(min(columns) >= MAST)
    return found[0], found[1]


def _column(letter: Outline, x: float, top: float, bottom: float) -> float:
    """Return the share of a line down the band that is ink."""
    side = bottom - top
    window = np.array([[side, 0.0, x - side / 2], [0.0, side, top]])
    return float((rasterise(move(letter, window), _CELLS)[:, _CELLS // 2] > 100).mean())


def _without(letter: Outline, before: Outline) -> Outline:
    left = difference(letter, before).contours
    return Outline(tuple(contour for contour in left if abs(area(contour)) > _CRUMB))


def _shift(letter: Outline, across: float) -> Outline:
    return Outline(tuple(contour + np.array([across, 0.0]) for contour in letter.contours))


def _centre(band: Sequence[Outline]) -> Floats:
    """Return the matrix from a canvas that the band fills to where it is."""
    low, high = bounds(band)
    side = (high - low).max() / (1 - 2 * MARGIN)
    corner = (low + high) / 2 - side / 2
    return np.array([[side, 0.0, corner[0]], [0.0, side, corner[1]]])
