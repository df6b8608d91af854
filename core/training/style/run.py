"""A training run of family `style`, from checkpoint to checkpoint: first the decoder, then the finisher.

The sampler and the directions of attributes are found from the fonts' style vectors when the weights are taken. On a
CPU, at one thread count, a resumed run equals an uninterrupted one bit for bit.
"""

from collections.abc import Callable
from math import ceil, isfinite
from time import perf_counter
from typing import Any, Final, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT, LETTERS
from core.errors import JobError
from core.networks.style import REACH, Architecture, Decoder, Finisher, Generator
from core.training import checkpoints
from core.training.config import TrainConfig
from core.training.datasets import split
from core.training.datasets.archive import Dataset
from core.training.loop import one_thread
from core.training.samples import STYLES, draw_alphabets
from core.training.style import attributes, basis, framing, sampling
from core.training.style.decoding import Decoding
from core.training.style.finishing import Finishing
from core.training.style.tables import Table

ARCHITECTURES: Final = {
    "default": Architecture(),
    "nano": Architecture(style=128, hidden=128, coefficients=32, basis=128, prototypes=128, channels=0),
}
LOG_EVERY: Final = 50
_DECODING: Final = 0.45  # of the run, where there is a finisher
_STEPS_AN_EPOCH: Final = 300  # letters a step, on both stages about the same
_LR: Final = {"decoding": 1e-3, "finishing": 2e-3}
_PSI: Final = 0.8
_GUESSED_STEPS: Final = 15.0  # a second, until measured


class Run:
    """A training run in memory; the interface is that of `core.training.loop.Run`."""

    def __init__(self, config: TrainConfig, dataset: Dataset, device: str) -> None:
        """Prepare everything that depends on the configuration and the dataset alone."""
        split.check(dataset)
        self.config = config
        self.step_count = 0
        self.device_seconds = 0.0
        self._dataset_sha256 = dataset.sha256
        self._architecture = ARCHITECTURES[config.architecture or "default"]
        chosen = split.split(dataset) == split.Role.TRAIN
        self._table = Table.of(dataset, chosen, dataset.weigh())
        self._framed = framing.frame(self._table)
        self._noise = torch.Generator().manual_seed(config.seed)
        self._metrics: list[tuple[int, str, float]] = []
        self._sum, self._logged_at = 0.0, (0, 0.0)
        beginning = basis.find(self._table, self._framed, self._architecture, config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            decoder = Decoder(self._architecture)
            finisher = Finisher(self._architecture) if self._architecture.channels else None
        beginning.prepare(decoder)
        lr = config.lr or _LR["decoding"]
        self._decoding = Decoding(decoder, self._table, self._framed, beginning, lr)
        self._finishing = Finishing(finisher, decoder, self._table, _LR["finishing"]) if finisher else None

    @classmethod
    def start(cls, config: TrainConfig, dataset: bytes, device: str) -> Self:
        """Begin at step 0 on a packed dataset; raise `JobError` if it cannot be trained on."""
        return cls(config, Dataset.load(dataset), device)

    @classmethod
    def resume(cls, config: TrainConfig, dataset: bytes, device: str, checkpoint: bytes) -> Self:
        """Go on from a checkpoint of the same configuration and dataset; raise `JobError` if it is of another."""
        run = cls(config, Dataset.load(dataset), device)
        run._restore(*checkpoints.unpack(checkpoint))
        return run

    @property
    def total_steps(self) -> int:
        """Steps of the whole run: exact for epochs, an estimate by the speed so far for minutes."""
        if self.config.epochs is not None:
            return max(2, ceil(self.config.epochs * len(self._table) / _STEPS_AN_EPOCH))
        speed = self.step_count / self.device_seconds if self.device_seconds > 1 else _GUESSED_STEPS
        return max(self.step_count + (0 if self.finished else 1), round(self._budget * speed))

    @property
    def finished(self) -> bool:
        """Whether the run's epochs or device-seconds are used up."""
        return self._progress >= 1

    @property
    def _budget(self) -> float:
        return 60.0 * (1.0 if self.config.minutes is None else self.config.minutes)

    @property
    def _progress(self) -> float:
        if self.config.epochs is not None:
            return self.step_count / self.total_steps
        return self.device_seconds / self._budget

    def advance(self, keep_going: Callable[[int], bool]) -> None:
        """Step until the run is finished or `keep_going(step_count)`, asked after every step, says no."""
        before = perf_counter()
        going = True
        while going and not self.finished:
            self.step()
            now = perf_counter()
            self.device_seconds += now - before
            before = now
            if self.step_count % LOG_EVERY == 0:
                self._log()
            going = keep_going(self.step_count)

    def step(self) -> None:
        """Train whatever stage the run is in on one batch."""
        until = _DECODING if self._finishing else 1.0
        progress = self._progress
        if self._finishing is None or progress < until:
            with one_thread():  # small matrices; the finisher's convolutions gain by more
                self._sum += self._decoding.step(progress / until, self._noise)
        else:
            vectors = self._decoding.vectors.detach()
            self._sum += self._finishing.step((progress - until) / (1 - until), vectors, self._noise)
        self.step_count += 1

    def _log(self) -> None:
        steps = self.step_count - self._logged_at[0]
        mean = self._sum / steps
        stage = "finishing" if self._finishing and self._progress >= _DECODING else "decoding"
        if not isfinite(mean):
            raise JobError(f"training diverged: the loss of {stage} is {mean} at step {self.step_count}; lower lr")
        seconds = max(self.device_seconds - self._logged_at[1], 1e-9)
        self._metrics += [(self.step_count, f"loss/{stage}", mean), (self.step_count, "speed/steps", steps / seconds)]
        self._sum, self._logged_at = 0.0, (self.step_count, self.device_seconds)

    def drain_metrics(self) -> list[tuple[int, str, float]]:
        """Return (step, name, value) of everything measured since the last call."""
        drained, self._metrics = self._metrics, []
        return drained

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

    def checkpoint(self) -> bytes:
        """Return the whole state of the run; raise `JobError` if it is not finite."""
        tensors = {"noise": self._noise.get_state(), "vectors": self._decoding.vectors.detach()}
        tensors |= checkpoints.join(self._decoding.decoder.state_dict(), "decoder")
        tensors |= checkpoints.join(checkpoints.optimiser_state(self._decoding.optimiser), "optimiser.decoding")
        if self._finishing is not None:
            tensors |= checkpoints.join(self._finishing.finisher.state_dict(), "finisher")
            tensors |= checkpoints.join(checkpoints.optimiser_state(self._finishing.optimiser), "optimiser.finishing")
        checkpoints.check_finite(tensors)
        values = {
            "config": self.config.model_dump(mode="json"),
            "dataset": self._dataset_sha256,
            "step_count": self.step_count,
            "device_seconds": self.device_seconds,
            "sum": self._sum,
            "logged_at": self._logged_at,
            "threads": torch.get_num_threads(),
        }
        return checkpoints.pack(tensors, values)

    def _restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        said, own = (checkpoints.settings(config) for config in (values["config"], self.config.model_dump(mode="json")))
        if said != own or values["dataset"] != self._dataset_sha256:
            raise JobError("the checkpoint is of a run with another configuration or dataset")
        try:
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
            self.step_count, self.device_seconds = values["step_count"], values["device_seconds"]
            self._sum, self._logged_at = values["sum"], (values["logged_at"][0], values["logged_at"][1])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise JobError(f"the checkpoint does not fit this run: {error}") from error
