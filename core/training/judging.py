"""Training of family `judge`: letters of the clusters of one role, distorted anew each time, and their names.

Nothing depends on how long a run will be: the learning rate falls with the root of the steps taken, and what is kept
is an average over about the last seventh of them ("power function EMA"; Karras et al., "Analyzing and improving the
training dynamics of diffusion models", 2024). So a run may stop at any segment, and a resumed run equals an
uninterrupted one bit for bit, on a CPU at one thread count.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from math import sqrt
from typing import Any, Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, optim

from core.errors import JobError
from core.networks import judge as judges
from core.networks.judge import Architecture, Judge
from core.registry import Family
from core.training import checkpoints, run
from core.training.config import ARCHITECTURES, TrainConfig
from core.training.datasets.archive import CLAMP, Dataset
from core.training.datasets.split import check, split
from core.training.distortions import Distortion, distort
from core.training.samples import draw_grid

METRICS: Final = ("loss/judge", "accuracy/distorted")
BATCH: Final = 128  # letters a step, where a caller does not say
MOST_MINUTES: Final = 60.0  # of a judge that is trained for steps
LOOK_EVERY: Final = 500  # steps between two looks at unseen letters
_UNSEEN: Final = 1024
_RATE: Final = 3e-3
_WARM: Final = 100  # steps
_FALL: Final = 2000.0  # steps after which the learning rate falls
_DECAY: Final = 0.05
_SMOOTHING: Final = 0.05  # some display glyphs are not the letter they are said to be
_GAMMA: Final = 6.0
_EMA_EVERY: Final = 4
_COLUMNS: Final = 16
_PORTION: Final = 512


class Run(run.Run):
    """A run of family `judge`."""

    guessed_steps = 5.0

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        device: str,
        architecture: Architecture,
        seen: NDArray[np.bool_],
    ) -> None:
        """Prepare training on the styles [S] that may be seen; raise `JobError` if they have no letters."""
        super().__init__(config, dataset, device)
        self._letters = Letters(dataset, np.flatnonzero(seen[dataset.styles]), self._device)
        self._unseen = Letters(dataset, _choose(dataset, ~seen, config.seed), self._device)
        if not len(self._letters.labels):
            raise JobError(f"none of the dataset's {len(dataset.labels)} letters is of a cluster that a judge may see")
        self._batch = min(config.batch, len(self._letters.labels))
        self._judge = _build(architecture, config.seed).to(self._device)
        self._ema = deepcopy(self._judge).requires_grad_(False).eval()
        self._optimiser = _make_optimiser(self._judge, config)
        self._draws = torch.Generator(self._device).manual_seed(config.seed)

    @classmethod
    def start(cls, config: TrainConfig, dataset: bytes, device: str) -> Self:
        """Begin at step 0 on a packed dataset; raise `JobError` if it cannot be trained on."""
        loaded = Dataset.load(dataset)
        check(loaded)
        architecture = choose_architecture(config)
        return cls(config, loaded, device, architecture, np.asarray(split(loaded)) == architecture.value)

    @property
    def _names(self) -> tuple[str, ...]:
        return METRICS

    @property
    def _steps_an_epoch(self) -> float:
        return len(self._letters.labels) / self._batch

    def _observe(self, steps: int, seconds: float) -> Iterator[tuple[str, float]]:
        yield "speed/images", self._batch * steps / seconds
        if self.step_count % LOOK_EVERY == 0 and len(self._unseen.labels):
            fields, labels = self._unseen.all()
            yield "accuracy/unseen", float(judges.accuracy(self._ema, fields, labels).float().mean())

    def step(self) -> None:
        """Train on one batch, drawn by weight and distorted."""
        fields, strokes, labels = self._letters.draw(self._batch, self._draws)
        fields = distort(fields, strokes, self._draws, Distortion())
        with self._precision():
            logits = self._judge(fields).float()
        merged, wanted = judges.group_logits(logits), judges.group_labels(labels)
        loss = F.cross_entropy(merged, wanted, label_smoothing=_SMOOTHING)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        self._optimiser.step()
        self._sums += torch.stack([loss.detach(), (merged.argmax(dim=1) == wanted).float().mean()])
        self.step_count += 1
        self._average()

    def _rate(self) -> float:
        usual = self.config.lr if self.config.lr is not None else _RATE
        return usual * min(1.0, (self.step_count + 1) / _WARM) / sqrt(max(1.0, self.step_count / _FALL))

    def _average(self) -> None:
        """Move the average, running statistics included, towards the judge; every few steps for all."""
        updates, rest = divmod(self.step_count, _EMA_EVERY)
        if rest:
            return
        share = 1 - (1 - 1 / updates) ** (_GAMMA + 1)
        own, latest = (_floats(network) for network in (self._ema, self._judge))
        torch._foreach_lerp_(list(own.values()), list(latest.values()), share)

    def _precision(self) -> AbstractContextManager[object]:
        able = self._device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
        wanted = able if self.config.precision == "auto" else self.config.precision == "bf16"
        return torch.autocast(self._device.type, torch.bfloat16) if wanted else nullcontext()

    def samples(self) -> bytes:
        """Return a PNG of unseen letters, those first that the judge finds least like what they are said to be."""
        letters = self._unseen if len(self._unseen.labels) else self._letters
        fields, labels = letters.all()
        found = judges.read(self._ema, fields).log_softmax(dim=1)
        sure = found.gather(1, judges.merge(labels)[:, None])[:, 0]
        worst = sure.argsort(stable=True)[: _COLUMNS * _COLUMNS // 2]
        return draw_grid(fields[worst[: len(worst) // _COLUMNS * _COLUMNS]], _COLUMNS, 64)

    def judge(self) -> Judge:
        """Return the averaged judge as its stored weights make it."""
        return Judge.load(*self.weights())

    def weights(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return what judging needs: the averaged judge's tensors as float16, and what they are."""
        checkpoints.check_finite(self._ema.state_dict())
        meta = self._ema.meta() | {"dataset": self._dataset_sha256, "steps": str(self.step_count)}
        return self._ema.store(), meta

    def _state(self) -> dict[str, Tensor]:
        tensors = {"draws": self._draws.get_state()}
        tensors |= checkpoints.join(self._judge.state_dict(), "judge")
        tensors |= checkpoints.join(self._ema.state_dict(), "ema")
        return tensors | checkpoints.join(checkpoints.optimiser_state(self._optimiser), "optimiser")

    def _adopt(self, tensors: dict[str, Tensor]) -> None:
        self._draws.set_state(tensors["draws"])
        self._judge.load_state_dict(checkpoints.split(tensors, "judge"))
        self._ema.load_state_dict(checkpoints.split(tensors, "ema"))
        checkpoints.restore_optimiser(self._optimiser, checkpoints.split(tensors, "optimiser"))


