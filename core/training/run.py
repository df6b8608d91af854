"""What training runs of all families share: length, clock, metrics, checkpoints. A family says what a step is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from math import ceil, isfinite
from time import perf_counter
from typing import Any, ClassVar, Final, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import JobError
from core.training import checkpoints
from core.training.config import TrainConfig
from core.training.datasets.archive import Dataset

LOG_EVERY: Final = 50  # steps


class Run(ABC):
    """A training run in memory: `start` or `resume` it, `advance` it, take its `checkpoint`, at last its `weights`."""

    guessed_steps: ClassVar[float]  # a second, until measured

    def __init__(self, config: TrainConfig, dataset: Dataset, device: str) -> None:
        """Prepare what depends on the configuration and the dataset alone; a family goes on from here."""
        self.config = config
        self.step_count = 0
        self.device_seconds = 0.0  # of all segments so far
        self._dataset_sha256 = dataset.sha256
        self._device = torch.device(device)
        self._metrics: list[tuple[int, str, float]] = []
        self._logged_at = (0, 0.0)  # step and device-seconds of the last metrics
        self._sums = torch.zeros(len(self._names), device=self._device)

    @classmethod
    def start(cls, config: TrainConfig, dataset: bytes, device: str) -> Self:
        """Begin at step 0 on a packed dataset; raise `JobError` if it cannot be trained on."""
        return cls(config, Dataset.load(dataset), device)

    @classmethod
    def resume(cls, config: TrainConfig, dataset: bytes, device: str, checkpoint: bytes) -> Self:
        """Go on from a checkpoint of the same configuration and dataset; raise `JobError` if it is of another."""
        run = cls.start(config, dataset, device)
        run._restore(*checkpoints.unpack(checkpoint))
        return run

    @property
    @abstractmethod
    def _names(self) -> tuple[str, ...]:
        """What `_sums` add up since the last metrics; each is logged as a mean over steps."""

    @property
    @abstractmethod
    def _steps_an_epoch(self) -> float:
        """Steps that a pass over the dataset takes."""

    @abstractmethod
    def step(self) -> None:
        """Train on one batch: add to `_sums`, and 1 to `step_count`."""

    @abstractmethod
    def samples(self) -> bytes:
        """Return a PNG of what is learnt so far."""

    @abstractmethod
    def weights(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return the tensors that a model version is made of, and what they are."""

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """Return all of the family's tensors that a run goes on from."""

    @abstractmethod
    def _adopt(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `_state` returned."""

    def _observe(self, steps: int, seconds: float) -> Iterator[tuple[str, float]]:
        """Yield what else is worth logging of the last steps."""
        yield "speed/steps", steps / seconds

    def _threads(self) -> AbstractContextManager[None]:
        """Return what `advance` runs under."""
        return one_thread()

    @property
    def total_steps(self) -> int:
        """Steps of the whole run: exact for epochs, an estimate by the speed so far for minutes."""
        if self.config.epochs is not None:
            return max(1, ceil(self.config.epochs * self._steps_an_epoch))
        known = self.device_seconds > 1
        speed = self.step_count / self.device_seconds if known else self.guessed_steps
        return max(self.step_count + (0 if self.finished else 1), round(self._budget * speed))

    @property
    def finished(self) -> bool:
        """Whether the run's epochs or device-seconds are used up."""
        return self.progress >= 1

    @property
    def progress(self) -> float:
        """How far the run has come, from 0 to about 1."""
        if self.config.epochs is not None:
            return self.step_count / self.total_steps
        return self.device_seconds / self._budget

    @property
    def _budget(self) -> float:
        return 60.0 * (1.0 if self.config.minutes is None else self.config.minutes)

    def advance(self, keep_going: Callable[[int], bool]) -> None:
        """Step until the run is finished or `keep_going(step_count)`, asked after every step, says no."""
        before = perf_counter()
        going = True
        with self._threads():
            while going and not self.finished:
                self.step()
                now = perf_counter()
                self.device_seconds += now - before
                before = now
                if self.step_count % LOG_EVERY == 0:
                    self._log()
                going = keep_going(self.step_count)

    def _log(self) -> None:
        """Turn the sums since the last metrics into means; raise `JobError` if one is not a number."""
        steps = self.step_count - self._logged_at[0]
        seconds = max(self.device_seconds - self._logged_at[1], 1e-9)
        for name, value in zip(self._names, (self._sums / steps).tolist(), strict=True):
            if not isfinite(value):
                raise JobError(f"training diverged: {name} is {value} at step {self.step_count}; lower lr")
            self._metrics.append((self.step_count, name, value))
        self._metrics += [(self.step_count, name, value) for name, value in self._observe(steps, seconds)]
        self._sums.zero_()
        self._logged_at = (self.step_count, self.device_seconds)

    def drain_metrics(self) -> list[tuple[int, str, float]]:
        """Return (step, name, value) of everything measured since the last call."""
        drained, self._metrics = self._metrics, []
        return drained

    def checkpoint(self) -> bytes:
        """Return the whole state of the run; raise `JobError` if it is not finite."""
        tensors = self._state()
        checkpoints.check_finite(tensors)
        values = {
            "config": self.config.model_dump(mode="json"),
            "dataset": self._dataset_sha256,
            "step_count": self.step_count,
            "device_seconds": self.device_seconds,
            "logged_at": self._logged_at,
            "threads": torch.get_num_threads(),
        }
        return checkpoints.pack(tensors | {"sums": self._sums}, values)

    def _restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        said, own = (checkpoints.settings(config) for config in (values["config"], self.config.model_dump(mode="json")))
        if said != own or values["dataset"] != self._dataset_sha256:
            raise JobError("the checkpoint is of a run with another configuration or dataset")
        try:
            self._sums = tensors["sums"].to(self._device)
            self._adopt(tensors)
            self.step_count, self.device_seconds = values["step_count"], values["device_seconds"]
            self._logged_at = (values["logged_at"][0], values["logged_at"][1])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise JobError(f"the checkpoint does not fit this run: {error}") from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Give torch one CPU thread: these matrices are small, and on busy cores two made 9 steps a second, one 93."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
