"""Whether a style is a font of the training set drawn again, whatever its weight, width and slant.

Styles are first brought to one width and no slant, letter by letter centred; weight is matched pair by pair. A style is
a copy if it is much nearer to a training font than the font's nearest stranger, the next drawing of another cluster.
The next drawing of its own cluster would be no measure: it is mostly the same design in another weight, which matching
makes the same, and nearer than a generator can redraw anything.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.alphabet import HOMOGLYPHS, LETTERS, position
from core.monogram.field import sample, slope
from core.monogram.strokes import Strokes
from core.monogram.strokes import measure as measure_strokes
from core.training.datasets.archive import CLAMP
from core.training.metrics.novelty import SIZE, Masks, overlaps

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CANDIDATES: Final = 10  # fonts, by overlap at half the size, that a style is compared with
FEWEST: Final = 8  # shared letters: fewer say nothing about a style
MARGIN: Final = 0.4  # flags 91 % of decoded training codes and 7 % of held-out fonts; docs/metrics.md
BLUR: Final = 1 / SIZE  # a contour is as wide: its cells count by their nearness to it
_STEPS: Final = 127 / CLAMP
_STEM: Final = 0.07  # the weight of coarse masks, and of a style whose stem cannot be measured
_PORTION: Final = 512  # letters at a time

# Of signs that look alike one is compared.
_TOLD_APART: Final = np.array([position(HOMOGLYPHS[letter]) == place for place, letter in enumerate(LETTERS)])


@dataclass(frozen=True)
class Matched:
    """Styles of one width and no slant. R letters of S styles."""

    fields: NDArray[np.int8]  # [R, SIZE, SIZE], `CLAMP` / 127 a step
    rows: Ints  # [S, 69] row of each letter, -1 where it is missing
    stems: Floats  # [S] of the canvas
    masks: Masks  # at half the size, all of one weight
    widths: Floats  # [69] spread of the ink across that each sign is brought to, taken over a style


@dataclass(frozen=True)
class Nearness:
    """How near S styles come to training fonts."""

    which: Ints  # [S] the font whose margin is undercut most
    ratio: Floats  # [S] the distance to it over its margin
    distance: Floats  # [S] to the nearest font of all, over that font's stem


def match(fields: NDArray[np.int8], labels: Ints, styles: Ints, count: int, fonts: Matched | None = None) -> Matched:
    """Bring fields [N, SIZE, SIZE] (int8, `CLAMP` / 127 a step) of styles 0 ... count - 1 to one width and no slant.

    Slant and stem of a style are the medians of its letters'. Its width is the median over letters of the standard
    deviation of the ink across, against the median of that sign in `fonts` (in these very styles, if none are given).
    """
    kept = np.flatnonzero(_TOLD_APART[labels])
    fields, labels, styles = fields[kept], labels[kept], styles[kept]
    strokes = Strokes.join([measure_strokes(_units(fields[part])) for part in _portions(len(fields))])
    leans = np.tan(_by_style(strokes.slant, styles, count))[styles]
    stems = _by_style(strokes.stem, styles, count, _STEM)
    centres, spreads = _extents(fields, leans, _level(stems)[styles])
    widths = fonts.widths if fonts else _by_style(spreads, labels, len(LETTERS))
    stretch = _by_style(spreads / widths[labels], styles, count, 1.0)
    matrices = _matrices(centres, leans, stretch[styles])
    drawn = np.concatenate([_warp(fields[part], matrices[part]) for part in _portions(len(fields))])
    rows = np.full((count, len(LETTERS)), -1)
    rows[styles, labels] = np.arange(len(fields))
    stems = stems / stretch
    ink = (drawn[:, ::2, ::2] > _level(stems)[styles, None, None]).reshape(len(drawn), -1)
    return Matched(drawn, rows, stems, Masks.collect(ink, labels, styles, count), widths)


def find_margins(fonts: Matched, clusters: Ints) -> Floats:
    """Return how near to each font [S] counts as a copy: `MARGIN` of its distance to the nearest of another cluster.

    The median margin where nothing can be compared; nan if nothing can anywhere.
    """
    near = overlaps(fonts.masks, fonts.masks)
    near[clusters[:, None] == clusters[None]] = 0
    found = np.full(len(clusters), np.nan)
    for font, row in enumerate(near):
        found[font] = MARGIN * min((measure(fonts, font, fonts, other) for other in _nearest(row)), default=np.nan)
    found[~np.isfinite(found)] = np.nan
    usual = np.nanmedian(found) if np.isfinite(found).any() else np.nan
    return np.where(np.isfinite(found), found, usual)


def find(drawn: Matched, fonts: Matched, margins: Floats) -> Nearness:
    """Compare each style with the training fonts that overlap it most: `margins` [T] by `find_margins`."""
    near = overlaps(drawn.masks, fonts.masks)
    which = np.full(len(near), -1)
    ratio, distance = np.full(len(near), np.inf), np.full(len(near), np.inf)
    for style, row in enumerate(near):
        for font in _nearest(row):
            found = measure(drawn, style, fonts, font)
            distance[style] = min(distance[style], found)
            if found / margins[font] < ratio[style]:
                which[style], ratio[style] = font, found / margins[font]
    return Nearness(which, ratio, distance)


def flag(found: Nearness) -> Bools:
    """Say of each style [S] whether it is a copy."""
    return np.asarray(found.ratio < 1)


def measure(drawn: Matched, style: int, fonts: Matched, font: int) -> float:
    """Return the mean distance between the contours of a style and a font over the font's stem.

    Beside a contour two fields differ by as much as their contours lie apart. Of that, what a change of weight, width
    and slant of the whole style and a shift of each letter sideways explain is taken off by least squares; the mean of
    what is left along either contour is a letter's distance, the mean of these
    the style's; inf where fewer than 8 are shared.
    """
    a, b = drawn.rows[style], fonts.rows[font]
    shared = (a >= 0) & (b >= 0)
    if shared.sum() < FEWEST:
        return float("inf")
    change = np.clip((fonts.stems[font] - drawn.stems[style]) / 2, -CLAMP, CLAMP)
    moved = np.clip(drawn.fields[a[shared]].astype(np.float32) / _STEPS + np.float32(change), -CLAMP, CLAMP)
    still = fonts.fields[b[shared]].astype(np.float32) / _STEPS
    weight = (_beside(moved) + _beside(still)).reshape(len(still), -1)
    letter, cell = np.nonzero(weight)
    heavy = weight[letter, cell].astype(np.float64)
    moved, still = moved.reshape(len(moved), -1), still.reshape(len(still), -1)
    # The slope across by the neighbours in the row; at a contour no neighbour lies in another row.
    slopes = (still[letter, np.minimum(cell + 1, SIZE**2 - 1)] - still[letter, np.maximum(cell - 1, 0)]) * (SIZE / 2)
    apart = (moved[letter, cell] - still[letter, cell]).astype(np.float64)
    left = _without_changes(apart, heavy, slopes.astype(np.float64), letter, cell)
    total = np.bincount(letter, heavy, len(still))
    each = np.bincount(letter, heavy * np.abs(left), len(still)) / np.maximum(total, 1e-9)
    return float(np.where(total > 0, each, CLAMP).mean() / fonts.stems[font])


def _beside(fields: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight of cells along the contour of fields [N, H, H]: 1 in all for each of both contours."""
    weight = np.maximum(1 - np.abs(fields) / BLUR, 0)
    return np.asarray(weight / np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1e-9))


