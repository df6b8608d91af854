"""Family `style`, the default: one style vector w steers all letters, which are sums of a basis of fields.

- *mapping*: z ~ N(0, I) becomes w (the idea of StyleGAN: Karras et al., 2019): a style between two that are near each
  other, then widened and thickened a little. Truncation draws w to its mean.
- *decoder*: features of w go through a linear head of each letter's own to a few coefficients, and through a rotation
  of the letter's own to coordinates in a basis that all letters share (principal components of fields). Heads must be
  per letter: one shared by all drew half as well. Letters that look the same in both scripts share one. What is summed
  is an upright letter of usual width; slant, place and width are numbers of their own (`core/networks/frames.py`).
- *finisher*: convolutions, modulated by w, that redraw the summed field at twice its size: edges, hairlines, corners.

Values inside are clamped distances, +1 = `REACH` inside the ink. Large tables are stored as bytes with scales.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.alphabet import HOMOGLYPHS, LETTERS
from core.errors import JobError
from core.networks import frames

LATENT: Final = 100
SIZE: Final = 64  # cells of a summed field; a finished one has twice as many
CELLS: Final = SIZE * SIZE
REACH: Final = 1 / 16  # what 1 means, of the canvas
ATTRIBUTES: Final = ("weight", "width", "slant", "contrast", "serif")

PARTNERS: Final = 4  # that a prototype may be mixed with
NEVER: Final = 100.0  # as a share: no normal number comes near it, and with it to this prototype or the next
LEAST_SHARE: Final = 0.35  # of the partner in the mixture
MOST_SHARE: Final = 0.5
# How far styles are moved along `ATTRIBUTES` by lot, in standard deviations: wider and bolder ones are as whole as
# their fonts. Not slant: a letter leans as an italic or stands, by a little it is careless. Nor contrast and serif:
# hairlines break.
LIVELY: Final = (0.15, 0.8, 0.0, 0.0, 0.0)
_EVENLY: Final = (-0.6744898, 0.0, 0.6744898)  # quartiles of z
_MOVES: Final = slice(3, 3 + len(LIVELY))  # entries of z that say how far

# Look-alikes are one drawing in nearly every font; the digits 0 and 3 are drawn apart from O and З.
_TWINS: Final = {letter: HOMOGLYPHS[letter] for letter in LETTERS if not letter.isdigit()}
_FIRST: Final = sorted({_TWINS.get(letter, letter) for letter in LETTERS}, key=LETTERS.index)
HEADS: Final = len(_FIRST)
HEAD_OF: Final = tuple(_FIRST.index(_TWINS.get(letter, letter)) for letter in LETTERS)
_BYTE: Final = 127  # steps on either side of zero
_BYTES: Final = (
    *(f"decoder.{name}" for name in ("enter.weight", "leave.weight", "heads", "turns", "basis", "means")),
    "sampler.prototypes",
)
_SMALL: Final = 4096  # numbers; smaller tensors are stored in full


@dataclass(frozen=True)
class Architecture:
    """What the networks are built from."""

    style: int = 320  # numbers in w, and features that the heads see
    hidden: int = 320
    coefficients: int = 88  # of a letter
    basis: int = 384  # fields
    prototypes: int = 512  # styles that the mapping starts from
    channels: int = 48  # of the finisher; 0 leaves it out
    blocks: int = 4
    heads: int = HEADS


class Decoder(nn.Module):
    """Style vectors and letters become summed fields [N, 1, 64, 64] in about [-1, 1]."""

    head_of: Tensor
    spread: Tensor
    turns: Tensor
    basis: Tensor
    means: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.enter = nn.Linear(a.style, a.hidden)
        self.leave = nn.Linear(a.hidden, a.style)
        nn.init.zeros_(self.leave.weight)
        self.heads = nn.Parameter(torch.zeros(a.style, a.heads, a.coefficients))
        self.biases = nn.Parameter(torch.zeros(a.heads, a.coefficients))
        self.slant = nn.Linear(a.style, 1)
        self.stands = nn.Parameter(torch.zeros(a.style, a.heads, 2))
        self.usual = nn.Parameter(torch.tensor([0.5, 1.0]).repeat(a.heads, 1))  # middle and stretch
        self.register_buffer("head_of", torch.tensor(HEAD_OF), persistent=False)
        self.register_buffer("spread", torch.ones(a.heads, a.coefficients))  # what a coefficient's unit means
        self.register_buffer("turns", torch.zeros(a.heads, a.coefficients, a.basis))
        self.register_buffer("basis", torch.zeros(a.basis, CELLS))
        self.register_buffer("means", torch.zeros(a.heads, CELLS))

    def features(self, w: Tensor) -> Tensor:
        """Return what the heads see, [N, style]: w itself and what an MLP adds to it."""
        bent: Tensor = w + self.leave(F.gelu(self.enter(w)))
        return bent

    def coefficients(self, w: Tensor) -> Tensor:
        """Return the coefficients of every head for each style: [N, W] -> [N, heads, K]."""
        every = (self.features(w) @ self.heads.flatten(1)).view(len(w), *self.biases.shape)
        return (every + self.biases) * self.spread

    def frames(self, w: Tensor) -> Tensor:
        """Return the frame of every head for each style: [N, W] -> [N, heads, 3], slant, middle and stretch."""
        features = self.features(w)
        stands = (features @ self.stands.flatten(1)).view(len(w), *self.usual.shape) + self.usual
        slant: Tensor = self.slant(features)
        return torch.cat([slant.unsqueeze(1).expand(-1, stands.shape[1], 1), stands], dim=2)

    def forward(self, w: Tensor, letters: Tensor) -> Tensor:
        """Draw letters [N] in styles w [N, W]."""
        head = self.head_of[letters]
        features = self.features(w)
        own = _apply(features, self.heads, head)
        own = (own + self.biases[head]) * self.spread[head]
        framed = self.add_up(torch.bmm(own.unsqueeze(1), self.turns[head]).squeeze(1), head)
        stands = _apply(features, self.stands, head) + self.usual[head]
        return frames.leave(framed, torch.cat([self.slant(features), stands], dim=1))

    def add_up(self, coordinates: Tensor, head: Tensor) -> Tensor:
        """Sum the basis: coordinates [N, B] under heads [N] -> [N, 1, 64, 64]."""
        return (coordinates @ self.basis + self.means[head]).view(-1, 1, SIZE, SIZE)


def _apply(features: Tensor, table: Tensor, head: Tensor) -> Tensor:
    """Multiply features [N, W] by the part of a table [W, heads, K] that belongs to heads [N]: [N, K]."""
    return torch.bmm(features.unsqueeze(1), table.transpose(0, 1)[head]).squeeze(1)


class Sampler(nn.Module):
    """Latents become style vectors: one entry names a prototype, the next a partner of its, the third how they mix.

    Only what is near mixes well: between a slab and a script lies neither. Which prototypes suit each other is found
    when a model is made (`core/training/style/sampling.py`).
    """

    prototypes: Tensor
    shares: Tensor
    partners: Tensor
    mean: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.register_buffer("prototypes", torch.zeros(a.prototypes, a.style))
        self.register_buffer("shares", torch.zeros(a.prototypes))  # quantiles of z up to which each prototype is meant
        self.register_buffer("partners", torch.zeros(a.prototypes, PARTNERS))  # rows of prototypes
        self.register_buffer("mean", torch.zeros(a.style))

    def known(self) -> Tensor:
        """Return the prototypes that are used [P, W]: the table is of fixed length, its last rows are never reached."""
        return self.prototypes[: int((self.shares < NEVER).sum()) + 1]

    def forward(self, z: Tensor) -> Tensor:
        """Map latents [N, 100] to style vectors [N, W]."""
        first = torch.searchsorted(self.shares, z[:, 0].contiguous()).clamp(max=len(self.shares) - 1)
        other = torch.searchsorted(self.shares.new_tensor(_EVENLY), z[:, 1].contiguous())
        second = self.partners[first, other].long()
        share = LEAST_SHARE + (MOST_SHARE - LEAST_SHARE) * torch.special.ndtr(z[:, 2:3])
        mixed: Tensor = torch.lerp(self.prototypes[first], self.prototypes[second], share)
        return mixed


class Finisher(nn.Module):
    """Summed fields [N, 1, 64, 64] become finished ones [N, 1, 128, 128], as the style and the letter would have it.

    Works on 2 x 2 cells at a time, so that few layers see much of a letter (pixel shuffle: Shi et al., 2016); channels
    are scaled and shifted by style and letter (FiLM: Perez et al., 2018).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.style = nn.Linear(a.style, 64)
        self.letter = nn.Embedding(a.heads, 64)
        self.enter = nn.Conv2d(4, a.channels, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(a.channels, a.channels, 3, padding=1) for _ in range(2 * a.blocks))
        self.films = nn.ModuleList(_silent(64, 2 * a.channels) for _ in range(a.blocks))
        self.leave = nn.Conv2d(a.channels, 16, 3, padding=1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, summed: Tensor, w: Tensor, head: Tensor) -> Tensor:
        """Finish summed fields under heads [N] in styles w [N, W]."""
        told = F.gelu(self.style(w) + self.letter(head))
        # Channels last in memory: the same sums, a third faster on CPUs.
        x = self.enter(F.pixel_unshuffle(summed, 2).contiguous(memory_format=torch.channels_last))
        for number, film in enumerate(self.films):
            scale, shift = film(told)[:, :, None, None].chunk(2, dim=1)
            inner = F.gelu(self.layers[2 * number](x) * (1 + scale) + shift)
            x = x + self.layers[2 * number + 1](inner)
        # Each of 4 x 4 cells comes from a channel of its own: a narrow blur takes the grain that this leaves on edges.
        return enlarge(summed) + blur(F.pixel_shuffle(self.leave(F.gelu(x)), 4))


