"""Family `mlp`: shapes, ranges, units, and what may be loaded."""

import json

import numpy as np
import pytest
import torch

from core.errors import JobError
from core.networks.mlp import CODE, LATENT, REACH, SIZE, Architecture, Discriminator, Generator


def generator(**changes: object) -> Generator:
    torch.manual_seed(1)
    network = Generator(Architecture(**changes))
    with torch.no_grad():
        network.codes.copy_(torch.randn(network.codes.shape))
    return network.eval()


def stored(network: Generator) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("conditional", [True, False])
@torch.no_grad()
def test_a_latent_and_a_letter_become_an_image_and_an_image_becomes_a_score(conditional: bool) -> None:
    network = generator(conditional=conditional)
    letters = torch.tensor([0, 27, 68])
    images = network(torch.randn(3, LATENT), letters)
    scores = Discriminator(Architecture(conditional=conditional))(images, letters)

    assert images.shape == (3, 1, SIZE, SIZE)
    assert images.abs().max() <= 1
    assert scores.shape == (3,)


@torch.no_grad()
def test_letters_matter_when_conditional_and_only_then() -> None:
    z = torch.randn(1, LATENT).expand(2, -1)
    letters = torch.tensor([3, 40])

    assert not torch.equal(*generator()(z, letters))
    assert torch.equal(*generator(conditional=False)(z, letters))


@torch.no_grad()
def test_a_latent_is_drawn_to_the_styles_around_it_and_not_beyond() -> None:
    network = generator(styles=20)
    letters = torch.zeros(1, dtype=torch.int64)
    at = torch.zeros(1, LATENT)
    at[0, :CODE] = network.codes[5] * 1.0
    far = at.clone()
    far[0, :CODE] *= 50
    z = torch.randn(200, LATENT)
    shares = torch.softmax(-torch.cdist(z[:, :CODE], network.codes).square() / (2 * 0.7**2), dim=1)
    reached = network._lean(z * 9)[:, :CODE]

    assert torch.allclose(network._lean(z)[:, :CODE], shares @ network.codes, atol=1e-4)
    assert torch.equal(network._lean(z)[:, CODE:], z[:, CODE:])
    assert torch.allclose(network._lean(at)[0, :CODE], network.codes[5], atol=0.3)
    assert network(far, letters).isfinite().all()
    assert (reached <= network.codes.amax(dim=0) + 1e-5).all()
    assert (reached >= network.codes.amin(dim=0) - 1e-5).all()


def test_an_image_is_a_field_in_canvas_units() -> None:
    images = torch.tensor([-1.0, 0.0, 1.0])

    assert Generator.to_field(images).tolist() == pytest.approx([-1.25 / 28, 0.0, 1.25 / 28])
    assert REACH == 1.25 / SIZE


@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours_at_one_shape() -> None:
    network = generator(styles=20)
    z, letters = torch.randn(64, LATENT), torch.randint(69, (64,))
    whole = network(z, letters)
    others = torch.randn(64, LATENT)
    others[10] = z[10]

    assert torch.equal(network(others, letters)[10], whole[10])
    assert torch.equal(network(z.flip(0), letters.flip(0)).flip(0), whole)


@torch.no_grad()
def test_stored_weights_draw_the_same_letters() -> None:
    network = generator(styles=7)
    loaded = Generator.load(stored(network), network.meta() | {"dataset": "abc"})
    z, letters = torch.randn(4, LATENT), torch.tensor([1, 2, 3, 4])

    assert torch.equal(loaded(z, letters), network(z, letters))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_weights_of_another_shape_or_family_are_refused() -> None:
    network = generator()
    weights, meta = stored(network), network.meta()
    wider = meta | {"architecture": json.dumps(json.loads(meta["architecture"]) | {"generator": [256, 300]})}

    for broken, said in (
        (weights, wider),
        (weights, meta | {"family": "style"}),
        (weights, {}),
        (weights, meta | {"architecture": "{}"}),
        ({name: weights[name] for name in list(weights)[1:]}, meta),
    ):
        with pytest.raises(JobError, match="not of an mlp"):
            Generator.load(broken, said)
