"""Vyaz: one band of tall, narrow letters, all strokes of one weight, neighbours sharing a mast where both have one.

Letters are measured in masts, as the old scribes ruled them: strokes and the white between them are equally wide, so
that a band reads as one even texture. Each letter is made as heavy, across and down, as it must be to come out so.
Letters of two bars at the most, as О, С, А and Ь, are drawn small and tucked into the open space beside a neighbour, as
under the arm of a Г (Щепкин, «Русская палеография», 1918, on «вязь»).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from scipy import ndimage

from core.alphabet import CAP_HEIGHT
from core.monogram.composition import Drawing, Floats, Placement
from core.monogram.optics import MARGIN, Glyphs, behind, boxes, masts, unslanted
from core.monogram.outline import Outline, bounds, extent, move, rasterise
from core.monogram.shapes import area, difference
from core.monogram.tuck import find_room, tuck

HEIGHT: Final = (9.0, 17.0)  # masts: of a short band and of a long one
TALL: Final = 0.5  # of a band's length, between these
WHITE: Final = 0.85  # masts between letters that do not share one
LEVEL: Final = 0.8  # of a mast: strokes that lie flat
MARKS: Final = (0.11, 0.16)  # of the height: where marks end, and where the letters begin that have them
TUCKED: Final = 0.6  # of the height: what is lower is tucked
MAST: Final = 0.85  # of the height: ink as tall is a mast, and the side of a narrow О is none
_CELLS: Final = 64
_ROWS: Final = 128  # in which letters' sides are known
_CRUMB: Final = 1e-4  # of the canvas's area: what sticks out beside a shared mast by less is dropped


def place(glyphs: Glyphs) -> Placement:
    """Size letters in masts, and say which are small; where they stand is known when their outlines are."""
    glyphs = unslanted(glyphs)
    left, top, right, bottom = boxes(glyphs).unbind(-1)  # [N, L]
    wide, high = (right - left).clamp(min=0.02), (bottom - top).clamp(min=0.02)
    tucked = tuck(find_room(glyphs), torch.where(glyphs.present, masts(wide), 0.0), WHITE)
    count = tucked.masts
    length = tucked.length + WHITE * (glyphs.present.sum(1) - 1).clamp(min=0)
    height = (TALL * length).clamp(*HEIGHT)  # [N] masts
    mast = (1 - 2 * MARGIN) / torch.maximum(length, height)  # [N] of the canvas
    tall = height[:, None] * tucked.share  # [N, L] masts
    stem = torch.where(glyphs.stem.isfinite(), glyphs.stem, 0.12 * CAP_HEIGHT)
    # A stroke s of a letter w wide becomes 1 of m masts where (s + 2 a) m = w + 2 a.
    across = torch.where(count > 1, (wide - count * stem) / (2 * (count - 1).clamp(min=0.5)), 0.0)
    share = LEVEL / tall
    down = (share * high - stem * LEVEL) / (2 * (1 - share))
    growth = torch.stack([across.clamp(-0.03, 0.07), down.clamp(-0.03, 0.03)], dim=-1)
    extent = torch.stack([wide, high], dim=-1) + 2 * growth
    drawn = torch.stack([count, tall], dim=-1) * mast[:, None, None]
    back = extent / drawn.clamp(min=1e-3)  # [N, L, 2] of the glyph's canvas, for one of the canvas
    down_to = 0.5 + height[:, None] * mast[:, None] * (tucked.foot - 0.5)  # where letters end
    begin = torch.stack([torch.full_like(down_to, MARGIN), down_to - drawn[..., 1]], dim=-1)
    start = torch.stack([left, top], dim=-1) - growth - begin * back
    matrix = torch.cat([torch.diag_embed(back), start[..., None]], dim=-1)
    return Placement(behind(glyphs, matrix[:, None]), growth)


def finish(letters: Sequence[Outline], matrix: Floats, stem: Floats, lots: Floats) -> Drawing:
    """Set letters side by side, as near as their sides let them; let neighbours with masts share one; and bring the
    band onto the canvas."""
    placed = [_settle_marks(move(letter, own)) for letter, own in zip(letters, matrix[0], strict=True)]
    low, high = bounds(placed)
    top, tall = float(low[1]), float(high[1] - low[1])
    drawn = stem / matrix[0, :, 0, 0]
    mast = float(np.median(drawn[np.isfinite(drawn)])) if np.isfinite(drawn).any() else tall / HEIGHT[0]
    sides = [_find_masts(letter, top, tall, mast) for letter in placed]
    band, whole, shared = [placed[0]], [placed[0]], 0
    skyline = _reach(placed[0], top, tall)[1]  # how far right the band comes in each row
    for before, own, letter in zip(sides, sides[1:], placed[1:], strict=False):
        left, right = _reach(letter, top, tall)
        share = before[1] and own[0]
        if share:
            step = bounds([whole[-1]])[1][0] - mast - bounds([letter])[0][0]
        else:
            # As far from what stands a white above or below as from what stands beside.
            step = (_spread(skyline, round(WHITE * mast / tall * _ROWS)) - left).max() + WHITE * mast
        skyline = np.maximum(skyline, right + step)
        shared += share
        moved = _shift(letter, float(step))
        # The mast belongs to the letter before: the pieces must not overlap.
        whole.append(moved)
        band.append(_without(moved, band[-1]) if share else moved)
    tucked = sum(float(extent([letter])[1]) < TUCKED * tall for letter in placed)
    neighbours = max(1, len(letters) - 1)
    matrix = _centre(band)
    centred, uncut = ([move(letter, matrix) for letter in letters] for letters in (band, whole))
    figures = {"shared": shared, "tucked": tucked, "joined": round((shared + tucked) / neighbours, 4)}
    return Drawing(tuple(centred), tuple((drawn / matrix[0, 0]).tolist()), whole=tuple(uncut), figures=figures)


def _settle_marks(letter: Outline) -> Outline:
    """Let a letter with a breve or dots be nearly as tall as those without: what it has above is made lower for it."""
    low, high = bounds([letter])
    body = max(letter.contours, key=lambda contour: float(np.ptp(contour[:, :, 1])))
    begin = float(body[:, :, 1].min())
    marks = [contour for contour in letter.contours if contour[:, :, 1].max() < begin]
    if not marks:
        return letter
    top, bottom = float(low[1]), float(high[1])
    lowest = max(float(contour[:, :, 1].max()) for contour in marks)
    end, start = top + MARKS[0] * (bottom - top), top + MARKS[1] * (bottom - top)

    def settle(contour: Floats) -> Floats:
        is_mark = contour[:, :, 1].max() < begin
        before, after = ((top, lowest), (top, end)) if is_mark else ((begin, bottom), (start, bottom))
        scale = (after[1] - after[0]) / max(before[1] - before[0], 1e-6)
        if is_mark and scale > 1:
            scale = 1.0
        return np.stack([contour[..., 0], after[0] + (contour[..., 1] - before[0]) * scale], axis=-1)

    return Outline(tuple(settle(contour) for contour in letter.contours))


def _find_masts(letter: Outline, top: float, tall: float, mast: float) -> tuple[bool, bool]:
    """Say whether a letter has a mast at its left and at its right, besides another stroke: ink along its height, near
    its edge and a mast's width inwards."""
    low, high = bounds([letter])
    if high[0] - low[0] < 2 * mast:
        return False, False
    found = []
    for edge, inwards in ((low[0], 1), (high[0], -1)):
        columns = [_column(letter, edge + inwards * share * mast, top, tall) for share in (0.2, 0.75)]
        found.append(min(columns) >= MAST)
    return found[0], found[1]


def _column(letter: Outline, x: float, top: float, tall: float) -> float:
    """Return the share of a line down the band that is ink."""
    window = np.array([[tall, 0.0, x - tall / 2], [0.0, tall, top]])
    return float((rasterise(move(letter, window), _CELLS)[:, _CELLS // 2] > 100).mean())


def _reach(letter: Outline, top: float, tall: float) -> tuple[Floats, Floats]:
    """Return where a letter begins and ends in each row of the band [_ROWS]; infinitely far apart where it is not."""
    start = bounds([letter])[0][0]
    ink = rasterise(move(letter, np.array([[tall, 0.0, start], [0.0, tall, top]])), _ROWS) > 127
    held = ink.any(axis=1)
    first, last = ink.argmax(axis=1), _ROWS - ink[:, ::-1].argmax(axis=1)
    places = start + np.stack([first, last]) * (tall / _ROWS)
    return np.where(held, places[0], np.inf), np.where(held, places[1], -np.inf)


def _spread(skyline: Floats, rows: int) -> Floats:
    """Return the farthest of each row and so many above and below."""
    spread: Floats = ndimage.maximum_filter1d(skyline, 2 * rows + 1, mode="constant", cval=-np.inf)
    return spread


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
