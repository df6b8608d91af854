"""Adversarial losses against their closed forms."""

import math

import pytest
import torch

from core.registry import Loss
from core.training.losses import LOSSES, SURE, penalise


def sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def test_bce_is_the_cross_entropy_with_smoothed_real_labels() -> None:
    real, fake = torch.tensor([1.5, -0.5]), torch.tensor([0.25, -2.0])
    expected = sum(-SURE * math.log(sigmoid(s)) - (1 - SURE) * math.log(1 - sigmoid(s)) for s in (1.5, -0.5)) / 2
    expected += sum(-math.log(1 - sigmoid(s)) for s in (0.25, -2.0)) / 2

    assert LOSSES[Loss.BCE].discriminator(real, fake).item() == pytest.approx(expected, rel=1e-6)
    assert LOSSES[Loss.BCE].generator(real, fake).item() == pytest.approx(
        sum(-math.log(sigmoid(s)) for s in (0.25, -2.0)) / 2, rel=1e-6
    )


@pytest.mark.parametrize("loss", list(Loss))
def test_the_players_pull_in_opposite_directions(loss: Loss) -> None:
    real, fake = (torch.full((4,), 0.25, requires_grad=True) for _ in range(2))
    judged = torch.autograd.grad(LOSSES[loss].discriminator(real, fake), (real, fake))
    (fooled,) = torch.autograd.grad(LOSSES[loss].generator(real, fake), fake)

    assert (judged[0] < 0).all()
    assert (judged[1] > 0).all()
    assert (fooled < 0).all()


def test_lsgan_squares_the_way_to_one_and_to_nought() -> None:
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([0.25, -1.0])

    assert LOSSES[Loss.LSGAN].discriminator(real, fake).item() == pytest.approx((0.625 + 0.53125) / 2)
    assert LOSSES[Loss.LSGAN].generator(real, fake).item() == pytest.approx((0.5625 + 4) / 4)


def test_wgan_is_the_distance_of_the_means() -> None:
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([0.25, -1.0])

    assert LOSSES[Loss.WGAN_GP].discriminator(real, fake).item() == pytest.approx(-0.375 - 1.25)
    assert LOSSES[Loss.WGAN_GP].generator(real, fake).item() == pytest.approx(0.375)


def test_the_relativistic_game_looks_at_the_margin_of_a_pair_alone() -> None:
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([0.25, -1.0])
    game = LOSSES[Loss.RELATIVISTIC]
    expected = sum(math.log(1 + math.exp(-margin)) for margin in (0.25, 3.0)) / 2

    assert game.discriminator(real, fake).item() == pytest.approx(expected)
    assert game.discriminator(real + 5, fake + 5).item() == pytest.approx(expected, rel=1e-5)
    assert game.generator(fake, real).item() == pytest.approx(expected)


@pytest.mark.parametrize("steepness", [0.5, 1.0, 3.0])
def test_the_penalty_is_the_squared_distance_of_the_slope_from_one(steepness: float) -> None:
    weight = torch.full((28 * 28,), steepness / 28, requires_grad=True)
    real, fake = torch.rand(6, 1, 28, 28), torch.rand(6, 1, 28, 28, requires_grad=True)
    found = penalise(lambda images: images.flatten(1) @ weight, real, fake, 1.0, torch.Generator().manual_seed(1))
    found.backward()

    assert found.item() == pytest.approx((steepness - 1) ** 2, abs=1e-5)
    assert fake.grad is None
    # It reaches the discriminator's weights, and draws the slope to 1.
    assert weight.grad is not None
    assert weight.grad.sum().item() == pytest.approx(2 * (steepness - 1) * 28, rel=1e-3, abs=1e-3)


def test_only_the_games_that_need_it_have_a_penalty() -> None:
    found = {loss: game.slope for loss, game in LOSSES.items() if game.penalty}

    assert found == {Loss.WGAN_GP: 1.0, Loss.RELATIVISTIC: 0.0}
