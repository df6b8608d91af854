"""Family `mlp`, the starting point: a multilayer perceptron GAN on 28 x 28 images, letter-conditional.

Values are clamped signed distances, +1 = ink and -1 = ground, so that an image is a field at another scale. A table of
style codes may stand in front of the generator: the first entries of z are drawn to the mixture of the codes nearest to
them, which keeps styles between real ones instead of anywhere in a Gaussian.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.alphabet import LETTERS
from core.errors import JobError

SIZE: Final = 28
PIXELS: Final = SIZE * SIZE
LATENT: Final = 100
CODE: Final = 12  # Entries of z that name a style, if there is a table of styles.
REACH: Final = 1.25 / SIZE  # What 1 in an image means, of the canvas: 1.25 cells.
_NEARNESS: Final = 0.7  # Width of the mixture: two or three codes share a typical z.
_SLOPE: Final = 0.2


@dataclass(frozen=True)
class Architecture:
    """What a pair of networks is built from."""

    conditional: bool = True
    styles: int = 0  # Codes in the table; 0 means that z is used as it is.
    letters: int = len(LETTERS)
    # (256, 512) and (256, 128) drew no better letters in the same number of steps, with four times the multiplications.
    generator: tuple[int, ...] = (128, 256, 192)
    discriminator: tuple[int, ...] = (96, 96)


class Generator(nn.Module):
    """A latent and a letter become an image: LeakyReLU between layers, tanh at the end."""

    codes: Tensor
    psi: float = 1.0

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.letter = _embedding(architecture, architecture.generator[0])
        self.layers = _layers(LATENT, architecture.generator)
        self.out = nn.Linear(architecture.generator[-1], PIXELS)
        self.register_buffer("codes", torch.zeros(architecture.styles, CODE))

    def forward(self, z: Tensor, letters: Tensor) -> Tensor:
        """Draw letters [N] in styles z [N, 100]: images [N, 1, 28, 28] in [-1, 1]. Unconditional ignores letters."""
        x = _climb(self.layers, self._lean(z), self.letter, letters)
        return torch.tanh(self.out(x)).view(-1, 1, SIZE, SIZE)

    def styles(self, z: Tensor, psi: float | None = None) -> Tensor:
        """Draw latents z [N, 100] to the middle of their Gaussian by psi; they are the style vectors of this family."""
        return z * (self.psi if psi is None else psi)

    def draw(self, w: Tensor, letters: Tensor) -> Tensor:
        """Draw letters [N] in styles w [N, 100]: fields [N, 1, 28, 28]."""
        return self.to_field(self(w, letters))

    def _lean(self, z: Tensor) -> Tensor:
        """Draw the style entries of z to the mixture of codes near them: softmax of minus the squared distance."""
        if not len(self.codes):
            return z
        style, rest = z[:, :CODE], z[:, CODE:]
        near = style @ self.codes.T - self.codes.square().sum(dim=1) / 2  # |style|^2 is the same for all codes
        mixture = torch.softmax(near / _NEARNESS**2, dim=1) @ self.codes
        return torch.cat([mixture, rest], dim=1)

    @staticmethod
    def to_field(images: Tensor) -> Tensor:
        """Return images as fields: canvas units, positive inside, clamped at `REACH`."""
        return images * REACH

    def meta(self) -> dict[str, str]:
        """Return what `load` needs beside the weights."""
        return {"family": "mlp", "architecture": json.dumps(asdict(self.architecture), sort_keys=True)}

    @classmethod
    def load(cls, weights: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> Self:
        """Build a generator from stored weights; raise `JobError` if they are not of this shape."""
        try:
            network = cls(_parse(meta))
            network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise JobError(f"these weights are not of an mlp: {str(error).splitlines()[0]}") from error
        return network.requires_grad_(False)


class Discriminator(nn.Module):
    """An image and its letter become a score, higher for real: an MLP, with the letter both as input and as projection.

    Projection: Miyato and Koyama, "cGANs with projection discriminator", 2018.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        features = architecture.discriminator[-1]
        self.letter = _embedding(architecture, architecture.discriminator[0])
        self.direction = _embedding(architecture, features)
        self.layers = _layers(PIXELS, architecture.discriminator)
        self.out = nn.Linear(features, 1)
        if self.direction is not None:
            nn.init.zeros_(self.direction.weight)

    def forward(self, images: Tensor, letters: Tensor) -> Tensor:
        """Score images [N, 1, 28, 28] as pictures of letters [N]: logits [N]."""
        x = _climb(self.layers, images.flatten(1), self.letter, letters)
        score: Tensor = self.out(x).squeeze(1)
        return score if self.direction is None else score + (x * self.direction(letters)).sum(dim=1)


def _embedding(architecture: Architecture, size: int) -> nn.Embedding | None:
    return nn.Embedding(architecture.letters, size) if architecture.conditional else None


def _layers(entries: int, hidden: tuple[int, ...]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(before, after) for before, after in pairwise((entries, *hidden)))


def _climb(layers: nn.ModuleList, x: Tensor, letter: nn.Embedding | None, letters: Tensor) -> Tensor:
    """Run hidden layers; each letter has a bias of its own in the first (the same as a one-hot letter beside x)."""
    first, *others = layers
    x = first(x) if letter is None else first(x) + letter(letters)
    x = F.leaky_relu(x, _SLOPE)
    for layer in others:
        x = F.leaky_relu(layer(x), _SLOPE)
    return x


def _parse(meta: Mapping[str, str]) -> Architecture:
    if meta["family"] != "mlp":
        raise ValueError(f"their family is {meta['family']}")
    said = json.loads(meta["architecture"])
    layers = {name: tuple(said[name]) for name in ("generator", "discriminator")}
    return Architecture(**(said | layers))
