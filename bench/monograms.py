"""`python -m bench.monograms`: what monograms of the weights that ship measure.

Woven pairs are gated by `judge-select` and read by `judge-report`, which no gate uses; pairs of real fonts, woven in
the same way, say how much of a woven letter that judge can read at all.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import torch
from contourpy import contour_generator
from fontTools.pens.qu2cuPen import Qu2CuPen
from fontTools.pens.recordingPen import DecomposingRecordingPen, RecordingPen
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from bench.pairs import SEED, composer, load_network, pairs
from bench.row import Row
from core.alphabet import CLAMP, LETTERS
from core.errors import Invalid, ItemError
from core.monogram.export.makeable import Limits, repair
from core.monogram.export.makeable import measure as measure_widths
from core.monogram.outline import Outline, flatten
from core.monogram.render import clean, outline_all
from core.pipeline import Composer, Drawn
from core.recipe import BLOCK, STYLE, Recipes
from core.registry import Layout
from core.training.config import DatasetConfig
from core.training.datasets import faces, fonts, outlines

COUNT: Final = 256
TRACED: Final = 256  # letters
SIDE: Final = 50.0  # mm
MAKEABLE: Final = 64  # variants of each layout: measuring takes a third of a second each
READ: Final = 0.5  # a letter's probability from which on it is read
EQUAL: Final = 1.08  # the widest stem over the thinnest
CELLS: Final = 128  # across a letter's field
CORNER: Final = 3.0  # cells from a corner to where an edge is one


def measure() -> list[Row]:
    """Make pairs drawn by lot, Latin and Ukrainian in turn; plain and woven."""
    plain = list(_draw(composer(Layout.STRAIGHT, pairs(128), "judge-report", Composer)))
    woven = list(_draw(composer(Layout.INTERLACED, pairs(128), "judge-report", Composer)))
    gate = list(_draw(composer(Layout.INTERLACED, pairs(128), "judge-select", Composer)))
    real = list(_draw(composer(Layout.INTERLACED, pairs(128), "judge-report", RealLetters)))
    crossing = [each for each in woven if _is_woven(each)]
    passed = [each for each, judged in zip(woven, gate, strict=True) if _is_woven(each) and _read(judged)]
    visible = min(float(each.composed.drawing.figures["visible"]) for each in crossing)
    read = _share(map(_read, passed))
    reference = _share(map(_read, filter(_is_woven, real)))
    far, farthest, nodes = _trace()
    rows = [
        Row("pairs with a clean weave", _share(map(_is_woven, woven)), 0.8, "share", "higher"),
        Row("the same of real fonts", _share(map(_is_woven, real)), None, "share", "higher"),
        Row("woven: least visible share of a letter", visible, 0.8, "share", "higher"),
        Row("woven: both letters read by judge-report, ungated", _share(map(_read, crossing)), None, "share", "higher"),
        Row("woven: kept by the gate, --min-legibility 0.5", len(passed) / len(crossing), None, "share", "higher"),
        Row("woven and gated: both letters read by judge-report", read, 0.9, "share", "higher"),
        Row("woven and gated: read, over woven letters of real fonts", read / reference, 0.9, "x", "higher"),
        Row("outline: mean distance to the field, of the canvas", far, 0.0008, "share", "lower"),
        Row("outline: largest distance away from corners", farthest, 0.004, "share", "lower"),
        Row("outline: on-curve nodes, over fonts' same letters as cubics", nodes, 1.5, "x", "lower"),
    ]
    for name, each in (("straight", plain), ("interlaced", woven)):
        rows.append(Row(f"{name}: stems equal within 8 %", _equal(each), 0.95, "share", "higher"))
    for name, each in (("straight", plain), ("interlaced", woven)):
        before, after = _makeable(each[:MAKEABLE])
        rows.append(Row(f"{name}: makeable at 50 mm, 1.2 mm strokes", before, None, "share", "higher"))
        rows.append(Row(f"{name}: makeable after thickening", after, 0.95, "share", "higher"))
    return rows


class RealLetters(Composer):
    """Draws the letters of fonts that are installed, each variant with one face."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._faces = list(_read_faces())

    def _draw(self, recipes: Recipes, rows: slice) -> Tensor:
        fields = torch.full((BLOCK, self._places, CELLS, CELLS), -CLAMP)
        for row, index in enumerate(range(recipes.start, recipes.stop), rows.start):
            able = [face for face in self._faces if set(recipes.letters(index)) <= face.keys()]
            face = able[index % len(able)]
            for place, sign in enumerate(recipes.letters(index)):
                fields[row, place] = torch.from_numpy(_distances(face[sign]))
        return fields


def _read_faces() -> Iterator[dict[str, NDArray[np.float64]]]:
    """One style of each installed font, its letters as segments."""
    lot = np.random.default_rng(0)
    for source in fonts.sources(DatasetConfig()):
        try:
            styles = list(faces.instances(faces.open_face(source.path.read_bytes())))
        except Invalid:
            continue
        own = styles[int(lot.integers(len(styles)))].letters
        yield {letter.sign: letter.segments for letter in own}


def _distances(segments: NDArray[np.float64]) -> NDArray[np.float32]:
    return outlines.measure(outlines.unite(segments), CELLS, CLAMP).clip(-CLAMP, CLAMP).astype(np.float32)


