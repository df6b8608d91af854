"""Letters side by side on one baseline, with gaps that look equal: a word, centred by eye and filling the canvas."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT
from core.monogram.composition import Placement
from core.monogram.optics import CELLS, FAR, REACH, UNIT, Glyphs, Outlines, even, fit, measure

# All in cap heights.
GAP: Final = 0.17  # what the mean gap between two letters comes to
CLIP: Final = 0.35  # a row counts as no more open than this, or an L would swallow its neighbour
LEAST_GAP: Final = 0.09  # what no row goes below
NEAR: Final = 0.06  # rows this far up and down count for the least gap, since edges also meet aslant


def place(glyphs: Glyphs) -> Placement:
    """Set letters in a row, their stems evened out."""
    outlines = measure(glyphs)
    across = row(outlines)
    matrix = fit(glyphs, outlines, torch.stack([across, torch.zeros_like(across)], dim=-1))
    return Placement(matrix[:, None], even(glyphs.stem, torch.ones(*glyphs.present.shape, 2)))


def row(outlines: Outlines, height: float = 1.0) -> Tensor:
    """Return how far each letter moves right of where its frame lies on the first one's, [N, L] units.

    Gaps are evened out over the rows of the smallest letter, `height` cap heights about the middle.
    """
    if outlines.mass.shape[1] == 1:
        return torch.zeros_like(outlines.mass)
    # How far apart two neighbours stand in each row while their frames coincide, [N, L - 1, CELLS]; about 2 * FAR
    # where a row of either is empty.
    apart = outlines.left[:, 1:] - outlines.right[:, :-1]
    step = torch.maximum(_mean_step(apart, height), _least_step(outlines))
    return F.pad(step.cumsum(1), (1, 0))


def _mean_step(apart: Tensor, height: float) -> Tensor:
    """Find, by bisection, the step at which the gaps of a band of rows, clipped, have the right mean."""
    rows = (torch.arange(CELLS, device=apart.device) + 0.5) * (2 * REACH / CELLS) - REACH + 0.5
    band = apart[..., (rows - BASELINE + CAP_HEIGHT / 2).abs() < height * CAP_HEIGHT / 2]
    clip, target = _units(CLIP), _units(GAP) * band.shape[-1]
    low = torch.full_like(apart[..., 0], -4 * UNIT)
    high = torch.full_like(apart[..., 0], 4 * UNIT)
    for _ in range(14):
        middle = (low + high) // 2
        enough = (band + middle[..., None]).clamp(max=clip).sum(-1) >= target
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high


def _least_step(outlines: Outlines) -> Tensor:
    """Return the step at which no two edges come closer than the least gap."""
    reach = round(NEAR * CAP_HEIGHT / (2 * REACH / CELLS))
    right = _spread(outlines.right[:, :-1], reach)
    left = -_spread(-outlines.left[:, 1:], reach)
    closest = (left - right).amin(-1)
    return torch.where(closest < FAR, _units(LEAST_GAP) - closest, 0)


def _spread(reach: Tensor, rows: int) -> Tensor:
    """Take the largest value among this many rows on either side."""
    # Exact: float64 holds these integers.
    return F.max_pool1d(reach.double(), 2 * rows + 1, stride=1, padding=rows).long()


def _units(cap_heights: float) -> int:
    return round(cap_heights * CAP_HEIGHT * UNIT)
