"""Stage A1: the decoder and one style vector a font, learnt together (auto-decoder: Bojanowski et al., 2018).

First in the space of coefficients, where a step takes milliseconds; then on the fields themselves, with most weight on
the cells near an edge. Style vectors are jittered, so that what lies between fonts decodes as well as fonts do.
"""

from math import cos, pi
from typing import Final

import torch
from torch import Tensor, nn

from core.networks.style import Decoder
from core.training.style.basis import FRAME_WORTH, Beginning
from core.training.style.framing import Framed
from core.training.style.tables import Table

COEFFICIENTS_UNTIL: Final = 0.35  # of the stage
_STYLES: Final = 256  # a step on coefficients
_STYLES_DRAWN: Final = 48  # a step on fields, times
_LETTERS_DRAWN: Final = 12
_JITTER: Final = 0.02  # of a style vector; fonts lie about 1 apart
_GUESSED: Final = 0.1  # how much a guessed letter counts beside a real one
_PULL: Final = 1e-3  # to the mean style
_NEAR: Final = 0.25  # of `REACH`: what counts as near an edge


class Decoding:
    """The stage's state: the decoder, the style vectors, their optimiser."""

    def __init__(self, decoder: Decoder, table: Table, framed: Framed, beginning: Beginning, lr: float) -> None:
        self.decoder = decoder
        self.vectors = nn.Parameter(beginning.codes.clone())
        self._table, self._framed = table, framed
        self._targets = beginning.targets
        self._stands = beginning.stands
        self._known = table.present.any(0).nonzero().flatten()
        self._certainty = torch.where(table.present, 1.0, _GUESSED)
        self._worth = torch.tensor(FRAME_WORTH)
        self._energy = beginning.targets.square().sum() / table.present.sum()
        groups = [{"params": list(decoder.parameters()), "lr": lr}, {"params": [self.vectors], "lr": 2 * lr}]
        self._rates = (lr, 2 * lr)
        self.optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))

    def step(self, progress: float, noise: torch.Generator) -> float:
        """Take one step at `progress` (0 to 1 of the stage); return the loss."""
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * pace(progress)
        loss = self._on_coefficients(noise) if progress < COEFFICIENTS_UNTIL else self._on_fields(noise)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item()

    def _draw(self, count: int, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw styles by weight and return them with their vectors, jittered."""
        styles = torch.multinomial(self._table.weights, count, replacement=True, generator=noise)
        own = self.vectors[styles]
        return styles, own + _JITTER * torch.randn(own.shape, generator=noise)

    def _on_coefficients(self, noise: torch.Generator) -> Tensor:
        styles, w = self._draw(_STYLES, noise)
        with torch.autocast("cpu", torch.bfloat16):
            found = self.decoder.coefficients(w)
        off = (found.float() - self._targets[styles]).square().sum(2)
        off = off + self._off_frames(w, styles)
        there = self._certainty[styles]
        return (off * there).sum() / there.sum() / self._energy + _PULL * w.square().sum(1).mean()

    def _off_frames(self, w: Tensor, styles: Tensor) -> Tensor:
        return ((self.decoder.frames(w) - self._stands[styles]) * self._worth).square().sum(2)

    def _on_fields(self, noise: torch.Generator) -> Tensor:
        decoder = self.decoder
        styles, w = self._draw(_STYLES_DRAWN, noise)
        heads = self._known[torch.randperm(len(self._known), generator=noise)[:_LETTERS_DRAWN]]
        with torch.autocast("cpu", torch.bfloat16):
            own = decoder.features(w) @ decoder.heads[:, heads].flatten(1)
            own = (own.view(len(w), len(heads), -1).float() + decoder.biases[heads]) * decoder.spread[heads]
            # Flat, or the product would copy the basis once a style.
            summed = torch.einsum("slk,lkb->slb", own, decoder.turns[heads]).flatten(0, 1) @ decoder.basis
        summed = summed.float().view(len(w), len(heads), -1) + decoder.means[heads]
        rows = self._table.rows[styles][:, heads]
        real = self._framed.rows(rows.clamp(min=0).flatten()).view_as(summed)
        weight = 0.3 + 3 * torch.exp(-(real / _NEAR).square())
        there = rows >= 0
        off = ((summed - real).abs() * weight).mean(2) * there
        apart = (own - self._targets[styles][:, heads]).square().sum(2) * ~there
        stood = self._off_frames(w, styles)[:, heads]
        beside = (stood + apart) * self._certainty[styles][:, heads]
        return (
            10 * off.sum() / there.sum()
            + 3 * beside.sum() / there.sum() / self._energy
            + _PULL * w.square().sum(1).mean()
        )


def pace(progress: float) -> float:
    """Return the share of the learning rate: a short warm-up, then half a cosine."""
    return min(1.0, 30 * progress + 0.02) * (0.98 * cos(pi * min(progress, 1.0) / 2) ** 2 + 0.02)
