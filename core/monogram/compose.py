"""From the letters of variants to drawings: where a layout puts them, how heavy they are there, and what it makes of
their outlines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.monogram import field
from core.monogram.composition import Drawing, Floats, Placement
from core.monogram.frames import add_frame
from core.monogram.layouts import circle, interlaced, mirrored, single, stacked, straight, traditional, vyaz
from core.monogram.optics import Glyphs, spare, thickness
from core.monogram.ornaments import add_ornament
from core.monogram.outline import Outline, extent, move
from core.monogram.render import outline_all
from core.monogram.shapes import CutError
from core.monogram.sight import see
from core.monogram.strokes import thinnest
from core.registry import Frame, Layout, Ornament


def set_down(letters: Sequence[Outline], matrix: Floats, stem: Floats, lots: Floats) -> Drawing:
    """Put letters where their matrices [1, L, 2, 3] say."""
    letters = tuple(move(letter, own) for letter, own in zip(letters, matrix[0], strict=True))
    return Drawing(letters, thickness(stem, matrix[0]))


@dataclass(frozen=True, slots=True)
class Rule:
    """How a layout is made: where letters go, and what is done to their outlines there."""

    place: Callable[[Glyphs], Placement]
    finish: Callable[[Sequence[Outline], Floats, Floats, Floats], Drawing | None] = set_down


RULES: Final[Mapping[Layout, Rule]] = {
    Layout.SINGLE: Rule(single.place),
    Layout.STRAIGHT: Rule(straight.place),
    Layout.STACKED: Rule(stacked.place),
    Layout.TRADITIONAL: Rule(traditional.place),
    Layout.INTERLACED: Rule(interlaced.place, interlaced.finish),
    Layout.CIRCLE: Rule(circle.place, circle.finish),
    Layout.FRAMED: Rule(straight.place),
    Layout.MIRRORED: Rule(mirrored.place, mirrored.finish),
    Layout.VYAZ: Rule(vyaz.place, vyaz.finish),
}
FALLBACK: Final = Layout.STRAIGHT  # where a layout cannot be made of these letters


@dataclass(frozen=True, slots=True)
class Wish:
    """What one variant is to be."""

    layout: Layout
    ornament: Ornament | None
    frame: Frame | None
    lots: Floats  # numbers from 0 to 1 for what the layout leaves open


@dataclass(frozen=True, slots=True)
class Composed:
    """One variant as drawn."""

    drawing: Drawing
    layout: Layout  # the one wished for, or the fallback
    seen: NDArray[np.float32] | None  # [L, 64, 64] letters that are not seen as they were drawn, as fields
    fault: str = ""  # why nothing is drawn


NOTHING: Final = Composed(Drawing((), ()), FALLBACK, None)


def compose(glyphs: Glyphs, letters: Tensor, wishes: Sequence[Wish]) -> list[Composed]:
    """Draw N variants: their letters [N, L, h, w] as networks draw them, and on a finer grid in `glyphs`.

    What is drawn of a variant does not depend on the others.
    """
    if not wishes:
        return []
    placed: dict[int, tuple[Floats, Floats]] = {}
    for layout in sorted({wish.layout for wish in wishes}):
        rows = [row for row, wish in enumerate(wishes) if wish.layout is layout]
        placement = RULES[layout].place(glyphs.take(rows))
        placed |= {row: placement.row(number) for number, row in enumerate(rows)}
    growth = np.stack([placed[row][1] for row in range(len(wishes))])
    growth = spare(letters, torch.from_numpy(growth)).numpy()
    grown = _grow(letters, growth)[glyphs.present].unsqueeze(1)
    outlines = iter(outline_all(grown))
    stem = glyphs.stem.cpu().numpy() + 2 * growth[..., 0]
    hairline = np.full(stem.shape, np.nan)
    hairline[glyphs.present.numpy()] = thinnest(grown)
    drawn = []
    for row, wish in enumerate(wishes):
        own = [next(outlines) for _ in range(int(glyphs.present[row].sum()))]
        if not all(letter.contours for letter in own):
            drawn.append(Composed(Drawing((), ()), wish.layout, None, fault="a letter came out without ink"))
            continue
        try:
            found = _finish(glyphs.take(slice(row, row + 1)), own, placed[row][0], stem[row, : len(own)], wish)
            drawn.append(_add_stroke(found, own, stem[row, : len(own)], hairline[row, : len(own)]))
        except CutError as error:
            drawn.append(Composed(Drawing((), ()), wish.layout, None, fault=str(error)))
    return drawn


def _finish(glyphs: Glyphs, letters: list[Outline], matrix: Floats, stem: Floats, wish: Wish) -> Composed:
    """Draw one variant from its letters' outlines and where its layout puts them, matrices [K, L, 2, 3]."""
    count = len(letters)
    layout = wish.layout
    try:
        drawing = RULES[layout].finish(letters, matrix[:, :count], stem, wish.lots)
    except CutError:  # outlines too entangled to cut are no clean weave
        drawing = None
    if drawing is None:
        layout = FALLBACK
        drawing = set_down(letters, RULES[FALLBACK].place(glyphs).row(0)[0][:, :count], stem, wish.lots)
    shown = len(drawing.whole)
    seen = see(drawing.letters, drawing.whole, [*letters, *letters][:shown]) if shown else None
    if wish.ornament is not None:
        drawing = add_ornament(drawing, wish.ornament)
    if wish.frame is not None:
        drawing = add_frame(drawing, wish.frame)
    return Composed(drawing, layout, seen)


def _add_stroke(composed: Composed, letters: Sequence[Outline], stem: Floats, hairline: Floats) -> Composed:
    """Say how thin the thinnest stroke is, from letters' hairlines and stems [L] of the glyph's canvas."""
    drawing = composed.drawing
    strokes = []
    for number, (own, placed) in enumerate(zip(drawing.stems, drawing.whole or drawing.letters, strict=True)):
        place = number % len(letters)
        slimmer = own / stem[place] if np.isfinite(own) else (extent([placed]) / extent([letters[place]])).min()
        strokes.append(hairline[place] * float(slimmer))
    figures = {**drawing.figures, "stroke": round(float(min(strokes)), 5)}
    return replace(composed, drawing=replace(drawing, figures=figures))


def _grow(letters: Tensor, growth: Floats) -> Tensor:
    """Grow letters [N, L, h, w] by [N, L, 2]."""
    amount = torch.from_numpy(growth).to(letters.device, torch.float32).flatten(0, 1)
    grown = field.grow(letters.flatten(0, 1).unsqueeze(1), amount)
    return grown.view_as(letters)
