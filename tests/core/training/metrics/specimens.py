"""Letters with known figures: drawn from formulas, or fonts invented on the spot."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT, LETTERS
from core.training.datasets.archive import CLAMP, SIZE
from core.training.datasets.outlines import Floats, measure

TOP = BASELINE - CAP_HEIGHT
SHEET = "ABCEHINOPTXЖИЇ38"  # sixteen letters of an invented font


def polygon(*points: tuple[float, float]) -> Floats:
    corners = np.array(points, dtype=np.float64)
    return np.hstack([corners, np.roll(corners, -1, axis=0)])


def box(left: float, top: float, right: float, bottom: float) -> Floats:
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def hole(segments: Floats) -> Floats:
    return segments[::-1, [2, 3, 0, 1]]


def ring(radius: float, stroke: float, waves: float = 0.0, count: int = 24) -> Floats:
    """A circle with a hole, its outer contour swinging by `waves` of the canvas."""
    turn = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    far = radius + waves * np.sin(count * turn)
    outer = polygon(*zip(0.5 + far * np.cos(turn), 0.5 + far * np.sin(turn), strict=True))
    near = radius - stroke
    return np.concatenate(
        [outer, hole(polygon(*zip(0.5 + near * np.cos(turn), 0.5 + near * np.sin(turn), strict=True)))]
    )


def letter_h(stem: float = 0.08, bar: float = 0.06, slant: float = 0.0, width: float = 0.4) -> Floats:
    """An H, united by construction."""
    left, right, middle = 0.5 - width / 2, 0.5 + width / 2, (TOP + BASELINE) / 2
    corners = [
        (left, TOP), (left + stem, TOP), (left + stem, middle - bar / 2), (right - stem, middle - bar / 2),
        (right - stem, TOP), (right, TOP), (right, BASELINE), (right - stem, BASELINE),
        (right - stem, middle + bar / 2), (left + stem, middle + bar / 2), (left + stem, BASELINE), (left, BASELINE),
    ]  # fmt: skip
    return lean(polygon(*corners), slant)


def lean(segments: Floats, slant: float) -> Floats:
    leaned = segments.copy()
    leaned[:, 0::2] -= np.tan(slant) * (segments[:, 1::2] - 0.5)
    return leaned


def draw(*outlines: Floats, size: int = SIZE) -> Tensor:
    """Exact fields [N, 1, size, size], clamped like stored ones but not rounded."""
    return torch.from_numpy(np.stack([measure(outline, size, CLAMP) for outline in outlines])).float()[:, None]


def blur(fields: Tensor, cells: int = 4) -> Tensor:
    """Mean over squares of 2 * cells + 1 cells: rounds corners and drowns hairlines."""
    padded = torch.nn.functional.pad(fields, (cells,) * 4, value=-CLAMP)
    return torch.nn.functional.avg_pool2d(padded, 2 * cells + 1, 1)


def invent(seed: int, *, stem: float = 0.08, slant: float = 0.0, width: float = 1.0) -> list[Floats]:
    """A font whose sixteen letters are random but fixed polygons, as alike within a seed as letters of one design.

    `width` stretches all, `slant` leans them; `stem` is the stroke of every bar.
    """
    return [_invented(np.random.default_rng((seed, place)), stem, slant, width) for place in range(len(SHEET))]


def labels_of(letters: str = SHEET) -> NDArray[np.int64]:
    return np.array([LETTERS.index(letter) for letter in letters])


def _invented(rng: np.random.Generator, stem: float, slant: float, width: float) -> Floats:
    """A stem and two bars, of heights and lengths by lot."""
    half = width * rng.uniform(0.12, 0.24)
    left = 0.5 - half
    parts = [box(left, TOP + rng.uniform(0, 0.1), left + stem * width, BASELINE)]
    for height in np.sort(rng.uniform(TOP + 0.1, BASELINE - 0.1, 2)) + np.array([0, 0.04]):
        end = left + stem * width + rng.uniform(0.4, 2.0) * half
        parts.append(box(left + stem * width / 2, height, end, height + 0.05))
    return lean(np.concatenate(parts), slant)
