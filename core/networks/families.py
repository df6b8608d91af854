"""Generators of every family behind one door: latents to style vectors, style vectors and letters to fields."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

from numpy.typing import NDArray
from torch import Tensor

from core.errors import JobError
from core.networks import mlp, style
from core.registry import Family

Weights = Mapping[str, NDArray[Any]]


@runtime_checkable
class Generator(Protocol):
    """What draws letters. Each is a `torch.nn.Module` too, without gradients of its own weights."""

    psi: float
    """The truncation taken where none is named."""

    def styles(self, z: Tensor, psi: float | None = None) -> Tensor:
        """Turn latents z [N, 100] ~ N(0, I) into style vectors [N, W], drawn to the mean by psi (0: all the way)."""
        ...

    def draw(self, w: Tensor, letters: Tensor) -> Tensor:
        """Draw letters [N] (int64) in styles w [N, W]: fields [N, 1, h, h], clamped at about 1/16 of the canvas."""
        ...


@runtime_checkable
class Steerable(Generator, Protocol):
    """A generator whose style vectors form a space: they may be given, blended, and moved along named directions."""

    def steer(self, w: Tensor, attributes: Tensor) -> Tensor:
        """Move styles w [N, W] by standard deviations of each `core.registry.Attribute`, in their order: [N, 5]."""
        ...

    def novelty(self, w: Tensor) -> Tensor:
        """Say how far styles w [N, W] are from the nearest that was learnt from: [N], 0 for the same, 1 for as far as
        those are from each other."""
        ...


LOADERS: Final[Mapping[Family, Callable[[Weights, Mapping[str, str]], Any]]] = {
    Family.MLP: mlp.Generator.load,
    Family.STYLE: style.Generator.load,
}


def load(weights: Weights, meta: Mapping[str, str], device: str = "cpu") -> Generator:
    """Build the generator that stored weights are of, ready to draw on a device.

    Raise `JobError` if they are of no family that draws, or not of its shape.
    """
    family = meta.get("family", "")
    if family not in LOADERS:
        raise JobError(f"weights of family {family[:40]!r} draw no letters; families that do: {', '.join(LOADERS)}")
    generator: Generator = LOADERS[Family(family)](weights, meta).to(device).eval()
    return generator
