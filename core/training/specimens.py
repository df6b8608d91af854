"""A user's own letters as fields: the parts of an upload that a child process read, put on the canvas."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from core.alphabet import LETTERS, position
from core.errors import EnvironmentFault, Invalid
from core.networks.families import Generator
from core.storage.uploads import UploadKind, recognise
from core.training.datasets import archive
from core.training.datasets.archive import CLAMP, SIZE
from core.training.datasets.parser import REFUSED

READ_SECONDS: Final = 120.0
_WIDEST: Final = 0.92  # of the canvas
_LATENT: Final = 100

_HOME: Final = Path(__file__).resolve().parents[2]
_CHILD_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Specimen:
    """Letters of one style."""

    fields: Tensor  # [n, 1, 128, 128] in canvas units, clamped at 1/16
    labels: Tensor  # [n] positions in LETTERS

    @property
    def letters(self) -> str:
        """The letters in their order."""
        return "".join(LETTERS[label] for label in self.labels.tolist())


def read(data: bytes, name: str, letter: str | None, generator: Generator) -> Specimen:
    """Read a font's letters, or the one letter of a picture, which `letter` names.

    A letter of a picture is as high, and stands where, the generator's mean style has it. Raise `Invalid`, naming the
    file, if it cannot be used.
    """
    kind = recognise(data, name)
    if kind is UploadKind.PICTURE and letter is None:
        raise Invalid(f"{name} is a picture: say which letter it shows")
    arrays = archive.unpack(_read(data, kind, name))
    if kind is UploadKind.FONT:
        fields = torch.from_numpy(arrays["fields"]).float().mul(CLAMP / 127).unsqueeze(1)
        return Specimen(fields, torch.from_numpy(arrays["labels"].astype(np.int64)))
    label = torch.tensor([position(str(letter))])
    field = place(arrays["ink"], _extent(generator, label))
    return Specimen(torch.from_numpy(field)[None, None], label)


def place(ink: NDArray[np.uint8], extent: tuple[float, float]) -> NDArray[np.float32]:
    """Put shares of ink [h, w], cropped to a letter, on the canvas from top to bottom `extent`: a field [128, 128].

    The letter is centred sideways; one too wide for the canvas is made smaller about its middle.
    """
    top, bottom = extent
    height, width = ink.shape
    scale = min((bottom - top) / height, _WIDEST / width)  # canvas a pixel
    margin = int(np.ceil(CLAMP / scale)) + 2
    mask = np.pad(ink, margin) > 127
    # Half a pixel nearer: the edge runs between the pixels.
    inside, outside = (ndimage.distance_transform_edt(side) - 0.5 for side in (mask, ~mask))
    distance = ndimage.gaussian_filter(np.where(mask, inside, -outside), 0.7)
    centre = (np.arange(SIZE) + 0.5) / SIZE
    rows = (centre - (top + bottom) / 2) / scale + height / 2 + margin - 0.5
    columns = (centre - 0.5) / scale + width / 2 + margin - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    sampled = ndimage.map_coordinates(distance, grid, order=1, mode="nearest") * scale
    return np.asarray(sampled.clip(-CLAMP, CLAMP), dtype=np.float32)


def overlap(drawn: Tensor, true: Tensor) -> Tensor:
    """Return the ink of both as a share of the ink of either, [n], of fields [n, 1, h, h] and [n, 1, H, H]."""
    fine = torch.nn.functional.interpolate(drawn.float(), size=true.shape[-2:], mode="bicubic")
    ink, other = (side.flatten(1) > 0 for side in (fine, true))
    return (ink & other).sum(1) / (ink | other).sum(1).clamp(min=1)


@torch.inference_mode()
def _extent(generator: Generator, label: Tensor) -> tuple[float, float]:
    """Return where the mean style's letter begins and ends from top to bottom; a cap's height if it has no ink."""
    field = generator.draw(generator.styles(torch.zeros(1, _LATENT), 0.0), label)
    rows = torch.nonzero((field[0, 0] > 0).any(dim=1)).flatten().tolist()
    size = field.shape[-1]
    return (rows[0] / size, (rows[-1] + 1) / size) if rows else (0.24, 0.76)


def _read(data: bytes, kind: UploadKind, name: str) -> bytes:
    """Have a child process read the file; raise `Invalid`, naming it, for whatever it does not survive."""
    command = [sys.executable, "-m", "core.training.reader", kind.value]
    try:
        child = subprocess.run(
            command, input=data, capture_output=True, timeout=READ_SECONDS, cwd=_HOME, env=_CHILD_ENVIRONMENT
        )
    except subprocess.TimeoutExpired as error:
        raise Invalid(f"{name} takes longer than {READ_SECONDS:g} s to read") from error
    except OSError as error:
        raise EnvironmentFault(f"the reader cannot be started: {error}") from error
    if child.returncode == 0:
        return child.stdout
    lines = child.stderr.decode(errors="replace").strip().splitlines() or [f"status {child.returncode}"]
    if child.returncode == REFUSED:
        raise Invalid(f"{name} cannot be used: {lines[-1][:200]}")
    ended = f"signal {-child.returncode}" if child.returncode < 0 else lines[-1][:200]
    raise Invalid(f"{name} is broken, or hostile: its reader ended with {ended}")
