"""Stage B: the finisher, taught to turn what the decoder sums into the exact field of the font.

Style vectors are moved a little towards other fonts while the target stays: sampled styles lie between fonts as well,
and their letters are to be put right in the same way.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from core.networks.style import HEADS, Decoder, Finisher
from core.training.style.decoding import pace
from core.training.style.tables import Table

_BATCH: Final = 48
_JITTER: Final = 0.03
_NEAR: Final = 0.15  # of `REACH`


class Finishing:
    """The stage's state: the finisher and its optimiser."""

    def __init__(self, finisher: Finisher, decoder: Decoder, table: Table, lr: float) -> None:
        self.finisher = finisher.to(memory_format=torch.channels_last)
        self._decoder, self._table, self._lr = decoder, table, lr
        self._letter_of = torch.tensor([int((decoder.head_of == head).nonzero()[0]) for head in range(HEADS)])
        self.optimiser = torch.optim.Adam(finisher.parameters(), lr=lr, betas=(0.9, 0.99))

    def step(self, progress: float, vectors: Tensor, noise: torch.Generator) -> float:
        """Take one step at `progress` (0 to 1 of the stage); return the loss."""
        self.optimiser.param_groups[0]["lr"] = self._lr * pace(progress)
        summed, w, heads, real = self._draw(vectors, noise)
        with torch.autocast("cpu", torch.bfloat16):
            finished = self.finisher(summed, w, heads)
        loss = distance(finished.float(), real)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item()

    @torch.no_grad()
    def _draw(self, vectors: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        styles = torch.multinomial(self._table.weights, _BATCH, replacement=True, generator=noise)
        choice = self._table.present[styles].double()
        heads = torch.multinomial(choice, 1, generator=noise).squeeze(1)
        w = vectors[styles] + _JITTER * torch.randn(_BATCH, vectors.shape[1], generator=noise)
        summed = self._decoder(w, self._letter_of[heads]).clamp(-1, 1)
        return summed, w, heads, self._table.fine(self._table.rows[styles, heads])


def distance(drawn: Tensor, real: Tensor) -> Tensor:
    """Compare fields [N, 1, H, W]: mean absolute differences of values and slopes, mostly near edges."""
    weight = 0.2 + 4 * torch.exp(-(real / _NEAR).square())
    off = drawn - real
    across, down = off[..., 1:] - off[..., :-1], off[..., 1:, :] - off[..., :-1, :]
    slopes = (across.abs() * weight[..., 1:]).mean() + (down.abs() * weight[..., 1:, :]).mean()
    return (F.smooth_l1_loss(drawn, real, reduction="none", beta=0.02) * weight).mean() + 2 * slopes