def blur(field: Tensor) -> Tensor:
    """Mix each cell with its neighbours, 1 : 2 : 1 along both axes."""
    for axis in (2, 3):
        size = field.shape[axis]
        wide = torch.cat([field.narrow(axis, 0, 1), field, field.narrow(axis, size - 1, 1)], dim=axis)
        field = (wide.narrow(axis, 0, size) + 2 * field + wide.narrow(axis, 2, size)) / 4
    return field


def _silent(entries: int, outputs: int) -> nn.Linear:
    """Return a layer that says 0 until it has learnt something."""
    layer = nn.Linear(entries, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _gaps(known: Tensor, style: Tensor) -> Tensor:
    """Return how far one style [W] is from each of those known [P, W]; by differences, which no row beside rounds."""
    return (known - style).square().sum(1).sqrt()


def enlarge(field: Tensor) -> Tensor:
    """Draw fields at twice their size; Keys' cubic (a = -0.5), which keeps ramps straight."""
    return F.interpolate(field, scale_factor=2.0, mode="bicubic", antialias=True)


class Generator(nn.Module):
    """The three networks as generation uses them."""

    directions: Tensor
    psi: float

    def __init__(self, architecture: Architecture, psi: float = 1.0) -> None:
        super().__init__()
        self.architecture = architecture
        self.psi = psi
        self.sampler = Sampler(architecture)
        self.decoder = Decoder(architecture)
        self.finisher = Finisher(architecture) if architecture.channels else None
        self.register_buffer("directions", torch.zeros(len(ATTRIBUTES), architecture.style))
        self._apart: Tensor | None = None  # how far prototypes are from each other, once it was asked for

    def styles(self, z: Tensor, psi: float | None = None) -> Tensor:
        """Return style vectors [N, W] of latents [N, 100], drawn to the mean style by psi (1: not at all)."""
        mean = self.sampler.mean
        moved = self.steer(self.sampler(z), z[:, _MOVES].clamp(-2, 2) * z.new_tensor(LIVELY))
        w: Tensor = mean + (self.psi if psi is None else psi) * (moved - mean)
        return w

    def steer(self, w: Tensor, attributes: Tensor) -> Tensor:
        """Move style vectors by `ATTRIBUTES` [N, 5], in standard deviations of the fonts trained on."""
        return w + attributes @ self.directions

    def novelty(self, w: Tensor) -> Tensor:
        """Say how far styles w [N, W] are from the nearest prototype [N]: 0 for the same, 1 for as far as one prototype
        is from the next, three of four times, or farther."""
        known = self.sampler.known()
        if self._apart is None:
            nearest = torch.stack([_gaps(known, each).topk(2, largest=False).values[1] for each in known])
            self._apart = nearest.quantile(0.75).clamp(min=1e-6)
        return (torch.stack([_gaps(known, each).amin() for each in w]) / self._apart).clamp(max=1)

    def draw(self, w: Tensor, letters: Tensor) -> Tensor:
        """Draw letters [N] in styles w [N, W]: fields [N, 1, 128, 128], or 64 cells without a finisher."""
        summed: Tensor = self.decoder(w, letters)
        if self.finisher is not None:
            summed = self.finisher(summed, w, self.decoder.head_of[letters])
        return summed.clamp(-1, 1) * REACH

    def pack(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return what `load` needs: tensors, large ones as bytes with scales, small ones in half precision."""
        tensors: dict[str, NDArray[Any]] = {}
        for name, tensor in self.state_dict().items():
            values = tensor.float().cpu().numpy()
            if name in _BYTES:
                scale = np.maximum(np.abs(values).max(axis=-1, keepdims=True), 1e-12) / _BYTE
                tensors[name] = np.rint(values / scale).astype(np.int8)
                tensors[f"{name}.scale"] = scale.astype(np.float32)
            else:
                tensors[name] = values.astype(np.float16 if values.size >= _SMALL else np.float32)
        meta = {"family": "style", "psi": repr(self.psi)}
        return tensors, meta | {"architecture": json.dumps(asdict(self.architecture), sort_keys=True)}

    @classmethod
    def load(cls, weights: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> Self:
        """Build a generator from stored weights; raise `JobError` if they are not of this shape."""
        try:
            if meta["family"] != "style":
                raise ValueError(f"their family is {meta['family']}")
            network = cls(Architecture(**json.loads(meta["architecture"])), float(meta["psi"]))
            plain = {name: array for name, array in weights.items() if not name.endswith(".scale")}
            network.load_state_dict({name: _unpack(name, array, weights) for name, array in plain.items()})
            if network.finisher is not None:
                network.finisher.to(memory_format=torch.channels_last)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise JobError(f"these weights are not of family style: {str(error).splitlines()[0]}") from error
        return network.requires_grad_(False).eval()


def _unpack(name: str, array: NDArray[Any], weights: Mapping[str, NDArray[Any]]) -> Tensor:
    values = torch.from_numpy(np.array(array)).float()
    scale = weights.get(f"{name}.scale")
    return values if scale is None else values * torch.from_numpy(np.array(scale))
