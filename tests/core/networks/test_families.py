"""Families behind one door, tried on a small untrained mlp."""

import pytest
import torch

from core.errors import JobError
from core.networks import families, mlp, style
from core.registry import Family


def generator() -> mlp.Generator:
    torch.manual_seed(5)
    return mlp.Generator(mlp.Architecture(generator=(16, 16)))


def stored(network: mlp.Generator) -> families.Generator:
    return families.load({name: tensor.numpy() for name, tensor in network.state_dict().items()}, network.meta())


def test_every_family_that_draws_has_a_loader() -> None:
    assert set(families.LOADERS) == set(Family) - {Family.JUDGE}


def test_an_mlp_draws_through_the_door_what_it_draws_itself() -> None:
    network = generator()
    loaded = stored(network)
    z, letters = torch.randn(5, 100), torch.arange(5)

    assert isinstance(loaded, families.Generator)
    assert not isinstance(loaded, families.Steerable)
    assert torch.equal(loaded.draw(loaded.styles(z), letters), network.to_field(network(z, letters)))


def test_psi_draws_to_the_mean_style() -> None:
    loaded = stored(generator())
    z = torch.randn(3, 100)

    assert torch.equal(loaded.styles(z, 0.5), z / 2)
    assert torch.equal(loaded.styles(z), loaded.styles(z, loaded.psi))
    assert not loaded.styles(z, 0.0).any()


@pytest.mark.parametrize("family", ["judge", "", "MLP", "x" * 1000])
def test_weights_that_draw_no_letters_are_refused(family: str) -> None:
    with pytest.raises(JobError, match="families that do: mlp") as refused:
        families.load({}, {"family": family})
    assert len(str(refused.value)) < 200


def test_a_style_is_the_newer_the_farther_it_is_from_all_that_were_learnt_from() -> None:
    network = style.Generator(style.Architecture(prototypes=64, style=16))
    network.sampler.prototypes.copy_(torch.randn(64, 16, generator=torch.Generator().manual_seed(1)))
    first, second = network.sampler.prototypes[:2]
    network.sampler.prototypes[48:] = 0.0  # a table of fixed length
    network.sampler.shares[47:] = style.NEVER
    known, near, between, far = network.novelty(
        torch.stack([first, 0.9 * first + 0.1 * second, first + second, 9 * first])
    )

    assert known == 0
    assert 0 < near < between <= far == 1
    assert network.novelty(torch.zeros(1, 16)) > 0.3  # what fills the table up is no style
