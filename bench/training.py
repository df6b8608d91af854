"""Training `mlp` with `Run`, against the loop that tutorials teach: the same networks, letters and batch, one process.

The peer is what most MNIST GAN repositories run: a torchvision-style dataset that makes a PIL image of every item,
`ToTensor` and `Normalize` per image, a `DataLoader` in the same process, and one step after another as in PyTorch's own
DCGAN tutorial: the discriminator on real images, then on generated ones, then the generator; plain Adam.
Both train in turns, so that a busy machine slows both.
"""

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench.row import Row
from core.alphabet import LETTERS
from core.networks import mlp
from core.registry import Family
from core.training.config import TrainConfig
from core.training.datasets import archive
from core.training.datasets.outlines import measure as measure_field
from core.training.loop import Run
from core.training.run import one_thread
from core.training.views import View, view

BATCH: Final = 32
ROUNDS: Final = 7
SECONDS: Final = 1.5
STYLES: Final = 24
GOAL: Final = 2.0


class Pictures(Dataset[tuple[Tensor, int]]):
    """Letters as torchvision's own datasets hold digits: bytes, made a PIL image and transformed one by one."""

    def __init__(self, seen: View) -> None:
        self._data = ((seen.images[:, 0] + 1) * 127.5).round().byte()
        self._targets = seen.labels
        self._transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = self._data[index], int(self._targets[index])
        return self._transform(Image.fromarray(image.numpy())), target


def measure() -> list[Row]:
    """Return the images a second of both, and their ratio."""
    packed = _letters().pack()
    run = Run.start(TrainConfig(family=Family.MLP, minutes=60, batch=BATCH), packed, "cpu")
    peer = _teach(view(archive.Dataset.load(packed), mlp.SIZE, mlp.REACH))
    ours, theirs = [], []
    # Both on one thread, as we train. On quiet cores a second one gives the peer 5 % more, on busy ones it costs most.
    with one_thread():
        for _ in range(ROUNDS + 1):
            ours.append(_rate(run.step))
            theirs.append(_rate(lambda: next(peer)))
    # The first round warms both up.
    rates = [median(rates[1:]) for rates in (ours, theirs)]
    return [
        Row("training, mlp at batch 32, against the tutorial loop", rates[0] / rates[1], GOAL, "x its rate", "higher"),
        Row("training, mlp at batch 32", rates[0], None, "images/s", "higher"),
        Row("training, the tutorial loop", rates[1], None, "images/s", "higher"),
    ]


def _rate(step: Callable[[], object]) -> float:
    start = perf_counter()
    steps = 0
    while perf_counter() - start < SECONDS:
        step()
        steps += 1
    return steps * BATCH / (perf_counter() - start)


def _teach(seen: View) -> Iterator[None]:
    """The tutorial's loop, one optimisation step a time."""
    torch.manual_seed(125)
    architecture = mlp.Architecture(styles=seen.count)
    generator, discriminator = mlp.Generator(architecture), mlp.Discriminator(architecture)
    optimise_generator = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimise_discriminator = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader = DataLoader(Pictures(seen), batch_size=BATCH, shuffle=True, num_workers=0, drop_last=True)
    criterion = torch.nn.BCEWithLogitsLoss()
    while True:
        for images, letters in loader:
            ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
            optimise_discriminator.zero_grad()
            loss_real = criterion(discriminator(images, letters), ones)
            torch.autograd.backward(loss_real)
            fake = generator(torch.randn(BATCH, mlp.LATENT), letters)
            loss_fake = criterion(discriminator(fake.detach(), letters), zeros)
            torch.autograd.backward(loss_fake)
            optimise_discriminator.step()
            optimise_generator.zero_grad()
            loss = criterion(discriminator(fake, letters), ones)
            torch.autograd.backward(loss)
            optimise_generator.step()
            [value.item() for value in (loss_real, loss_fake, loss)]  # for the tutorial's progress line
            yield


def _letters() -> archive.Dataset:
    """All letters in a few styles: frames of several strokes and widths, since speed does not depend on their shape."""
    fields = []
    for style in range(STYLES):
        for place in range(len(LETTERS)):
            half, stroke = 0.12 + 0.002 * place, 0.06 + 0.002 * style
            outer = _box(0.5 - half, 0.24, 0.5 + half, 0.76)
            inner = _box(0.5 - half + stroke, 0.24 + stroke, 0.5 + half - stroke, 0.76 - stroke)
            field = measure_field(np.concatenate([outer, inner[::-1, [2, 3, 0, 1]]]), archive.SIZE, archive.CLAMP)
            fields.append(np.rint(field / archive.CLAMP * 127).astype(np.int8))
    count = len(fields)
    return archive.Dataset(
        fields=np.stack(fields),
        labels=np.tile(np.arange(len(LETTERS)), STYLES),
        styles=np.repeat(np.arange(STYLES), len(LETTERS)),
        clusters=np.zeros(STYLES, dtype=np.int64),
        strokes=np.full(STYLES, 0.06, dtype=np.float32),
        advances=np.full(count, 0.5, dtype=np.float32),
        bearings=np.zeros((count, 2), dtype=np.float32),
        style_names=tuple(f"Frames {style}" for style in range(STYLES)),
        licences=("CC0-1.0",) * STYLES,
        report=archive.Report(),
    )


def _box(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return np.hstack([corners, np.roll(corners, -1, axis=0)])
