"""A nano on real fonts for a few seconds: letters that a judge, trained on other fonts, reads."""

from dataclasses import dataclass

import pytest
import safetensors.numpy
import torch

from core.alphabet import LETTERS
from core.networks.judge import Judge, accuracy
from core.networks.style import Generator
from core.registry import Family
from core.shipped import FOLDER
from core.storage.weights import check
from core.training.config import DatasetConfig, TrainConfig
from core.training.datasets import fonts
from core.training.datasets.archive import Dataset
from core.training.metrics.reconstruction import overlap
from core.training.style.run import ARCHITECTURES, Run
from core.training.survey import units

STYLES = 8


@dataclass
class Look:
    """What is drawn at one moment of the training."""

    legibility: float  # share of new letters read
    overlap: float  # with letters trained on


@pytest.fixture(scope="module")
def looks() -> tuple[Look, Look, Look]:
    """Before anything is learnt, at the first step, at the end."""
    sources = [source for source in fonts.sources(DatasetConfig()) if source.path.stem.endswith("Regular")][:8]
    dataset = fonts.merge(fonts.parse_all(sources)).data
    data = (FOLDER / "judge-select.safetensors").read_bytes()
    judge = Judge.load(safetensors.numpy.load(data), check(data))
    run = Run.start(TrainConfig(family=Family.STYLE, architecture="nano", epochs=80), dataset, "cpu")
    blank = Look(read(Generator(ARCHITECTURES["nano"]), judge), 0.0)
    run.step()
    first = look(run, judge, Dataset.load(dataset))
    run.advance(lambda _: True)
    return blank, first, look(run, judge, Dataset.load(dataset))


@torch.inference_mode()
def read(generator: Generator, judge: Judge) -> float:
    z = torch.randn(STYLES, 100, generator=torch.Generator().manual_seed(0))
    letters = torch.arange(len(LETTERS)).repeat(STYLES)
    drawn = generator.draw(generator.styles(z, 1.0).repeat_interleave(len(LETTERS), 0), letters)
    return float(accuracy(judge, drawn, letters).float().mean())


@torch.inference_mode()
def look(run: Run, judge: Judge, dataset: Dataset) -> Look:
    generator = run.generator()
    table = run._table
    rows = torch.arange(0, len(table), 7)
    letters = torch.tensor([int((generator.decoder.head_of == head).nonzero()[0]) for head in table.heads[rows]])
    drawn = generator.draw(run._decoding.vectors[table.styles[rows]], letters)
    return Look(read(generator, judge), float(overlap(drawn, units(table.fields[rows].numpy())).mean()))


def test_legibility_rises_from_nothing_to_nearly_all(looks: tuple[Look, Look, Look]) -> None:
    blank, _, end = looks

    assert blank.legibility < 0.1
    assert end.legibility > 0.9


def test_letters_come_nearer_to_those_of_the_fonts(looks: tuple[Look, Look, Look]) -> None:
    _, first, end = looks

    assert end.overlap > first.overlap + 0.005
    assert end.overlap > 0.9
