"""The style vector of a font, or of one letter: found by descent on what the generator draws.

Begun at the style, among many drawn by lot, that comes nearest; then Adam on w alone, held back towards where it began
(Abdal et al., "Image2StyleGAN", 2019). With few letters the pull matters: the letters not shown stay letters.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from core.networks.families import Generator
from core.networks.style import LATENT, REACH
from core.networks.style import Generator as StyleGenerator

STEPS: Final = 200
_TRIES: Final = 256
_SHOWN: Final = 6  # letters that the beginnings are compared by
_LR: Final = 0.04
_PULL: Final = 2e-3  # of a letter's own loss, for a style 1 away; shared by the letters shown
_NEAR: Final = 0.3


def invert(generator: Generator, fields: Tensor, labels: Tensor, steps: int = STEPS, seed: int = 0) -> Tensor:
    """Return the style vector [W] whose letters come nearest to fields [n, 1, H, H] of letters [n].

    Fields are in units of the canvas, placed as datasets place them. The same input gives the same vector.
    """
    noise = torch.Generator().manual_seed(seed)
    tries = generator.styles(torch.randn(_TRIES, LATENT, generator=noise), 1.0).detach()
    shown = torch.linspace(0, len(labels) - 1, min(_SHOWN, len(labels))).round().long()
    start = _nearest(generator, tries, _fit(generator, fields[shown]), labels[shown])
    real = _fit(generator, fields)
    w = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([w], lr=_LR)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _LR * (1 - step / steps) + 1e-3
        drawn = _sketch(generator, w.expand(len(labels), -1), labels)
        loss = _distance(drawn, real).mean() + _PULL / len(labels) * (w - start).square().sum()
        (w.grad,) = torch.autograd.grad(loss, [w])
        optimiser.step()
    return w.detach()[0]


def _nearest(generator: Generator, tries: Tensor, real: Tensor, labels: Tensor) -> Tensor:
    """Return the one of the styles [T, W] that draws these letters best, [1, W]."""
    with torch.no_grad():
        off = [
            _distance(_sketch(generator, tries, label.expand(len(tries))), own[None])
            for label, own in zip(labels, real, strict=True)
        ]
    return tries[torch.stack(off).sum(0).argmin()][None]


def _sketch(generator: Generator, w: Tensor, labels: Tensor) -> Tensor:
    """Draw without the finisher, which is slow to descend through and changes edges only."""
    if isinstance(generator, StyleGenerator):
        drawn: Tensor = generator.decoder(w, labels)
        return drawn
    return generator.draw(w, labels) / REACH


def _fit(generator: Generator, fields: Tensor) -> Tensor:
    """Bring fields to the size and unit of a generator's sketches."""
    size = _sketch(generator, generator.styles(torch.zeros(1, LATENT)), torch.zeros(1, dtype=torch.int64)).shape[-1]
    return F.interpolate(fields, (size, size), mode="area").clamp(-REACH, REACH) / REACH


def _distance(drawn: Tensor, real: Tensor) -> Tensor:
    """Return how far fields are apart, [n]: mean absolute difference, mostly near real edges."""
    weight = 0.2 + 3 * torch.exp(-(real / _NEAR).square())
    return ((drawn.clamp(-1.2, 1.2) - real).abs() * weight).flatten(1).mean(1)
