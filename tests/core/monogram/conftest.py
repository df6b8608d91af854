"""Shapes whose distances are known exactly."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

SIZE = 112

Shape = Callable[..., Tensor]


def _points(size: int) -> tuple[Tensor, Tensor]:
    centre = (torch.arange(size) + 0.5) / size
    return centre.view(1, size), centre.view(size, 1)


@pytest.fixture
def disc() -> Shape:
    def draw(x: float = 0.5, y: float = 0.5, radius: float = 0.25, size: int = SIZE) -> Tensor:
        across, down = _points(size)
        return radius - ((across - x).square() + (down - y).square()).sqrt()

    return draw


@pytest.fixture
def box() -> Shape:
    def draw(left: float, top: float, right: float, bottom: float, size: int = SIZE) -> Tensor:
        """Exact inside, and outside within the box's own rows and columns."""
        across, down = _points(size)
        inside = torch.minimum(across - left, right - across), torch.minimum(down - top, bottom - down)
        return torch.minimum(*torch.broadcast_tensors(*inside))

    return draw
