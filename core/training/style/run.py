"""A training run of family `style`, from checkpoint to checkpoint: first the decoder, then the finisher.

The sampler and the directions of attributes are found from the fonts' style vectors when the weights are taken. On a
CPU, at one thread count, a resumed run equals an uninterrupted one bit for bit.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT, LETTERS
from core.networks.style import REACH, Architecture, Decoder, Finisher, Generator
from core.training import checkpoints, run
from core.training.config import TrainConfig
from core.training.datasets import split
from core.training.datasets.archive import Dataset
from core.training.run import one_thread
from core.training.samples import STYLES, draw_alphabets
from core.training.style import attributes, basis, framing, sampling
from core.training.style.decoding import Decoding
from core.training.style.finishing import Finishing
from core.training.style.tables import Table

ARCHITECTURES: Final = {
    "default": Architecture(),
    "nano": Architecture(style=128, hidden=128, coefficients=32, basis=128, prototypes=256, channels=0),
}
_DECODING: Final = 0.45  # of the run, where there is a finisher
_LETTERS_A_STEP: Final = 300  # that an epoch is reckoned by; stages differ
_LR: Final = {"decoding": 1e-3, "finishing": 2e-3}
_PSI: Final = 0.9  # read off a curve of wholeness against novelty: docs/decisions/0005


class Run(run.Run):
    """A run of family `style`."""

    guessed_steps = 15.0

    def __init__(self, config: TrainConfig, dataset: Dataset, device: str) -> None:
        """Prepare everything that depends on the configuration and the dataset alone."""
        split.check(dataset)
        self._architecture = ARCHITECTURES[config.architecture or "default"]
        chosen = split.split(dataset) == split.Role.TRAIN
        self._table = Table.of(dataset, chosen, dataset.weigh())
        super().__init__(config, dataset, device)
        self._framed = framing.frame(self._table)
        self._noise = torch.Generator().manual_seed(config.seed)
        beginning = basis.find(self._table, self._framed, self._architecture, config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            decoder = Decoder(self._architecture)
            finisher = Finisher(self._architecture) if self._architecture.channels else None
        beginning.prepare(decoder)
        lr = config.lr or _LR["decoding"]
        self._decoding = Decoding(decoder, self._table, self._framed, beginning, lr)
        self._finishing = Finishing(finisher, decoder, self._table, _LR["finishing"]) if finisher else None

    @property
    def _names(self) -> tuple[str, ...]:
        return ("loss/finishing" if self._finishes else "loss/decoding",)

    @property
    def _steps_an_epoch(self) -> float:
        return len(self._table) / _LETTERS_A_STEP

    @property
    def _finishes(self) -> bool:
        """Whether the run has come to its second stage."""
        return self._architecture.channels > 0 and self.progress >= _DECODING

    def _threads(self) -> AbstractContextManager[None]:
        return nullcontext()  # each stage takes its own

    def step(self) -> None:
        """Train whatever stage the run is in on one batch."""
        if self._finishing is not None and self._finishes:
            progress = (self.progress - _DECODING) / (1 - _DECODING)
            loss = self._finishing.step(progress, self._decoding.vectors.detach(), self._noise)
        else:
            with one_thread():  # small matrices; the finisher's convolutions gain by more
                loss = self._decoding.step(self.progress / (_DECODING if self._finishing else 1), self._noise)
        self._sums += loss
        self.step_count += 1

    def generator(self) -> Generator:
        """Return what has been learnt so far, with sampler and directions found for it."""
        generator = self._networks()
        vectors = self._decoding.vectors.detach()
        sampling.fit(generator.sampler, generator.decoder, vectors, self._table, self._framed)
        measured = attributes.measure(self._table, self._framed)
        generator.directions.copy_(attributes.directions(vectors, measured))
        return generator

    def _networks(self) -> Generator:
        generator = Generator(self._architecture, _PSI)
        generator.decoder.load_state_dict(self._decoding.decoder.state_dict())
        if generator.finisher is not None and self._finishing is not None:
            generator.finisher.load_state_dict(self._finishing.finisher.state_dict())
        return generator.requires_grad_(False).eval()

    def samples(self) -> bytes:
        """Return a PNG of letters in a few styles, always of the same latents."""
        noise = torch.Generator().manual_seed(self.config.seed)
        pairs = torch.multinomial(self._table.weights, 2 * STYLES, generator=noise)
        return draw_alphabets(self._networks(), self._decoding.vectors.detach()[pairs].view(STYLES, 2, -1).mean(1))

    def weights(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return what generation needs: tensors, and what they are."""
        generator = self.generator()
        checkpoints.check_finite(generator.state_dict())
        tensors, meta = generator.pack()
        return tensors, meta | {
            "dataset": self._dataset_sha256,
            "letters": LETTERS,
            "baseline": str(BASELINE),
            "cap_height": str(CAP_HEIGHT),
            "reach": str(REACH),
            "steps": str(self.step_count),
        }

    def _state(self) -> dict[str, Tensor]:
        tensors = {"noise": self._noise.get_state(), "vectors": self._decoding.vectors.detach()}
        tensors |= checkpoints.join(self._decoding.decoder.state_dict(), "decoder")
        tensors |= checkpoints.join(checkpoints.optimiser_state(self._decoding.optimiser), "optimiser.decoding")
        if self._finishing is not None:
            tensors |= checkpoints.join(self._finishing.finisher.state_dict(), "finisher")
            tensors |= checkpoints.join(checkpoints.optimiser_state(self._finishing.optimiser), "optimiser.finishing")
        return tensors

    def _adopt(self, tensors: dict[str, Tensor]) -> None:
        self._noise.set_state(tensors["noise"])
        with torch.no_grad():
            self._decoding.vectors.copy_(tensors["vectors"])
        self._decoding.decoder.load_state_dict(checkpoints.split(tensors, "decoder"))
        state = checkpoints.split(tensors, "optimiser.decoding")
        checkpoints.restore_optimiser(self._decoding.optimiser, state)
        if self._finishing is not None:
            self._finishing.finisher.load_state_dict(checkpoints.split(tensors, "finisher"))
            state = checkpoints.split(tensors, "optimiser.finishing")
            checkpoints.restore_optimiser(self._finishing.optimiser, state)