def _draw(made: Composer) -> Iterator[Drawn]:
    for start in range(0, COUNT, BLOCK):
        for item in made.draw(start, start + BLOCK):
            if isinstance(item, ItemError):
                raise item
            yield item


def _is_woven(drawn: Drawn) -> bool:
    return drawn.composed.layout is Layout.INTERLACED


def _read(drawn: Drawn) -> bool:
    return (drawn.legibility or 0.0) >= READ


def _share(values: Iterable[bool]) -> float:
    return float(np.mean(list(values)))


@torch.inference_mode()
def _trace() -> tuple[float, float, float]:
    """Trace letters by lot in styles by lot; return how far the outlines are from the fields on average and, away from
    corners, at the most, of the canvas; and how many nodes they have against the same letters of fonts, as a median."""
    lot = torch.Generator().manual_seed(SEED)
    network = load_network()
    labels = torch.randint(len(LETTERS), (TRACED,), generator=lot)
    fields = torch.cat(
        [
            network.draw(network.styles(torch.randn(BLOCK, STYLE, generator=lot)), part)
            for part in torch.split(labels, BLOCK)
        ]
    )
    fields = clean(fields)
    usual = _count_nodes()
    mean, most, ratios = [], [], []
    for field, traced, label in zip(fields[:, 0].numpy(), outline_all(fields), labels.tolist(), strict=True):
        points = np.concatenate([_densify(ring) for ring in flatten(traced)])
        gap = KDTree(_follow(field)).query(points)[0]
        corners = _find_corners(traced)
        away = np.linalg.norm(points[:, None] - corners, axis=2).min(axis=1, initial=np.inf) > CORNER / CELLS
        mean.append(gap.mean())
        most.append(gap[away].max(initial=0.0))
        if LETTERS[label] in usual:
            ratios.append(traced.nodes / usual[LETTERS[label]])
    return float(np.mean(mean)), float(np.max(most)), float(np.median(ratios))


def _densify(ring: NDArray[np.float64], finer: int = 4) -> NDArray[np.float64]:
    """Return points along a polygon, so many a cell at the least."""
    ahead = np.roll(ring, -1, axis=0)
    pieces = np.maximum(1, np.ceil(np.linalg.norm(ahead - ring, axis=1) * CELLS * finer)).astype(np.int64)
    owner = np.repeat(np.arange(len(ring)), pieces)
    t = (np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[owner]
    return np.asarray(ring[owner] + (ahead - ring)[owner] * t[:, None])


def _follow(field: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return points along the zero line of a field, as close as they come of any use."""
    lines = contour_generator(z=field).lines(0.0)
    return np.concatenate([_densify((np.asarray(line)[:-1] + 0.5) / CELLS, 40) for line in lines])


def _find_corners(letter: Outline) -> NDArray[np.float64]:
    """Return the points [C, 2] at which an outline turns by more than 15 degrees."""
    found = [np.zeros((0, 2))]
    for contour in letter.contours:
        arrive, leave = contour[:, 3] - contour[:, 2], np.roll(contour[:, 1] - contour[:, 0], -1, axis=0)
        cross = arrive[:, 0] * leave[:, 1] - arrive[:, 1] * leave[:, 0]
        found.append(contour[np.abs(np.arctan2(cross, (arrive * leave).sum(axis=1))) > np.radians(15), 3])
    return np.concatenate(found)


def _count_nodes() -> dict[str, float]:
    """Return how many on-curve points fonts need for each letter as cubics, the median of a style of each font."""
    counts: dict[str, list[int]] = {}
    for source in fonts.sources(DatasetConfig()):
        try:
            face = faces.open_face(source.path.read_bytes())
        except Invalid:
            continue
        glyphs, names = face.getGlyphSet(), face.getBestCmap()
        for sign in LETTERS:
            if ord(sign) in names:
                whole, cubic = DecomposingRecordingPen(glyphs), RecordingPen()
                glyphs[names[ord(sign)]].draw(whole)
                try:
                    whole.replay(Qu2CuPen(cubic, 1.0, all_cubic=True))
                except RuntimeError:  # contours without a point on the curve are not implemented
                    continue
                drawn = sum(operation in ("lineTo", "curveTo") for operation, _ in cubic.value)
                counts.setdefault(sign, []).append(drawn)
    return {sign: float(np.median(own)) for sign, own in counts.items()}


def _equal(drawn: list[Drawn]) -> float:
    """Share of those with two measured stems in which the widest is at most `EQUAL` of the thinnest."""
    stems = [np.array([stem for stem in each.composed.drawing.stems if np.isfinite(stem)]) for each in drawn]
    return float(np.mean([own.max() / own.min() <= EQUAL for own in stems if len(own) > 1]))


def _makeable(drawn: list[Drawn]) -> tuple[float, float]:
    """Share of what can be made as it is, and after thickening."""
    limits = Limits()
    drawings = [each.composed.drawing for each in drawn]
    before = [measure_widths(each, SIDE).within(limits) for each in drawings]
    after = [good or repair(each, SIDE, limits)[1].within(limits) for good, each in zip(before, drawings, strict=True)]
    return float(np.mean(before)), float(np.mean(after))


def main() -> int:
    """Print the rows as JSON."""
    print(json.dumps([row.as_json() for row in measure()], indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
