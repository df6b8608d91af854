"""One door to training, whatever the family."""

from collections.abc import Mapping
from typing import Final

from core.registry import Family
from core.training import judging, loop
from core.training.config import TrainConfig
from core.training.run import Run
from core.training.style import run as style

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
