"""A dataset as a network of one size sees it: one tensor of images, held in memory.

Strokes thinner than the grid can hold are raised per style, and letters whose parts or counters still merge or break
on the grid are left out: a network that never sees broken letters draws none.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from core.alphabet import LETTERS
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

    @property
    def paired(self) -> bool:
        """Whether a style and a letter name one image. Where they name many (EMNIST), styles say nothing of a hand."""
        pairs = self.styles * len(LETTERS) + self.labels
        return len(torch.bincount(pairs).nonzero()) == len(pairs)

    def to(self, device: torch.device) -> Self:
        """Return the view with its tensors on a device."""
        images, labels, styles = (tensor.to(device) for tensor in (self.images, self.labels, self.styles))
        return replace(self, images=images, labels=labels, styles=styles)


def view(dataset: Dataset, size: int, reach: float) -> View:
    """Resample all fields to `size`, 1 = `reach` of the canvas inside the ink."""
    strokes = torch.from_numpy(dataset.strokes)
    lift = ((STROKE_FLOOR / size - strokes) / 2).clamp(0.0, CLAMP - reach)
    labels, styles = torch.from_numpy(dataset.labels), torch.from_numpy(dataset.styles)
    images = torch.empty(len(labels), 1, size, size)  # filled in place: a hundred thousand of them are 0.4 GB
    whole = torch.empty(len(labels), dtype=torch.bool)
    for start in range(0, len(labels), _PORTION):
        rows = slice(start, start + _PORTION)
        fields = torch.from_numpy(dataset.fields[rows])
        raised = _sample(fields, size) * (CLAMP / 127) + lift[styles[rows], None, None]
        images[rows] = (raised / reach).clamp(-1.0, 1.0)[:, None]
        whole[rows] = _same_topology(fields, images[rows])
    used = torch.zeros(len(strokes), dtype=torch.int64)
    used[styles[whole]] = 1
    numbers = used.cumsum(0) - 1
    held = images if bool(whole.all()) else images[whole]
    return View(held, labels[whole], numbers[styles[whole]], int(used.sum()), int((~whole).sum()))


def _sample(fields: Tensor, size: int) -> Tensor:
    """Return bytes [N, H, H] at the centres of `size` x `size` cells, bilinear, as float32, touching no other byte."""
    place = (torch.arange(size) + 0.5) * (fields.shape[-1] / size) - 0.5
    before = place.floor().long().clamp(0, fields.shape[-1] - 2)
    share = (place - before).float()
    lines = torch.lerp(fields[:, before].float(), fields[:, before + 1].float(), share[:, None])
    return torch.lerp(lines[:, :, before], lines[:, :, before + 1], share)


def _same_topology(fields: Tensor, images: Tensor) -> Tensor:
    """Say which images [N, 1, h, h], drawn at twice their size, have as many parts less holes as their fields.

    Fields no finer than that are drawn alike: what the grid of the images lost, it had lost already.
    """
    drawn = F.interpolate(images, scale_factor=2.0, mode="bicubic")[:, 0]
    if fields.shape[-1] > drawn.shape[-1]:
        return euler(fields[:, ::2, ::2] > 0) == euler(drawn > 0)
    known = F.interpolate(fields[:, None].float(), size=drawn.shape[-2:], mode="bicubic")
    return euler(known[:, 0] > 0) == euler(drawn > 0)


def euler(ink: Tensor) -> Tensor:
    """Return parts less holes of masks [N, H, W], 8-connected (Gray, "Local properties of binary images", 1971)."""
    mask = F.pad(ink.to(torch.int8), (1, 1, 1, 1))
    a, b, c, d = mask[:, :-1, :-1], mask[:, :-1, 1:], mask[:, 1:, :-1], mask[:, 1:, 1:]
    worth = torch.tensor([0, 1, 1, 0, 1, 0, -2, -1, 1, -2, 0, -1, 0, -1, -1, 0], dtype=torch.int8)
    quads = worth[(a + 2 * b + 4 * c + 8 * d).int()]
    return quads.sum(dim=(1, 2)) // 4
