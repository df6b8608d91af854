"""Weaving: which of two letters goes over at each crossing, and the cut of the one that goes under.

Over and under take turns along the strokes of each letter as often as can be had at once. The letter below loses what
lies under the one above, and a gap beside it; so the pieces do not overlap, and can be cut, sawn or stitched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.monogram import crossings
from core.monogram.outline import Outline, rasterise
from core.monogram.shapes import CutError, area, difference, grow, intersection, union

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CELLS: Final = 128  # across the masks on which crossings are told apart
_BEYOND: Final = 0.002  # of the canvas: cuts go so far beyond the stroke they cut, or edges would coincide
_WAYS: Final = 4  # of weaving the same crossings, at the most, until enough is left of every letter
_CRUMB: Final = 2e-4  # of the canvas's area: a piece or a hole of less is dropped
_SAME: Final = 1e-5  # of the canvas's area: how exactly a piece that was not cut keeps its own
_TOUCH: Final = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Woven:
    """Letters that do not overlap any more."""

    letters: tuple[Outline, ...]
    crossings: int
    alternation: float  # share of consecutive crossings along strokes at which over and under take turns
    visible: tuple[float, ...]  # of each letter's ink, what is left


@dataclass(frozen=True, slots=True)
class _Crossing:
    letters: tuple[int, int]
    cells: Bools  # [CELLS, CELLS]


def weave(
    letters: Sequence[Outline], gap: float, top: int, lot: float, stub: float = 0.0, least: float = 0.0
) -> Woven | None:
    """Weave letters that cross on one canvas; None where any of their overlaps is no crossing, or there is none, or
    less than `least` of a letter would be left in each of the few ways that are tried.

    `gap` is the ground left beside a stroke that goes over, of the canvas. An end that comes out beyond a crossing with
    an area below `stub` is left out: the stroke ends under the other, and no speck stands by itself. Of ways in which
    over and under take turns equally often, those are preferred that leave no end out, then those in which the letter
    `top` is over; `lot` in [0, 1) chooses among what is left.
    """
    cover = np.stack([rasterise(letter, CELLS) for letter in letters])
    if not crossings.judge((cover.astype(np.float32) / np.float32(255) - np.float32(0.5))[None]).clean[0]:
        return None
    masks = cover > 127
    found = _find(masks)
    before = [sum(map(area, letter.contours)) for letter in letters]
    ways, alternation = _alternate(masks, found, top, lot)
    best = None
    for over in ways[:_WAYS]:
        try:
            cut = _cut(letters, found, over, gap, stub)
        except CutError:  # too entangled to cut in this way
            continue
        if cut is None:
            continue
        woven, shortened = cut
        visible = [sum(map(area, own.contours)) / whole for own, whole in zip(woven, before, strict=True)]
        if min(visible) >= least and (best is None or not shortened):
            best = Woven(woven, len(found), alternation, tuple(visible))
            if not shortened:
                break
    return best


def _find(masks: Bools) -> list[_Crossing]:
    parts, count = ndimage.label(masks.sum(axis=0) >= 2, _TOUCH)
    found = []
    for part in range(1, count + 1):
        cells = parts == part
        first, second = np.flatnonzero((masks & cells).any(axis=(1, 2))).tolist()
        found.append(_Crossing((first, second), cells))
    return found


def _alternate(masks: Bools, found: Sequence[_Crossing], top: int, lot: float) -> tuple[list[list[int]], float]:
    """Say which letter is over at each crossing, in the best ways, and at what share of consecutive crossings over and
    under take turns.

    Two crossings are consecutive along a letter where a piece of it, cut at all its crossings, touches both.
    """
    neighbours = [
        (letter, first, second) for letter in range(len(masks)) for first, second in _consecutive(masks, found, letter)
    ]
    ways = (np.arange(2 ** len(found))[:, None] >> np.arange(len(found))) & 1  # [W, K]
    over = np.array([crossing.letters for crossing in found])[np.arange(len(found)), ways]
    turns = np.zeros(len(ways), dtype=np.int64)
    for letter, first, second in neighbours:
        turns += (over[:, first] == letter) != (over[:, second] == letter)
    best = over[turns == turns.max()]
    above = (best == top).sum(axis=1)
    # Equals begin with the one that was drawn by lot.
    equals = (above == above.max()).sum()
    turn = np.arange(len(best))
    best = best[np.argsort(-above, kind="stable")]
    turn[:equals] = np.roll(turn[:equals], -int(lot * equals))
    return best[turn].tolist(), float(turns.max()) / len(neighbours) if neighbours else 1.0


def _consecutive(masks: Bools, found: Sequence[_Crossing], letter: int) -> list[tuple[int, int]]:
    own = [number for number, crossing in enumerate(found) if letter in crossing.letters]
    under = np.zeros_like(masks[letter])
    for number in own:
        under |= found[number].cells
    pieces, _ = ndimage.label(masks[letter] & ~under, _TOUCH)
    touched = [
        set(np.unique(pieces[ndimage.binary_dilation(found[number].cells, _TOUCH)]).tolist()) - {0} for number in own
    ]
    pairs = combinations(range(len(own)), 2)
    return [(own[first], own[second]) for first, second in pairs if touched[first] & touched[second]]


def _cut(
    letters: Sequence[Outline], found: Sequence[_Crossing], over: Sequence[int], gap: float, stub: float
) -> tuple[tuple[Outline, ...], bool] | None:
    """Cut each letter where it goes under, and say whether an end was left out; None if a cut would reach another
    crossing."""
    cuts: list[list[Outline]] = [[] for _ in letters]
    for above, below in {(over[number], sum(each.letters) - over[number]) for number, each in enumerate(found)}:
        wide = grow(letters[above], gap - _BEYOND)
        for contour in intersection(letters[below], wide).contours:
            region = Outline((contour,))
            cells = rasterise(region, CELLS) > 127
            reached = [number for number, each in enumerate(found) if (cells & each.cells).any()]
            if any(over[number] == above and below in found[number].letters for number in reached):
                if len(reached) > 1:
                    return None
                cuts[below].append(grow(region, _BEYOND))
    left = []
    shortened = False
    for letter, own in zip(letters, cuts, strict=True):
        if not own:
            left.append(letter)
            continue
        uncut = [area(each) for each in letter.contours]
        pieces = [(area(each), each) for each in difference(letter, union(own)).contours]
        left.append(Outline(tuple(each for size, each in pieces if _stays(size, uncut, stub))))
        shortened = shortened or len(left[-1].contours) < sum(abs(size) >= _CRUMB for size, _ in pieces)
    return tuple(left), shortened


def _stays(size: float, uncut: Sequence[float], stub: float) -> bool:
    """Say whether a contour of this area stays, in a letter with contours of these areas before it was cut."""
    if abs(size) < _CRUMB:
        return False
    return not 0 < size < stub or min(abs(size - each) for each in uncut) < _SAME  # a dot is as small as a stub
