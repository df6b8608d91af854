"""The search finds placements that can be woven, the same again and faster, and says so where there are none."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from core.monogram import search
from core.monogram.crossings import judge
from core.monogram.outline import Outline, move, rasterise
from core.monogram.shapes import union
from tests.core.monogram.test_shapes import box

POST = box(0.46, 0.24, 0.54, 0.76)
RING = union(
    [box(0.3, 0.24, 0.7, 0.3), box(0.3, 0.7, 0.7, 0.76), box(0.3, 0.24, 0.36, 0.76), box(0.64, 0.24, 0.7, 0.76)]
)
BLOCK = box(0.3, 0.24, 0.7, 0.76)


def field(letter: Outline, cells: int = 128) -> Tensor:
    ink = rasterise(letter, cells) > 127
    inside, outside = (ndimage.distance_transform_edt(each) for each in (ink, ~ink))
    return torch.from_numpy(np.where(ink, inside - 0.5, 0.5 - outside) / cells).float()


def found(*letters: Outline) -> Tensor:
    fields = torch.stack([field(letter) for letter in letters])
    boxes = [np.concatenate([f(each.contours[0].reshape(-1, 2), axis=0) for f in (np.min, np.max)]) for each in letters]
    return search.search(fields, torch.from_numpy(np.stack(boxes)))


def test_what_is_found_can_be_woven_and_lies_on_the_canvas() -> None:
    for letters in ((RING, POST), (RING, RING)):
        ways = found(*letters)
        clean = ways[ways.isfinite().flatten(1).all(1)].numpy()
        assert len(clean) > 0
        placed = [move(letter, matrix) for letter, matrix in zip(letters, clean[0], strict=True)]
        points = np.concatenate([contour.reshape(-1, 2) for letter in placed for contour in letter.contours])
        assert points.min() > 0.1
        assert points.max() < 0.9
        cover = np.stack([rasterise(letter, 64) for letter in placed]).astype(np.float32)
        assert judge((cover / np.float32(255) - np.float32(0.5))[None]).overlaps[0] >= search.FEWEST


def test_letters_that_cannot_cross_have_no_placement() -> None:
    assert not found(BLOCK, BLOCK).isfinite().any()


def test_placements_of_the_same_letters_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    first = found(RING, POST)
    monkeypatch.setattr(search, "_search", None)

    assert torch.equal(found(RING, POST), first)
    with pytest.raises(TypeError):
        found(POST, RING)