class Letters:
    """Rows of a dataset as a judge sees them: bytes at 64 cells, drawn so that no design and no letter prevails."""

    def __init__(self, dataset: Dataset, rows: NDArray[np.int64], device: torch.device) -> None:
        """Hold these rows, drawn by their style's weight and the root of how many rows their letter has."""
        styles = torch.from_numpy(dataset.styles[rows])
        self._fields = _shrink(dataset.fields, rows).to(device)
        self._strokes = torch.from_numpy(dataset.strokes)[styles].to(device)
        self.labels = torch.from_numpy(dataset.labels[rows]).to(device)
        groups = judges.group_labels(self.labels.cpu())
        weights = torch.from_numpy(dataset.weigh())[styles] * groups.bincount()[groups].double().rsqrt()
        self._ladder = weights.cumsum(0).to(device)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return fields [count, 1, 64, 64], the thinnest strokes of their styles and their labels."""
        height = torch.rand(count, generator=generator, device=self.labels.device, dtype=torch.float64)
        rows = torch.searchsorted(self._ladder, height * self._ladder[-1]).clamp(max=len(self._ladder) - 1)
        return self._decode(self._fields[rows]), self._strokes[rows], self.labels[rows]

    def all(self) -> tuple[Tensor, Tensor]:
        """Return every field [N, 1, 64, 64] and its label."""
        return self._decode(self._fields), self.labels

    @staticmethod
    def _decode(fields: Tensor) -> Tensor:
        return fields.float() * (CLAMP / 127)


def train_judge(
    dataset: Dataset,
    roles: NDArray[Any],
    architecture: Architecture,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 125,
) -> Judge:
    """Train a judge on the styles whose role [S] is named like its architecture, for seconds or steps, or both.

    Only steps give the same judge on every machine, and on a busy one.
    """
    built = Architecture(architecture)
    minutes = MOST_MINUTES if seconds is None else seconds / 60
    config = TrainConfig(
        name="judge", family=Family.JUDGE, architecture=built.value, minutes=minutes, batch=BATCH, seed=seed
    )
    run = Run(config, dataset, "cpu", built, np.asarray(roles) == built.value)
    run.advance(lambda step: steps is None or step < steps)
    return run.judge()


def choose_architecture(config: TrainConfig) -> Architecture:
    """Return the architecture that a configuration asks for."""
    return Architecture(config.architecture or ARCHITECTURES[Family.JUDGE][0])


def _build(architecture: Architecture, seed: int) -> Judge:
    """Initialise by the seed alone, on the CPU, so that every device begins alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Judge(architecture)


def _make_optimiser(judge: Judge, config: TrainConfig) -> optim.Optimizer:
    """AdamW; biases and the scales of normalisation do not decay."""
    matrices = [parameter for parameter in judge.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in judge.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}]
    return optim.AdamW(groups, lr=_RATE, betas=(0.9, 0.99), fused=True)


def _floats(judge: Judge) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in judge.state_dict().items() if tensor.is_floating_point()}


def _choose(dataset: Dataset, styles: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Choose a few rows of these styles, always the same ones."""
    rows = np.flatnonzero(styles[dataset.styles])
    return np.sort(np.random.default_rng(seed).permutation(rows)[:_UNSEEN])


def _shrink(fields: NDArray[np.int8], rows: NDArray[np.int64]) -> Tensor:
    """Bring rows to 64 cells, a portion at a time: a whole dataset at 128 in float32 is gigabytes."""
    shrunk = torch.empty(len(rows), 1, judges.SIZE, judges.SIZE, dtype=torch.int8)
    for start in range(0, len(rows), _PORTION):
        chosen = torch.from_numpy(fields[rows[start : start + _PORTION]])
        shrunk[start : start + _PORTION] = Judge.look(chosen.float()[:, None]).round().to(torch.int8)
    return shrunk
