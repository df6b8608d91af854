"""How clean an edge is: its roughness, its needless bends and the sharpness of its corners.

Measured on closed contours: those of a letter as delivered, which is its traced outline; those of its field drawn at
1,024 px; a font's own outline. Lengths are of the canvas.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import torch.nn.functional as F
from contourpy import contour_generator
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from core.alphabet import CAP_HEIGHT
from core.monogram.outline import flatten
from core.monogram.render import clean, outline_all
from core.training.datasets.archive import CLAMP
from core.training.datasets.outlines import unite
from core.training.metrics.parts import portions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIZE: Final = 1024
STEP: Final = 1 / 512
WINDOW: Final = 24  # steps
CORNERS: Final = 4
STRETCH: Final = CAP_HEIGHT / 100  # in which a corner's turn is summed
PARTS: Final = 4  # of that stretch
BEND: Final = 8  # steps between the headings of which a bend is the difference
STILL: Final = 0.02  # rad a bend: less is straight
NEIGHBOURS: Final = 8  # real letters of the nearest weights that a letter is compared with

_PORTION: Final = 16  # letters at a time: one at 1,024 px is 4 MiB


@dataclass(frozen=True)
class Edges:
    """Figures of N letters; nan where a letter has no contour of at least `WINDOW` steps."""

    residual: Floats  # [N] RMS distance from a quadratic, median window
    flips: Floats  # [N] changes of the curvature's sign per cap height of contour
    corner: Floats  # [N] mean turn at the four sharpest points, rad
    weight: Floats  # [N] twice the area over the contour's length: about the stroke

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the figures of several groups of letters as those of one."""
        return cls(*(np.concatenate([getattr(part, entry.name) for part in parts]) for entry in fields(cls)))


def measure_fields(letters: Tensor) -> Edges:
    """Measure fields [N, 1, h, h] at the zero contour of their bicubic interpolation to 1,024 px."""
    drawn = (draw for portion in portions(letters, _PORTION) for draw in _draw(portion))
    return _collect([measure_contours(find_contours(field)) for field in drawn])


def measure_traced(letters: Tensor) -> Edges:
    """Measure what fields [N, 1, h, h] are delivered as: the outlines traced from them."""
    return _collect([measure_contours(flatten(outline)) for outline in outline_all(clean(letters.cpu()))])


def measure_outlines(letters: Sequence[Floats]) -> Edges:
    """Measure fonts' own outlines, each given as segments [S, 4] on the unit canvas."""
    return _collect([measure_contours(chain(segments)) for segments in letters])


def measure_contours(contours: Sequence[Floats]) -> tuple[float, float, float, float]:
    """Return residual, flips, corner and weight of one letter's closed contours [P, 2]."""
    lengths = [_length(contour) for contour in contours]
    long = [(contour, length) for contour, length in zip(contours, lengths, strict=True) if length > WINDOW * STEP]
    if not long:
        return (np.nan,) * 4
    even = [resample(contour, STEP) for contour, _ in long]
    residual = float(np.median(np.concatenate([_residuals(points) for points in even])))
    flips = sum(_flips(points) for points in even) * CAP_HEIGHT / sum(length for _, length in long)
    turns = np.concatenate([_peaks(resample(contour, STRETCH / PARTS)) for contour, _ in long])
    corner = float(np.sort(np.pad(turns, (CORNERS, 0)))[-CORNERS:].mean())
    weight = 2 * abs(sum(_area(contour) for contour in contours)) / sum(lengths)
    return residual, flips, corner, weight


def compare(values: Floats, letters: Edges, labels: Ints, real_values: Floats, real: Edges, real_labels: Ints) -> float:
    """Return the mean of `values` over the mean of the same figure of real letters matched by sign and weight.

    A letter's match is the mean of the `NEIGHBOURS` real letters of its sign that are nearest in the logarithm of the
    weight. Letters without a value, or whose sign no real font has, are left out; nan if none is left.
    """
    found, expected = [], []
    for label in np.unique(labels):
        own = np.flatnonzero((labels == label) & np.isfinite(values))
        other = np.flatnonzero((real_labels == label) & np.isfinite(real_values))
        if len(own) and len(other):
            away = np.abs(np.log(letters.weight[own])[:, None] - np.log(real.weight[other])[None])
            near = np.argsort(away, axis=1, kind="stable")[:, :NEIGHBOURS]
            found.append(values[own])
            expected.append(real_values[other][near].mean(axis=1))
    return float(np.concatenate(found).mean() / np.concatenate(expected).mean()) if found else float("nan")


