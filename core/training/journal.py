"""Training as TensorBoard shows it: scalars and pictures of samples, written beside the catalogue's own metrics."""

from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter


class Journal:
    """A TensorBoard folder of one run. Several journals may write to it one after another, one for each segment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, step: int, name: str, value: float) -> None:
        """Write one value of a curve."""
        self._writer.add_scalar(name, value, step)

    def keep(self, name: str, png: bytes) -> None:
        """Write one picture as a file of its own, for eyes without TensorBoard."""
        (self._folder / f"{name}.png").write_bytes(png)

    def show(self, step: int, name: str, png: bytes) -> None:
        """Write one picture."""
        pixels = np.asarray(Image.open(BytesIO(png)).convert("L"))[None]
        self._writer.add_image(name, pixels, step)

    def close(self) -> None:
        """Flush everything to disk."""
        self._writer.close()
