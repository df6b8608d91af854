"""Pixels: true areas, edges one pixel wide at every scale, and pictures that read back."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import Invalid
from core.monogram.outline import move
from core.monogram.picture import decode, digest, encode
from core.monogram.render import clean, outline_all, render

Shape = Callable[..., Tensor]


def draw(shape: Tensor, size: int, scale: float = 1.0) -> np.ndarray:
    """Draw one shape about the middle of its canvas, `scale` times as large."""
    back = 1 / scale
    matrix = np.array([[back, 0, 0.5 - back / 2], [0, back, 0.5 - back / 2]])
    (letter,) = outline_all(clean(shape[None, None]))
    return render([move(letter, matrix)], size)


@pytest.mark.parametrize(("size", "scale"), [(64, 1.0), (256, 1.0), (256, 1.5), (1024, 1.2)])
def test_a_disc_has_its_area_at_every_size(disc: Shape, size: int, scale: float) -> None:
    ink = 1 - draw(disc(radius=0.25), size, scale).mean() / 255

    assert ink == pytest.approx(math.pi * (0.25 * scale) ** 2, rel=0.01)


@pytest.mark.parametrize("steepness", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("size", [64, 256])
def test_an_edge_is_one_pixel_wide_whatever_the_slope_of_the_field(box: Shape, size: int, steepness: float) -> None:
    row = draw(box(0.21, 0.1, 0.83, 0.9) * steepness, size)[size // 2].astype(int)
    grey = ((row > 2) & (row < 253)).sum()

    assert 0 < grey <= 4
    assert row.min() == 0
    assert row.max() == 255


def test_ink_is_dark_on_white_ground(disc: Shape) -> None:
    pixels = draw(disc(), 64)

    assert pixels.dtype == np.uint8
    assert pixels[32, 32] == 0
    assert pixels[0, 0] == 255


def test_letters_of_a_variant_are_united(disc: Shape) -> None:
    shapes = torch.stack([disc(x=0.3, radius=0.1), disc(x=0.7, radius=0.1)])[:, None]
    pixels = render(outline_all(clean(shapes)), 100)

    assert pixels[50, 30] == 0
    assert pixels[50, 70] == 0
    assert pixels[50, 50] == 255


def test_a_letter_moves_by_the_inverse_of_its_matrix(box: Shape) -> None:
    (letter,) = outline_all(clean(box(0.4, 0.4, 0.6, 0.7)[None, None]))
    moved = move(letter, np.array([[0.5, 0.25, 0.0], [0.0, 0.5, 0.1]]))
    corners = np.concatenate([contour[:, 0] for contour in moved.contours])

    assert corners.min(axis=0) == pytest.approx([0.2, 0.6], abs=0.01)
    assert corners.max(axis=0) == pytest.approx([0.9, 1.2], abs=0.01)


def test_specks_and_ink_on_the_border_do_not_reach_the_outline(disc: Shape, box: Shape) -> None:
    (spotted,) = outline_all(clean(torch.maximum(disc(radius=0.2), disc(x=0.9, y=0.9, radius=0.02))[None, None]))
    (wide,) = outline_all(clean(box(-0.1, 0.4, 1.1, 0.6)[None, None]))

    assert len(spotted.contours) == 1
    assert min(contour[:, 0, 0].min() for contour in wide.contours) > 0.005


def test_a_picture_reads_back_and_packs_alike(disc: Shape) -> None:
    pixels = draw(disc(), 128)

    assert np.array_equal(decode(encode(pixels)), pixels)
    assert encode(pixels) == encode(pixels.copy())
    assert len(encode(pixels)) < pixels.size / 8


def test_the_digest_is_of_size_and_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)

    assert len(digest(pixels)) == 32
    assert digest(pixels) == digest(pixels.copy())
    assert digest(pixels) == digest(np.asfortranarray(pixels))
    assert len({digest(pixels), digest(pixels.reshape(4, 3)), digest(pixels + 1), digest(pixels.reshape(2, 6))}) == 4


@pytest.mark.parametrize("data", [b"", b"x" * 100, encode(np.zeros((8, 8), np.uint8))[:40]])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        decode(data)


def test_a_colour_picture_is_refused() -> None:
    with pytest.raises(Invalid, match="RGB"):
        decode(encode(np.zeros((8, 8, 3), np.uint8)))
