"""Fields of grey images against shapes whose distances are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core.training.datasets import scans

PLACES = np.linspace(-9, 36.5, 28, dtype=np.float32)


def render(inside: NDArray[np.bool_], fine: int = 16) -> NDArray[np.uint8]:
    """Average fine cells into one image [1, 28, 28]."""
    return np.rint(inside.reshape(28, fine, 28, fine).mean(axis=(1, 3)) * 255).astype(np.uint8)[None]


def fine_grid(fine: int = 16) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    place = (np.arange(28 * fine) + 0.5) / fine - 0.5
    return np.meshgrid(place, place)


def measured(image: NDArray[np.uint8], reach: float = 2.9) -> NDArray[np.float32]:
    return scans.measure(image, scans.find_edges(image), PLACES, reach)[0]


@pytest.mark.parametrize(("x", "y", "radius"), [(13.5, 13.5, 8.0), (12.2, 14.9, 6.3), (14.04, 12.6, 9.75)])
def test_a_disc_is_measured_to_a_tenth_of_a_pixel_from_its_greys(x: float, y: float, radius: float) -> None:
    columns, rows = fine_grid()
    found = measured(render(np.hypot(columns - x, rows - y) < radius))
    across, down = np.meshgrid(PLACES, PLACES)
    true = np.clip(radius - np.hypot(across - x, down - y), -2.9, 2.9)

    assert np.abs(found - true).max() < 0.1
    assert found.max() == pytest.approx(2.9)
    assert found[0, 0] == pytest.approx(-2.9)


def test_a_slanting_edge_lies_where_its_greys_say() -> None:
    columns, rows = fine_grid()
    found = measured(render((0.6 * columns + 0.8 * rows < 19.37) & (columns > 3) & (rows > 3)))
    across, down = np.meshgrid(PLACES, PLACES)
    true = 19.37 - 0.6 * across - 0.8 * down
    near = (np.abs(true) < 2) & (across > 8) & (down > 8)

    assert near.sum() > 4
    assert np.abs(found - true)[near].max() < 0.08


def test_ink_at_the_border_of_an_image_ends_there() -> None:
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, :, :10] = 255
    places = np.arange(-4, 32, dtype=np.float32)
    found = scans.measure(image, scans.find_edges(image), places, 3.0)[0]

    assert found[4 + 14].tolist()[:5] == pytest.approx([-3, -2.5, -1.5, -0.5, 0.5], abs=0.01)
    assert found[4 + 14, 4 + 9] == pytest.approx(0.5, abs=0.01)


def test_where_ink_meets_ink_across_a_corner_the_middle_decides() -> None:
    # A crossing lies at (ink - half) / (ink - ground) of a side: 0.645 of it joined, 0.156 apart.
    for ink, expected in ((250, 0.645 / 2**0.5), (140, -(1 - 0.156) / 2**0.5)):
        image = np.zeros((1, 28, 28), dtype=np.uint8)
        image[0, 10, 10] = image[0, 11, 11] = ink
        image[0, 10, 11] = image[0, 11, 10] = 60
        middle = scans.measure(image, scans.find_edges(image), np.array([10.5, 11.5], dtype=np.float32), 3.0)[0, 0, 0]

        assert middle == pytest.approx(expected, abs=0.002)


def test_images_do_not_touch_each_other() -> None:
    columns, rows = fine_grid()
    discs = [render(np.hypot(columns - 13.5, rows - 13.5) < radius) for radius in (4, 9)]
    pair = np.concatenate([discs[0], np.zeros_like(discs[0]), discs[1]])
    found = scans.measure(pair, scans.find_edges(pair), PLACES, 2.9)

    assert np.array_equal(found[0], measured(discs[0]))
    assert np.array_equal(found[2], measured(discs[1]))
    assert (found[1] == np.float32(-2.9)).all()
