"""Adversarial losses by name: what the discriminator and the generator minimise, given scores (logits) [N]."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from core.registry import Loss

# Real images count as this sure (one-sided label smoothing; Salimans et al., "Improved techniques", 2016).
SURE: Final = 0.9


@dataclass(frozen=True)
class Adversary:
    """One adversarial game: `discriminator(real, fake)` and `generator(fake)`, each a mean over the batch."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _bce_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    sure = torch.full_like(real, SURE)
    none = torch.zeros_like(fake)
    return F.binary_cross_entropy_with_logits(real, sure) + F.binary_cross_entropy_with_logits(fake, none)


def _bce_generator(fake: Tensor) -> Tensor:
    """Non-saturating (Goodfellow et al., 2014)."""
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


LOSSES: Final[dict[Loss, Adversary]] = {
    Loss.BCE: Adversary(_bce_discriminator, _bce_generator),
}
