"""The sampler: whole prototypes, none of them a font's own, near partners, and every share of z used."""

import pytest
import safetensors.numpy
import torch
from torch import Tensor

from core.networks.style import MOST_SHARE, PARTNERS, Architecture, Generator, Sampler
from core.registry import Family
from core.shipped import FOLDER
from core.storage.weights import check
from core.training.config import TrainConfig
from core.training.style import sampling
from core.training.style.run import Run
from tests.core.training.style.test_run import make_styles

SMALL = Architecture(style=128, hidden=128, coefficients=32, basis=128, prototypes=16, channels=0)


@pytest.fixture(scope="module")
def run() -> Run:
    made = Run.start(TrainConfig(family=Family.STYLE, architecture="nano", epochs=60), make_styles().pack(), "cpu")
    made.advance(lambda step: step < 20)
    return made


def fit(run: Run, vectors: Tensor) -> Sampler:
    sampler = Sampler(SMALL)
    sampling.fit(sampler, run._decoding.decoder, vectors, run._table, run._framed)
    return sampler


def test_no_fonts_own_vector_is_given_away(run: Run) -> None:
    vectors = run._decoding.vectors.detach()
    sampler = fit(run, vectors)
    used = int((sampler.shares < 50).sum()) + 1

    assert used > 1
    assert torch.cdist(sampler.prototypes[:used], vectors).min() > 1e-3


def test_a_partner_is_another_prototype_and_a_near_one(run: Run) -> None:
    sampler = fit(run, run._decoding.vectors.detach())
    used = int((sampler.shares < 50).sum()) + 1
    apart = torch.cdist(sampler.prototypes[:used], sampler.prototypes[:used])
    partners = sampler.partners[:used].long()

    assert partners.shape == (used, PARTNERS)
    assert partners.max() < used
    assert (apart.gather(1, partners) > 0).all()


def test_the_same_vectors_give_the_same_sampler(run: Run) -> None:
    one, other = (fit(run, run._decoding.vectors.detach()).state_dict() for _ in range(2))

    assert all(torch.equal(one[name], other[name]) for name in one)


def test_z_chooses_prototype_partner_and_share() -> None:
    sampler = Sampler(Architecture(style=2, hidden=2, coefficients=2, basis=2, prototypes=3, channels=0))
    sampler.prototypes.copy_(torch.tensor([[0.0, 0], [1, 0], [0, 1]]))
    sampler.shares.copy_(torch.tensor([-1.0, 1.0, 100.0]))
    sampler.partners.copy_(torch.tensor([[1, 1, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0]]))
    z = torch.zeros(4, 100)
    z[:, 0] = torch.tensor([-2.0, -2, 0, 5])
    z[:, 1] = torch.tensor([-2.0, 2, 0, 0])
    z[:, 2] = 9.0  # as much of the partner as there may be
    found = sampler(z)

    expected = torch.tensor([[MOST_SHARE, 0], [0, MOST_SHARE], [1 - MOST_SHARE, 0], [0, 1 - MOST_SHARE]])
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_shipped_sampler_reaches_all_of_its_prototypes_by_their_shares() -> None:
    data = (FOLDER / "letters.safetensors").read_bytes()
    sampler = Generator.load(safetensors.numpy.load(data), check(data)).sampler
    used = int((sampler.shares < 50).sum()) + 1
    z = torch.randn(20_000, 100, generator=torch.Generator().manual_seed(0))
    chosen = torch.searchsorted(sampler.shares, z[:, 0].contiguous()).bincount(minlength=used)

    assert len(chosen) == used
    assert used > 200
    assert (chosen > 0).float().mean() > 0.95
