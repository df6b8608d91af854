"""Where letters cross cleanly: verdicts on placements, by counting on coarse masks, many at once.

A *crossing* is an overlap that either of its two letters leaves on both sides: the ring of cells around it holds
exactly two parts of each, which go on beyond it, and nothing of a third. Any other overlap - a tip, a joint, parallel
stems, a sliver - spoils a placement, and so do strokes that come close without crossing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

RING: Final = 3  # cells around an overlap
NEAR: Final = 1  # strokes of two letters that do not cross keep more cells apart
PARDON: Final = 4  # cells beyond a ring where strokes that have crossed may still be near
MOST: Final = 8  # overlaps that are told apart
_THIN: Final = 0.25  # cells beyond its edge that still count as ink, or hairlines would break
_PER_CELL: Final = 16  # thickness is counted in sixteenths of a cell
_NUMBER: Final = np.arange(MOST + 1)
_IN_PLANE: Final = np.zeros((3, 3, 3), dtype=np.bool_)  # neighbours within one mask of a stack
_IN_PLANE[1] = True


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What M placements are worth. Whole numbers, so that no figure depends on an order of summation."""

    overlaps: Ints  # [M]
    spoilt: Ints  # [M] overlaps that are no crossings, or have another in their ring
    near: Ints  # [M] cells where letters come close without crossing
    covered: Ints  # [M] percent of its ink in overlaps, of the letter with most there
    square: Ints  # [M] percent: the sine of the angle of the most slanted crossing
    busy: Ints  # [M] what else of the letters comes into the rings

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the verdicts on several groups of placements as those on one."""
        return cls(*(np.concatenate([getattr(part, entry.name) for part in parts]) for entry in fields(cls)))

    @property
    def clean(self) -> Bools:
        """[M]: there are crossings, and nothing else touches."""
        return np.asarray((self.overlaps > 0) & (self.overlaps <= MOST) & (self.spoilt == 0) & (self.near == 0))


def judge(letters: NDArray[np.float32]) -> Verdicts:
    """Judge placements of L letters: fields [M, L, H, W] in cells, positive inside."""
    masks = letters > -_THIN
    overlap = masks.sum(axis=1, dtype=np.uint8) >= 2  # [M, H, W]
    parts, overlaps = _number(overlap)
    zone, shared = _zones(parts, RING)
    real = (_NUMBER > 0) & (overlaps[:, None] >= _NUMBER)
    near = _near(masks, zone)
    # Few placements get so far that it matters whether their overlaps are crossings; for the others all count as
    # spoilt, and telling would take most of the time.
    spoilt, busy = overlaps.copy(), np.zeros_like(overlaps)
    hopeful = (overlaps > 0) & (overlaps <= MOST) & (near == 0) & ~(shared & real).any(axis=1)
    crossed, busy[hopeful] = _look(masks[hopeful], overlap[hopeful], parts[hopeful], zone[hopeful])
    spoilt[hopeful] = (real[hopeful] & ~crossed).sum(axis=1)
    square = np.full(len(masks), 100)
    clean = hopeful & (spoilt == 0)
    square[clean] = _square(letters[clean], masks[clean] & overlap[clean, None], parts[clean], real[clean])
    return Verdicts(
        overlaps=overlaps,
        spoilt=spoilt,
        near=near,
        covered=(100 * (masks & overlap[:, None]).sum(axis=(2, 3)) // np.maximum(masks.sum(axis=(2, 3)), 1)).max(
            axis=1
        ),
        square=square,
        busy=busy,
    )


def _look(masks: Bools, overlap: Bools, parts: Bytes, zone: Bytes) -> tuple[Bools, Ints]:
    """Say of each overlap whether it is a crossing, [M, MOST + 1], and how much else comes into the rings, [M]."""
    arms = _count_arms(masks & ((zone > 0) & ~overlap)[:, None], zone)  # [M, L, MOST + 1]
    outer = _count_arms(masks & ((zone > 0) & (_spread(parts, RING - 1) == 0))[:, None], zone)
    involved = _add_up(masks & overlap[:, None], parts) > 0
    # Arms go on beyond the ring: what ends in it is a tip.
    crossed = ((arms == 2 * involved) & (outer >= 2 * involved)).all(axis=1) & (involved.sum(axis=1) == 2)
    return crossed, np.asarray((np.abs(outer - 2 * involved).sum(axis=1) * (_NUMBER > 0)).sum(axis=1))


def _label(masks: Bools) -> Ints:
    """Number the connected parts of a stack of masks [N, H, W] from 1 on, diagonals connecting within a mask."""
    return np.asarray(ndimage.label(masks, _IN_PLANE)[0], dtype=np.int64)


def _number(masks: Bools) -> tuple[Bytes, Ints]:
    """Number the parts of each mask [M, H, W] from 1 on, all beyond MOST as MOST; and say how many there are, [M]."""
    labels = _label(masks)
    most = np.maximum.accumulate(labels.max(axis=(1, 2), initial=0))
    first = np.concatenate([[0], most[:-1]])
    own = np.where(masks, labels - first[:, None, None], 0)
    return np.minimum(own, MOST).astype(np.uint8), most - first


def _spread(values: Bytes, reach: int) -> Bytes:
    """Take the largest byte within `reach` cells, in a square, of [..., H, W]."""
    # Whole slices at a time: many times as fast as SciPy's filter, which looks at each cell by itself.
    across = values.copy()
    for step in range(1, reach + 1):
        np.maximum(across[..., step:], values[..., :-step], out=across[..., step:])
        np.maximum(across[..., :-step], values[..., step:], out=across[..., :-step])
    down = across.copy()
    for step in range(1, reach + 1):
        np.maximum(down[..., step:, :], across[..., :-step, :], out=down[..., step:, :])
        np.maximum(down[..., :-step, :], across[..., step:, :], out=down[..., :-step, :])
    return down


def _zones(parts: Bytes, reach: int) -> tuple[Bytes, Bools]:
    """Return the part within `reach` cells of each cell, and of each part [M, MOST + 1] whether another is so near."""
    zone = _spread(parts, reach)
    least = 255 - _spread(np.where(parts > 0, 255 - parts, 0).astype(np.uint8), reach)
    both = (zone > 0) & (zone != least)
    crowded = _add_up(both[:, None], zone) + _add_up(both[:, None], np.where(both, least, 0).astype(np.uint8))
    return zone, crowded[:, 0] > 0


def _count_arms(arms: Bools, zone: Bytes) -> Ints:
    """Count the connected parts of each letter [M, L, H, W] in the zone of each overlap, [M, L, MOST + 1]."""
    count, places, height, width = arms.shape
    labels = _label(arms.reshape(-1, height, width)).reshape(-1)
    cells = np.flatnonzero(labels)
    first = cells[np.unique(labels[cells], return_index=True)[1]]  # one cell of each
    letter, cell = np.divmod(first, height * width)
    index = letter * (MOST + 1) + zone.reshape(count, height * width)[letter // places, cell]
    return np.bincount(index, minlength=count * places * (MOST + 1)).reshape(count, places, MOST + 1)


def _add_up(marks: Bools, parts: Bytes) -> Ints:
    """Count marked cells [M, L, H, W] by part [M, H, W], [M, L, MOST + 1]."""
    count, places = marks.shape[:2]
    placement, letter, row, column = marks.nonzero()
    index = (placement * places + letter) * (MOST + 1) + parts[placement, row, column]
    return np.bincount(index, minlength=count * places * (MOST + 1)).reshape(count, places, MOST + 1)


def _near(masks: Bools, zone: Bytes) -> Ints:
    """Count the cells of ink to which another letter comes near away from overlaps, [M]."""
    wide = _spread(masks.view(np.uint8), NEAR).sum(axis=1, dtype=np.uint8) >= 2
    return np.asarray((wide & masks.any(axis=1) & (_spread(zone, PARDON) == 0)).sum(axis=(1, 2)))


def _square(letters: NDArray[np.float32], here: Bools, parts: Bytes, real: Bools) -> Ints:
    """Return how square the most slanted crossing is, percent: strokes of thickness s and t cross over s t / sine."""
    placement, letter, row, column = here.nonzero()
    depth = np.maximum(letters[placement, letter, row, column] + _THIN, 0.25) * 2 * _PER_CELL
    part = parts[placement, row, column]
    thick = np.zeros((*here.shape[:2], MOST + 1), dtype=np.int64)
    np.maximum.at(thick, (placement, letter, part), depth.astype(np.int64))
    strokes = np.where(thick > 0, thick, _PER_CELL).prod(axis=1) * 100 // _PER_CELL ** letters.shape[1]
    size = _add_up(here, parts).max(axis=1)
    return np.asarray(np.minimum(np.where(real, strokes // np.maximum(size, 1), 100).min(axis=1), 100))
