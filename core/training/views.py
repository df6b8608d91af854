"""A dataset as a network of one size sees it: one tensor of images, held in memory.

Strokes thinner than the grid can hold are raised per style, and letters whose parts or counters still merge or break
on the grid are left out: a network that never sees broken letters draws none.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from core.training.datasets.archive import CLAMP, Dataset

STROKE_FLOOR: Final = 1.5  # cells
_PORTION: Final = 512  # letters at a time: a whole dataset at 128 px in float32 is gigabytes


@dataclass(frozen=True)
class View:
    """Images of one size. A style without a single usable letter has no place in `styles`."""

    images: Tensor  # [N, 1, size, size] in [-1, 1]
    labels: Tensor  # [N] positions in LETTERS
    styles: Tensor  # [N] 0 ... count - 1
    count: int  # styles
    left_out: int  # letters that the grid cannot hold

    def to(self, device: torch.device) -> Self:
        """Return the view with its tensors on a device."""
        images, labels, styles = (tensor.to(device) for tensor in (self.images, self.labels, self.styles))
        return replace(self, images=images, labels=labels, styles=styles)


def view(dataset: Dataset, size: int, reach: float) -> View:
    """Resample all fields to `size`, 1 = `reach` of the canvas inside the ink."""
    strokes = torch.from_numpy(dataset.strokes)
    lift = ((STROKE_FLOOR / size - strokes) / 2).clamp(0.0, CLAMP - reach)
    labels, styles = torch.from_numpy(dataset.labels), torch.from_numpy(dataset.styles)
    images, held = [], []
    for start in range(0, len(labels), _PORTION):
        rows = slice(start, start + _PORTION)
        fields = torch.from_numpy(dataset.fields[rows])
        raised = _sample(fields, size) * (CLAMP / 127) + lift[styles[rows], None, None]
        portion = (raised / reach).clamp(-1.0, 1.0)[:, None]
        images.append(portion)
        held.append(_same_topology(fields, portion))
    whole = torch.cat(held)
    used = torch.zeros(len(strokes), dtype=torch.int64)
    used[styles[whole]] = 1
    numbers = used.cumsum(0) - 1
    return View(torch.cat(images)[whole], labels[whole], numbers[styles[whole]], int(used.sum()), int((~whole).sum()))


def _sample(fields: Tensor, size: int) -> Tensor:
    """Return bytes [N, H, H] at the centres of `size` x `size` cells, bilinear, as float32, touching no other byte."""
    place = (torch.arange(size) + 0.5) * (fields.shape[-1] / size) - 0.5
    before = place.floor().long().clamp(0, fields.shape[-1] - 2)
    share = (place - before).float()
    lines = torch.lerp(fields[:, before].float(), fields[:, before + 1].float(), share[:, None])
    return torch.lerp(lines[:, :, before], lines[:, :, before + 1], share)


def _same_topology(fields: Tensor, images: Tensor) -> Tensor:
    """Say which images [N, 1, h, h], drawn at twice their size, have as many parts less holes as their fields."""
    drawn = F.interpolate(images, scale_factor=2.0, mode="bicubic")
    return euler(fields[:, ::2, ::2] > 0) == euler(drawn[:, 0] > 0)


def euler(ink: Tensor) -> Tensor:
    """Return parts less holes of masks [N, H, W], 8-connected (Gray, "Local properties of binary images", 1971)."""
    mask = F.pad(ink.to(torch.int8), (1, 1, 1, 1))
    a, b, c, d = mask[:, :-1, :-1], mask[:, :-1, 1:], mask[:, 1:, :-1], mask[:, 1:, 1:]
    worth = torch.tensor([0, 1, 1, 0, 1, 0, -2, -1, 1, -2, 0, -1, 0, -1, -1, 0], dtype=torch.int8)
    quads = worth[(a + 2 * b + 4 * c + 8 * d).int()]
    return quads.sum(dim=(1, 2)) // 4
