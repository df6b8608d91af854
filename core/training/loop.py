"""The training loop: a `Run` goes from checkpoint to checkpoint, a step at a time.

In a step both players move at once: one pass of the generator, one of the discriminator over real and generated images
together, and each loss goes back to its own player. Two additions to the bare game make letters legible in a minute:

- *anchor*: half of a batch is drawn in the code of a real style and pulled to that style's letter by its mean absolute
  difference, as pix2pix (Isola et al., 2017) and GLO (Bojanowski et al., 2018) do. It also makes all letters of one z
  agree in style. `TrainConfig.anchor = 0` gives the bare GAN, as does a dataset that tells no styles apart (EMNIST).
- *EMA*: samples and weights come from a moving average of the generator.

On a CPU, at one thread count, a resumed run equals an uninterrupted one bit for bit.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.alphabet import BASELINE, CAP_HEIGHT, LETTERS
from core.errors import JobError
from core.networks import mlp
from core.training import checkpoints, run
from core.training.codes import code_styles
from core.training.config import TrainConfig
from core.training.datasets.archive import Dataset
from core.training.losses import LOSSES, penalise
from core.training.optimisers import make_optimisers
from core.training.samples import choose_letters, draw_samples
from core.training.views import View, view

METRICS: Final = ("loss/discriminator", "loss/generator", "loss/anchor")
_EMA: Final = 0.998  # a step
_EMA_EVERY: Final = 4
_PENALTY_EVERY: Final = 4  # steps; its weight grows as much (Karras et al., "StyleGAN2", 2020: lazy regularisation)
_BF16_BATCH: Final = 512  # measured on AMX: 0.75 x the speed of float32 at 32, 1.0 x at 256, 1.3 x at 512


class Order:
    """Rows of a dataset in an endless series of random permutations."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self._batch = batch
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = torch.randperm(count, generator=self._generator)
        self._place = 0

    def take(self) -> Tensor:
        """Return the next rows; a remainder smaller than a batch waits for another permutation."""
        if self._place + self._batch > len(self._rows):
            self._rows = torch.randperm(len(self._rows), generator=self._generator)
            self._place = 0
        self._place += self._batch
        return self._rows[self._place - self._batch : self._place]

    def state(self) -> dict[str, Tensor]:
        """Return all that decides which rows come next."""
        return {"rows": self._rows, "place": torch.tensor(self._place), "generator": self._generator.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on where `state` was taken."""
        self._rows, self._place = state["rows"], int(state["place"])
        self._generator.set_state(state["generator"])


class Run(run.Run):
    """A run of family `mlp`."""

    guessed_steps = 100.0

    def __init__(self, config: TrainConfig, dataset: Dataset, device: str) -> None:
        """Prepare everything that depends on the configuration and the dataset alone."""
        super().__init__(config, dataset, device)
        self._view = _load(dataset, self._device)
        self._batch = min(config.batch, len(self._view.labels))
        self._anchored = config.anchored and self._view.paired
        self._generator, self._discriminator = _build(config, self._view, self._device)
        self._ema = deepcopy(self._generator).requires_grad_(False)
        self._networks: dict[str, nn.Module] = {
            "generator": self._generator,
            "discriminator": self._discriminator,
            "ema": self._ema,
        }
        self._own: dict[str, list[Tensor]] = {name: list(net.parameters()) for name, net in self._networks.items()}
        self._optimisers = make_optimisers(config, self._generator.parameters(), self._discriminator.parameters())
        self._game = LOSSES[config.loss]
        self._order = Order(len(self._view.labels), self._batch, config.seed)
        self._noise = torch.Generator(self._device).manual_seed(config.seed)
        self._bf16 = _uses_bf16(config, self._device)

    @property
    def _names(self) -> tuple[str, ...]:
        return METRICS

    @property
    def _steps_an_epoch(self) -> float:
        return len(self._view.labels) / self._batch

    def _observe(self, steps: int, seconds: float) -> Iterator[tuple[str, float]]:
        yield "speed/images", self._batch * steps / seconds

    def step(self) -> None:
        """Train both networks on one batch."""
        rows = self._order.take().to(self._device)
        real, letters = self._view.images[rows], self._view.labels[rows]
        with self._precision():
            fake = self._generator(self._latents(rows), letters).float()
            scores = self._discriminator(torch.cat([real, fake]), letters.repeat(2)).float()
        judged, fooled = self._game.discriminator(*scores.chunk(2)), self._game.generator(*scores.chunk(2))
        if self._game.penalty and self.step_count % _PENALTY_EVERY == 0:
            score = partial(self._discriminator, letters=letters)
            bend = penalise(score, real, fake, self._game.slope, self._noise)
            judged = judged + _PENALTY_EVERY * self._game.penalty * bend
        half = len(real) // 2 if self._anchored else 0
        off = (fake[:half] - real[:half]).abs().mean() if half else torch.zeros_like(fooled)
        # Each loss reaches its own player's weights only, through one pass of both networks.
        for parameter in (*self._own["discriminator"], *self._own["generator"]):
            parameter.grad = None
        torch.autograd.backward(judged, inputs=self._own["discriminator"], retain_graph=True)
        torch.autograd.backward(fooled + self.config.anchor * off, inputs=self._own["generator"])
        for optimiser in self._optimisers.values():
            optimiser.step()
        self._sums += torch.stack([judged, fooled, off]).detach()
        self._average()
        self.step_count += 1

    def _latents(self, rows: Tensor) -> Tensor:
        """Draw latents [B, 100]; the first half names the style of its rows."""
        z = torch.randn(len(rows), mlp.LATENT, generator=self._noise, device=self._device)
        if self._anchored:
            half = len(rows) // 2
            z[:half, : mlp.CODE] = self._generator.codes[self._view.styles[rows[:half]]]
        return z

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()

    def _average(self) -> None:
        """Move the average towards the generator, faster while there is little to average; every few steps for all."""
        if (self.step_count + 1) % _EMA_EVERY:
            return
        share = 1 - min(_EMA, (self.step_count + 1) / (self.step_count + 10)) ** _EMA_EVERY
        torch._foreach_lerp_(self._own["ema"], self._own["generator"], share)

    def samples(self) -> bytes:
        """Return a PNG of letters in a few styles, always of the same latents."""
        return draw_samples(self._ema, self.config.seed, choose_letters(self._view.labels))

    def weights(self) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
        """Return what generation needs: the averaged generator's tensors, and what they are."""
        tensors = self._ema.state_dict()
        checkpoints.check_finite(tensors)
        meta = self._ema.meta() | {
            "dataset": self._dataset_sha256,
            "letters": LETTERS,
            "baseline": str(BASELINE),
            "cap_height": str(CAP_HEIGHT),
            "reach": str(mlp.REACH),
            "steps": str(self.step_count),
        }
        return {name: tensor.cpu().numpy().copy() for name, tensor in tensors.items()}, meta

    def _state(self) -> dict[str, Tensor]:
        tensors = {"noise": self._noise.get_state()}
        tensors |= checkpoints.join(self._order.state(), "order")
        for name, network in self._networks.items():
            tensors |= checkpoints.join(network.state_dict(), name)
        for name, optimiser in self._optimisers.items():
            tensors |= checkpoints.join(checkpoints.optimiser_state(optimiser), f"optimiser.{name}")
        return tensors

    def _adopt(self, tensors: dict[str, Tensor]) -> None:
        self._noise.set_state(tensors["noise"])
        self._order.restore(checkpoints.split(tensors, "order"))
        for name, network in self._networks.items():
            network.load_state_dict(checkpoints.split(tensors, name))
        for name, optimiser in self._optimisers.items():
            checkpoints.restore_optimiser(optimiser, checkpoints.split(tensors, f"optimiser.{name}"))


def _load(dataset: Dataset, device: torch.device) -> View:
    found = view(dataset, mlp.SIZE, mlp.REACH)
    if not len(found.labels):
        raise JobError(f"none of the dataset's {len(dataset.labels)} letters can be drawn on {mlp.SIZE} x {mlp.SIZE}")
    return found.to(device)


def _build(config: TrainConfig, seen: View, device: torch.device) -> tuple[mlp.Generator, mlp.Discriminator]:
    """Initialise both networks by the run's seed alone, on the CPU, so that every device begins alike."""
    styles = seen.count if config.anchored and seen.paired else 0
    architecture = mlp.Architecture(conditional=config.conditional, styles=styles)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator, discriminator = mlp.Generator(architecture), mlp.Discriminator(architecture)
    if styles:
        generator.codes.copy_(code_styles(seen.to(torch.device("cpu")), mlp.CODE))
    return generator.to(device), discriminator.to(device)


def _uses_bf16(config: TrainConfig, device: torch.device) -> bool:
    if config.precision != "auto":
        return config.precision == "bf16"
    able = device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
    return bool(able) and config.batch >= _BF16_BATCH
