"""The closed zero contours of fields as evenly spaced points, all rings of all fields in one array.

Everything here is in cells: the sample of row r and column c lies at (c + 0.5, r + 0.5). Ink lies on the left of the
direction of travel in coordinates (x, y), so rings around ink have a positive area and holes a negative one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

STEPS: Final = 4  # points a cell
_LEAST: Final = 12  # points: a ring of three cells' length is a speck, not a shape


@dataclass(frozen=True, slots=True)
class Rings:
    """Points of closed rings, one ring after another."""

    points: Floats  # [P, 2]
    first: Ints  # [P] where the ring of a point begins
    count: Ints  # [P] how many points its ring has
    owner: Ints  # [P] the field it is of; fields stand in order

    def around(self, index: Ints, offsets: Ints) -> Ints:
        """Return the places `offsets` [..., W] steps along the rings from `index` [...]: [..., W]."""
        first = self.first[index][..., None]
        return np.asarray(first + (index[..., None] - first + offsets) % self.count[index][..., None])

    def blend(self, values: Floats, offsets: Ints, weights: Floats) -> Floats:
        """Return sums of `values` [P, C] at `offsets` [W] along the rings, by `weights` [W] or [W, P].

        Added up in the order of the offsets, so that a ring's sums do not depend on the rings beside it; those of a
        matrix product would.
        """
        # Each ring once more around it at both ends: slices of that are many times as fast as places along the rings.
        reach = int(np.abs(offsets).max())
        spans = [(first, np.arange(first - reach, first + count + reach)) for first, count in self.each()]
        if not spans:
            return np.zeros_like(values)
        around = np.concatenate([first + (span - first) % self.count[first] for first, span in spans])
        inner = np.concatenate([(span >= first) & (span < first + self.count[first]) for first, span in spans])
        columns = []
        for column in values.T:
            wide, total = column[around], np.zeros(len(around))
            inside = slice(reach, len(around) - reach)
            for offset, weight in zip(offsets.tolist(), weights, strict=True):
                own = weight if np.ndim(weight) == 0 else weight[around][inside]
                total[inside] += wide[reach + offset : len(around) - reach + offset] * own
            columns.append(total[inner])
        return np.stack(columns, axis=1)

    def each(self) -> Iterator[tuple[int, int]]:
        """Yield (first, count) of every ring."""
        here = 0
        while here < len(self.points):
            yield here, int(self.count[here])
            here += int(self.count[here])


def follow(field: Floats) -> list[Floats]:
    """Return the zero contours [n, 2] of a field [H, W] in cells, positive inside; beyond its border is ground."""
    # Bilinear contours are exact beside a straight edge: what they round is within a cell of a corner.
    ground = -np.abs(np.pad(field, 1, mode="edge"))  # puts the end of ink that runs off onto the border itself
    ground[1:-1, 1:-1] = field
    lines = contour_generator(z=ground).lines(0.0)
    rings = [_space(np.asarray(line, dtype=np.float64) - 0.5) for line in lines]
    return [ring for ring in rings if len(ring) >= _LEAST]


def join(found: Sequence[Sequence[Floats]]) -> Rings:
    """Join the rings of several fields."""
    rings = [ring for own in found for ring in own]
    owners = np.repeat(np.arange(len(found)), [len(own) for own in found])
    counts = np.array([len(ring) for ring in rings], dtype=np.int64)
    points = np.concatenate(rings) if rings else np.zeros((0, 2))
    first = np.cumsum(counts) - counts
    return Rings(points, *(np.repeat(each, counts) for each in (first, counts, owners)))


def _space(line: Floats) -> Floats:
    """Return points evenly along a closed line [P, 2], its first point repeated at its end, `STEPS` a cell."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    count = round(along[-1] * STEPS)
    place = np.arange(count) * (along[-1] / max(count, 1))
    return np.stack([np.interp(place, along, line[:, 0]), np.interp(place, along, line[:, 1])], axis=1)