def _without_changes(apart: Floats, weight: Floats, slopes: Floats, letter: Ints, cell: Ints) -> Floats:
    """Take off differences [K] what changes of weight, width and slant, and shifts sideways of each letter, explain."""
    across, down = (cell % SIZE + 0.5) / SIZE - 0.5, (cell // SIZE + 0.5) / SIZE - 0.5
    columns = np.stack([np.ones_like(apart), slopes * across, slopes * down, apart])  # [4, K]
    pull = weight * slopes
    steep = np.maximum(np.bincount(letter, pull * slopes), 1e-9)
    for column in columns:
        column -= (np.bincount(letter, pull * column) / steep)[letter] * slopes
    gram = (columns * weight) @ columns.T
    changes = np.linalg.lstsq(gram[:3, :3], gram[:3, 3], rcond=1e-6)[0]
    return np.asarray(columns[3] - changes @ columns[:3])


def _nearest(row: Floats) -> list[int]:
    """Return the places of the largest values above 0, at most `CANDIDATES`."""
    best = np.argsort(-row, kind="stable")[:CANDIDATES]
    return [int(place) for place in best if row[place] > 0]


def _by_style(values: Floats, styles: Ints, count: int, missing: float = 0.0) -> Floats:
    """Return the median of the finite values of each style; `missing` where it has none."""
    finite = np.flatnonzero(np.isfinite(values))
    order = finite[np.lexsort((values[finite], styles[finite]))]
    often = np.bincount(styles[finite], minlength=count)
    first = np.cumsum(often) - often
    found = np.full(count, missing)
    some = often > 0
    ranked = values[order]
    found[some] = (ranked[(first + (often - 1) // 2)[some]] + ranked[(first + often // 2)[some]]) / 2
    return found


def _level(stems: Floats) -> Floats:
    """Return the level, in bytes, at which letters with such stems have stems of `_STEM`."""
    return np.clip((stems - _STEM) / 2, -0.9 * CLAMP, 0.9 * CLAMP) * _STEPS


def _extents(fields: NDArray[np.int8], leans: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """Return the centre of the ink [N, 2] and its standard deviation across, slant taken off [N], of the canvas.

    Ink is what lies above a level, which makes letters of one weight of all: bold ones are no wider for being bold.
    """
    place = (np.arange(SIZE) + 0.5) / SIZE
    parts = []
    for part in _portions(len(fields)):
        ink = (fields[part] > levels[part, None, None]).astype(np.float64)
        total = np.maximum(ink.sum(axis=(1, 2)), 1)
        x, y = ink.sum(axis=1) @ place / total, ink.sum(axis=2) @ place / total
        xx, yy = ink.sum(axis=1) @ place**2 / total - x * x, ink.sum(axis=2) @ place**2 / total - y * y
        xy = np.einsum("nij,i,j->n", ink, place, place, optimize=True) / total - x * y
        lean = leans[part]
        parts.append(np.stack([x, y, xx + 2 * lean * xy + lean * lean * yy]))  # a lean moves x by -lean * y
    x, y, spread = np.concatenate(parts, axis=1)
    return np.stack([x, y], axis=1), np.sqrt(np.maximum(spread, 1 / SIZE**2))


def _matrices(centres: Floats, leans: Floats, stretch: Floats) -> Tensor:
    """Return the way from a point of the upright letter in the middle to that of the letter as it is [N, 2, 3]."""
    x, y = centres.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    across = np.stack([stretch, -leans, x - stretch / 2 + leans * y], axis=1)
    return torch.from_numpy(np.stack([across, np.stack([zero, one, zero], axis=1)], axis=1)).float()


def _warp(fields: NDArray[np.int8], matrices: Tensor) -> NDArray[np.int8]:
    """Draw fields elsewhere and make distances of their values again, to first order."""
    drawn = sample(_units(fields), matrices, SIZE)
    steep = (slope(drawn) * SIZE).clamp(0.4, 2.5)
    plain = drawn.abs() > 0.95 * CLAMP  # beyond the clamp there is no slope to go by
    right = torch.where(plain, drawn, drawn / steep).clamp(-CLAMP, CLAMP)
    return np.asarray((right[:, 0] * _STEPS).round().to(torch.int8).numpy())


def _units(fields: NDArray[np.int8]) -> Tensor:
    return torch.from_numpy(fields[:, None]).float() / _STEPS


def _portions(count: int) -> list[slice]:
    return [slice(start, start + _PORTION) for start in range(0, max(count, 1), _PORTION)]
