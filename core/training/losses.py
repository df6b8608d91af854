"""Adversarial losses by name: what the discriminator and the generator minimise, given scores (logits) [N].

Row i of the drawn images has the letter of row i of the real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from core.registry import Loss

# Real images count as this sure (one-sided label smoothing; Salimans et al., "Improved techniques", 2016).
SURE: Final = 0.9

Score = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Adversary:
    """One adversarial game: what each player minimises, from the scores of real and drawn images, a batch's mean."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    # Weight of `penalise` in the discriminator's loss, and the slope it asks for; without it a game pays nothing.
    penalty: float = 0.0
    slope: float = 1.0


def penalise(score: Score, real: Tensor, fake: Tensor, slope: float, noise: torch.Generator) -> Tensor:
    """Return how far `score` is from a slope between pairs of images: the mean of (|gradient| - slope)^2.

    Slope 1: Gulrajani et al., "Improved training of Wasserstein GANs", 2017; 0: Thanh-Tung et al., "Improving
    generalization and stability of GANs", 2019. `fake` is taken as it is, without its generator.
    """
    share = torch.rand(len(real), 1, 1, 1, generator=noise, device=real.device)
    between = torch.lerp(fake.detach(), real, share).requires_grad_()
    (gradient,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    miss: Tensor = gradient.flatten(1).norm(dim=1) - slope
    return miss.square().mean()


def _bce_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    sure = torch.full_like(real, SURE)
    none = torch.zeros_like(fake)
    return F.binary_cross_entropy_with_logits(real, sure) + F.binary_cross_entropy_with_logits(fake, none)


def _bce_generator(_: Tensor, fake: Tensor) -> Tensor:
    """Non-saturating (Goodfellow et al., 2014)."""
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def _lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Squares towards 1 and 0 (Mao et al., "Least squares GANs", 2017)."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def _lsgan_generator(_: Tensor, fake: Tensor) -> Tensor:
    return (fake - 1).square().mean() / 2


def _wgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Minus the distance that the scores prove (Arjovsky et al., "Wasserstein GAN", 2017)."""
    return fake.mean() - real.mean()


def _wgan_generator(_: Tensor, fake: Tensor) -> Tensor:
    return -fake.mean()


def _relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Real above drawn of the same letter, by whatever margin (Jolicoeur-Martineau, 2018: RSGAN)."""
    return F.softplus(fake - real).mean()


def _relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(real - fake).mean()


LOSSES: Final[dict[Loss, Adversary]] = {
    Loss.BCE: Adversary(_bce_discriminator, _bce_generator),
    Loss.LSGAN: Adversary(_lsgan_discriminator, _lsgan_generator),
    Loss.WGAN_GP: Adversary(_wgan_discriminator, _wgan_generator, penalty=10.0),
    # Without a penalty it diverged on letters within five epochs: nothing bounds a margin.
    Loss.RELATIVISTIC: Adversary(_relativistic_discriminator, _relativistic_generator, penalty=1.0, slope=0.0),
}
