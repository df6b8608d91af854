"""Adversarial losses against their closed forms."""

import math

import pytest
import torch

from core.registry import Loss
from core.training.losses import LOSSES, SURE


def sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def test_bce_is_the_cross_entropy_with_smoothed_real_labels() -> None:
    real, fake = torch.tensor([1.5, -0.5]), torch.tensor([0.25, -2.0])
    expected = sum(-SURE * math.log(sigmoid(s)) - (1 - SURE) * math.log(1 - sigmoid(s)) for s in (1.5, -0.5)) / 2
    expected += sum(-math.log(1 - sigmoid(s)) for s in (0.25, -2.0)) / 2

    assert LOSSES[Loss.BCE].discriminator(real, fake).item() == pytest.approx(expected, rel=1e-6)
    assert LOSSES[Loss.BCE].generator(fake).item() == pytest.approx(
        sum(-math.log(sigmoid(s)) for s in (0.25, -2.0)) / 2, rel=1e-6
    )


@pytest.mark.parametrize("loss", list(Loss))
def test_the_players_pull_in_opposite_directions(loss: Loss) -> None:
    real, fake = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    judged = torch.autograd.grad(LOSSES[loss].discriminator(real, fake), (real, fake))
    (fooled,) = torch.autograd.grad(LOSSES[loss].generator(fake), fake)

    assert (judged[0] < 0).all()
    assert (judged[1] > 0).all()
    assert (fooled < 0).all()
