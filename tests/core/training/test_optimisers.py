"""Optimisers by name: each learns, and each goes on from its stored state as if never stopped."""

import pytest
import torch
from torch import nn

from core.registry import Family, Optimiser
from core.training.checkpoints import optimiser_state, pack, restore_optimiser, unpack
from core.training.config import TrainConfig
from core.training.optimisers import make_optimisers


def make(config: TrainConfig, layer: nn.Linear) -> torch.optim.Optimizer:
    return make_optimisers(config, layer.parameters(), nn.Linear(1, 1).parameters())["generator"]


def setup(name: Optimiser, lr: float | None = None) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(3)
    layer = nn.Linear(6, 2)
    return layer, make(TrainConfig(family=Family.MLP, optimiser=name, lr=lr), layer)


def step(layer: nn.Linear, optimiser: torch.optim.Optimizer, count: int) -> float:
    x = torch.linspace(-1, 1, 24).view(4, 6)
    for _ in range(count):
        loss = (layer(x) - 0.5).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.item()


@pytest.mark.parametrize("name", list(Optimiser))
def test_it_learns_at_its_usual_rate_and_obeys_another(name: Optimiser) -> None:
    layer, optimiser = setup(name)
    first = step(layer, optimiser, 1)

    assert step(layer, optimiser, 60) < first
    assert setup(name, lr=0.0125)[1].param_groups[0]["lr"] == 0.0125


@pytest.mark.parametrize("name", list(Optimiser))
def test_a_restored_state_goes_on_bit_for_bit(name: Optimiser) -> None:
    straight, optimiser = setup(name)
    step(straight, optimiser, 9)
    layer, before = setup(name)
    step(layer, before, 4)
    stored, _ = unpack(pack(optimiser_state(before), {}))
    after = make(TrainConfig(family=Family.MLP, optimiser=name), layer)
    restore_optimiser(after, stored)
    step(layer, after, 5)

    assert torch.equal(layer.weight, straight.weight)


def test_sgd_is_nesterov_and_adam_takes_the_betas_of_the_run() -> None:
    assert setup(Optimiser.SGD)[1].param_groups[0]["nesterov"]
    config = TrainConfig(family=Family.MLP, betas=(0.25, 0.75))
    assert make(config, nn.Linear(1, 1)).param_groups[0]["betas"] == (0.25, 0.75)
