"""One door to training, whatever the family: a run is started or resumed, and goes from checkpoint to checkpoint."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, Self

from numpy.typing import NDArray

from core.registry import Family
from core.training import judging, loop
from core.training.config import TrainConfig
from core.training.style import run as style


class Run(Protocol):
    """A training run in memory: `advance` it, take its `checkpoint`, at last its `weights`."""

    step_count: int
    device_seconds: float  # of all segments so far

    @classmethod
    def start(cls, config: TrainConfig, dataset: bytes, device: str) -> Self:
        """Begin at step 0 on a packed dataset; raise `JobError` if it cannot be trained on."""
        ...

    @classmethod
    def resume(cls, config: TrainConfig, dataset: bytes, device: str, checkpoint: bytes) -> Self:
        """Go on from a checkpoint of the same configuration and dataset; raise `JobError` if it is of another."""
        ...

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, an estimate where its length is in minutes."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the run's epochs or device-seconds are used up."""
        ...

    def advance(self, keep_going: Callable[[int], bool]) -> None:
        """Step until the run is finished or `keep_going(step_count)`, asked after every step, says no."""
        ...

    def drain_metrics(self) -> list[tuple[int, str, float]]:
        """Return (step, name, value) of everything measured since the last call."""
        ...

    def samples(self) -> bytes:
        """Return a PNG of what is learnt so far."""
        ...

    def weights(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return the tensors that a model version is made of, and what they are."""
        ...

    def checkpoint(self) -> bytes:
        """Return the whole state; raise `JobError` if it is not finite."""
        ...


_RUNS: Final[Mapping[Family, type[Run]]] = {
    Family.MLP: loop.Run,
    Family.STYLE: style.Run,
    Family.JUDGE: judging.Run,
}


def start(config: TrainConfig, dataset: bytes, device: str) -> Run:
    """Begin a run of the configuration's family."""
    return _RUNS[config.family].start(config, dataset, device)


def resume(config: TrainConfig, dataset: bytes, device: str, checkpoint: bytes) -> Run:
    """Go on with a run of the configuration's family."""
    return _RUNS[config.family].resume(config, dataset, device, checkpoint)
