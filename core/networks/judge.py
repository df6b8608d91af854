"""Family `judge`: classifiers that read letters off fields, in two architectures that share no weights and no shape.

`select` serves gates and the choice of models and is called for every generated letter: plain strided convolutions.
`report` only reports: residual blocks (He et al., "Deep residual learning", 2015). A judge sees nothing but the edge
and its neighbourhood, so that fields of every family and resolution look alike to it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.alphabet import HOMOGLYPHS, LETTERS, position
from core.errors import JobError

SIZE: Final = 64
REACH: Final = 1 / 32  # of the canvas: what lies farther from the edge is plain ink or plain ground
_PORTION: Final = 256  # letters at a time

# Every position in LETTERS -> the position of the sign that stands for it among its look-alikes.
_STANDS: Final = torch.tensor([position(HOMOGLYPHS[letter]) for letter in LETTERS])
REPRESENTATIVES: Final = torch.tensor(sorted(set(_STANDS.tolist())))  # [G]
_COLUMN: Final = torch.searchsorted(REPRESENTATIVES, _STANDS)  # position in LETTERS -> column of its group


class Architecture(StrEnum):
    """What a judge is built as, and by it which clusters it may have seen."""

    SELECT = "select"
    REPORT = "report"


class Judge(nn.Module):
    """Reads one letter off each field."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = Architecture(architecture)
        self.body, parts, width = _BODIES[self.architecture]()
        self._parts = parts  # the canvas is cut into parts x parts, each with a mean of its own
        self.out = nn.Linear(width * (parts * parts + 1), len(LETTERS))

    def forward(self, fields: Tensor) -> Tensor:
        """Read fields [N, 1, 64, 64] in canvas units: logits [N, 69], in the order of LETTERS."""
        logits: Tensor = self.out(self.features(fields))
        return logits

    def features(self, fields: Tensor) -> Tensor:
        """Describe fields [N, 1, 64, 64]: [N, F], near for letters of the same shape."""
        seen = (fields / REACH).clamp(-1.0, 1.0).to(memory_format=torch.channels_last)
        found = self.body(seen)
        return torch.cat([F.adaptive_avg_pool2d(found, self._parts).flatten(1), found.amax(dim=(2, 3))], dim=1)

    @staticmethod
    def look(fields: Tensor) -> Tensor:
        """Bring fields [N, 1, H, H] of any size to 64 cells by their values at the cell centres; units stay.

        A distance field is sampled, never averaged over an area: its value at a point is right at every resolution.
        """
        if fields.shape[-1] == SIZE:
            return fields
        mode = "bicubic" if fields.shape[-1] < SIZE else "bilinear"
        return F.interpolate(fields, size=(SIZE, SIZE), mode=mode, align_corners=False)

    def meta(self) -> dict[str, str]:
        """Return what `load` needs beside the weights."""
        return {"family": "judge", "architecture": self.architecture.value, "letters": LETTERS}

    def store(self) -> dict[str, NDArray[Any]]:
        """Return the weights as float16, half the bytes for no other answer: what `load` reads."""
        state = {name: tensor for name, tensor in self.state_dict().items() if tensor.is_floating_point()}
        return {name: tensor.detach().cpu().half().numpy() for name, tensor in state.items()}

    @classmethod
    def load(cls, weights: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> Self:
        """Build a judge from stored weights, ready to read; raise `JobError` if they are not of this shape."""
        try:
            if meta["family"] != "judge":
                raise ValueError(f"their family is {meta['family']}")
            if meta["letters"] != LETTERS:
                raise ValueError("they were trained on another alphabet")
            judge = cls(Architecture(meta["architecture"]))
            state = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in weights.items()}
            judge.load_state_dict(state | _counters(judge))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise JobError(f"these weights are not of a judge: {str(error).splitlines()[0]}") from error
        return judge.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def merge(found: Tensor) -> Tensor:
    """Merge homoglyphs in logits [N, 69] or in labels [N] (integers).

    A group's logit is the log of its members' summed exponentials and stands at its representative; the others are
    -inf. A label becomes its representative's.
    """
    if not found.is_floating_point():
        return _STANDS.to(found.device)[found]
    merged = torch.full_like(found, -torch.inf)
    merged[:, REPRESENTATIVES.to(found.device)] = group_logits(found)
    return merged


def group_logits(logits: Tensor) -> Tensor:
    """Return the logits of the groups of look-alikes [N, G], in the order of `REPRESENTATIVES`."""
    most = logits.detach().amax(dim=1, keepdim=True)
    sums = logits.new_zeros(len(logits), len(REPRESENTATIVES))
    sums = sums.index_add(1, _COLUMN.to(logits.device), (logits - most).exp())
    return sums.clamp(min=torch.finfo(sums.dtype).tiny).log() + most


def group_labels(labels: Tensor) -> Tensor:
    """Return the columns of `group_logits` that labels [N] belong to."""
    return _COLUMN.to(labels.device)[labels]


@torch.inference_mode()
def read(judge: Judge, fields: Tensor) -> Tensor:
    """Return merged logits [N, 69] of fields [N, 1, H, H] of any size, by a judge that is not being trained."""
    portions = [merge(judge(judge.look(portion)).float()) for portion in torch.split(fields, _PORTION)]
    return torch.cat(portions) if portions else fields.new_zeros(0, len(LETTERS))


def accuracy(judge: Judge, fields: Tensor, labels: Tensor) -> Tensor:
    """Say of each field [N, 1, H, H] whether the judge reads it as its label [N], look-alikes counting as one: [N]."""
    return read(judge, fields).argmax(dim=1) == merge(labels)


def _plain() -> tuple[nn.Module, int, int]:
    layers = [_layer(1, 16, 5, 2), _layer(16, 40, 3, 2), _layer(40, 40), _layer(40, 64, 3, 2), _layer(64, 64)]
    return nn.Sequential(*layers), 1, 64


def _residual() -> tuple[nn.Module, int, int]:
    # A first stride of 4 loses nothing, 32 numbers of 16 smooth ones, and trains twice as fast as two strides of 2.
    blocks = [_layer(1, 32, 7, 4), _Block(32, 32), _Block(32, 56, 2), _Block(56, 56)]
    return nn.Sequential(*blocks), 2, 56


class _Block(nn.Module):
    """Two convolutions around which the input is led; a stride is taken by a mean, which keeps thin strokes."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _layer(before, after, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after))
        straight = before == after and stride == 1
        self.skip = nn.Identity() if straight else nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.skip(x))


def _layer(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


def _counters(judge: Judge) -> dict[str, Tensor]:
    """Return the integer entries of a judge's state, which only training counts."""
    return {name: tensor for name, tensor in judge.state_dict().items() if not tensor.is_floating_point()}


_BODIES: Final = {Architecture.SELECT: _plain, Architecture.REPORT: _residual}
