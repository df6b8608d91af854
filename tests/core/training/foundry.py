"""Small real fonts and datasets, cast on the spot."""

from pathlib import Path

import numpy as np
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from core.alphabet import LATIN, LETTERS, position
from core.training.datasets import archive
from core.training.datasets.outlines import measure

OFL = "This Font Software is licensed under the SIL Open Font License, Version 1.1."
CAP = 700


def box(pen: TTGlyphPen, left: int, bottom: int, right: int, top: int, *, hole: bool = False) -> None:
    """Draw a rectangle, clockwise for ink."""
    corners = [(left, bottom), (left, top), (right, top), (right, bottom)]
    first, *rest = corners[::-1] if hole else corners
    pen.moveTo(first)
    for corner in rest:
        pen.lineTo(corner)
    pen.closePath()


def frame(width: int, stroke: int, height: int = CAP) -> object:
    """A rectangular ring of one stroke width on the baseline."""
    pen = TTGlyphPen(None)
    box(pen, 50, 0, 50 + width, height)
    box(pen, 50 + stroke, stroke, 50 + width - stroke, height - stroke, hole=True)
    return pen.glyph()


def make_font(
    path: Path,
    letters: str = LATIN,
    *,
    family: str = "Frames",
    style: str = "Regular",
    stroke: int = 120,
    licence: str | None = OFL,
    widths: dict[str, int] | None = None,
    glyphs: dict[str, object] | None = None,
    mapped: dict[str, str] | None = None,
) -> Path:
    """Cast a font whose letters are frames, each of its own width. `mapped` leads letters to glyphs by name."""
    widths = {letter: 380 + 4 * position(letter) for letter in letters} | (widths or {})
    drawn = {f"u{ord(letter):04X}": frame(widths[letter], stroke) for letter in letters}
    drawn |= {f"u{ord(letter):04X}": glyph for letter, glyph in (glyphs or {}).items()}
    advances = {f"u{ord(letter):04X}": (widths[letter] + 100, 50) for letter in letters}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *drawn])
    builder.setupCharacterMap({ord(letter): f"u{ord(letter):04X}" for letter in letters} | {
        ord(letter): name for letter, name in (mapped or {}).items()
    })  # fmt: skip
    builder.setupGlyf({".notdef": frame(300, 60), **drawn})
    builder.setupHorizontalMetrics({".notdef": (400, 50), **advances})
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    names = {"familyName": family, "styleName": style}
    builder.setupNameTable(names | ({"licenseDescription": licence} if licence else {}))
    builder.setupOS2()
    builder.setupPost()
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    builder.save(path)
    return path


def make_dataset(letters: str = "ABHOЖЇ38", strokes: tuple[float, ...] = (0.06, 0.08, 0.1, 0.12)) -> archive.Dataset:
    """A dataset of crosses and frames: a style for each stroke width, letters told apart by their width."""
    fields, labels, styles = [], [], []
    for style, stroke in enumerate(strokes):
        for place, letter in enumerate(letters):
            half = 0.15 + 0.02 * place
            outer = _box(0.5 - half, 0.24, 0.5 + half, 0.76)
            inner = _box(0.5 - half + stroke, 0.24 + stroke, 0.5 + half - stroke, 0.76 - stroke)[::-1, [2, 3, 0, 1]]
            field = measure(np.concatenate([outer, inner]), archive.SIZE, archive.CLAMP)
            fields.append(np.rint(field / archive.CLAMP * 127).astype(np.int8))
            labels.append(LETTERS.index(letter))
            styles.append(style)
    count = len(labels)
    return archive.Dataset(
        fields=np.stack(fields),
        labels=np.array(labels),
        styles=np.array(styles),
        clusters=np.zeros(len(strokes), dtype=np.int64),
        strokes=np.array(strokes, dtype=np.float32),
        advances=np.full(count, 0.5, dtype=np.float32),
        bearings=np.full((count, 2), 0.05, dtype=np.float32),
        style_names=tuple(f"Frames {stroke:g}" for stroke in strokes),
        licences=("OFL-1.1",) * len(strokes),
        report=archive.Report(sources=1, styles=len(strokes), glyphs=count),
    )


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return np.hstack([corners, np.roll(corners, -1, axis=0)])