def find_contours(field: Floats) -> list[Floats]:
    """Return the closed zero contours [P, 2] of a field [H, H] with ground around, in units of the canvas."""
    size = field.shape[-1]
    framed = np.pad(field, 1, constant_values=-CLAMP)
    lines = contour_generator(z=framed).lines(0.0)
    return [(np.asarray(line[:-1], dtype=np.float64) - 0.5) / size for line in lines]


def chain(segments: Floats) -> list[Floats]:
    """Join segments [S, 4] of an outline into closed contours [P, 2], overlaps united; broken chains are left out."""
    pieces = unite(segments)
    if len(pieces) == 0:
        return []
    gap, after = cKDTree(pieces[:, :2]).query(pieces[:, 2:], k=1)
    after = np.where(gap < 1e-6, after, -1)
    free = np.ones(len(pieces), dtype=np.bool_)
    contours = []
    for first in range(len(pieces)):
        walk, here = [], first
        while here >= 0 and free[here]:
            free[here] = False
            walk.append(here)
            here = int(after[here])
        if here == first and len(walk) > 2:
            contours.append(pieces[walk, :2])
    return contours


def resample(contour: Floats, step: float) -> Floats:
    """Return points [n, 2] evenly along a closed contour, as near to `step` apart as a whole number of them allows."""
    closed = np.concatenate([contour, contour[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = max(3, round(along[-1] / step))
    place = np.arange(count) * (along[-1] / count)
    return np.stack([np.interp(place, along, closed[:, 0]), np.interp(place, along, closed[:, 1])], axis=1)


def _draw(fields: Tensor) -> Floats:
    drawn = F.interpolate(fields.float(), size=(SIZE, SIZE), mode="bicubic", antialias=True)
    return np.asarray(drawn[:, 0].cpu().numpy())


def _collect(rows: Sequence[tuple[float, float, float, float]]) -> Edges:
    return Edges(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def _length(contour: Floats) -> float:
    return float(np.hypot(*(contour - np.roll(contour, -1, axis=0)).T).sum())


def _area(contour: Floats) -> float:
    after = np.roll(contour, -1, axis=0)
    return float((contour[:, 0] * after[:, 1] - contour[:, 1] * after[:, 0]).sum() / 2)


# x and y are each fitted by a quadratic in arc length: what is left is the part beside an orthonormal basis of those.
_BASIS: Final = np.linalg.qr(np.vander(np.linspace(-1.0, 1.0, WINDOW + 1), 3))[0]  # [WINDOW + 1, 3]


def _residuals(points: Floats) -> Floats:
    """Return the RMS residual of the window that starts at each point of a closed contour [n, 2]."""
    around = np.concatenate([points, points[:WINDOW]])
    windows = np.lib.stride_tricks.sliding_window_view(around, WINDOW + 1, axis=0)  # [n, 2, WINDOW + 1]
    windows = windows - windows.mean(axis=2, keepdims=True)
    left = windows - (windows @ _BASIS) @ _BASIS.T
    return np.asarray(np.sqrt((left * left).sum(axis=(1, 2)) / (WINDOW + 1)))


def _turns(points: Floats) -> Floats:
    """Return the turn at each point of a closed contour [n, 2], rad in (-pi, pi]."""
    after = np.roll(points, -1, axis=0) - points
    before = np.roll(after, 1, axis=0)
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return np.asarray(np.arctan2(cross, (before * after).sum(axis=1)))


def _summed(turns: Floats, count: int) -> Floats:
    """Return the sum of each turn and the next `count` - 1 around a closed contour."""
    return np.asarray(sum(np.roll(turns, -step) for step in range(count)))


def _flips(points: Floats) -> int:
    """Count how often the curvature changes its sign along a closed contour, straight stretches passed over."""
    bends = _summed(_turns(points), BEND)
    signs = np.sign(bends[np.abs(bends) > STILL])
    return int((signs != np.roll(signs, 1)).sum())


def _peaks(points: Floats) -> Floats:
    """Return the largest turns within `STRETCH` along a closed contour, no two of them of overlapping stretches."""
    turns = np.abs(_summed(_turns(points), PARTS))
    peaks: list[float] = []
    while len(peaks) < CORNERS and turns.max() > 0:
        top = int(turns.argmax())
        peaks.append(float(turns[top]))
        turns[np.arange(top - PARTS + 1, top + PARTS) % len(turns)] = 0
    return np.array(peaks)
