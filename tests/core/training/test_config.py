"""What a training run may be asked for."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from core.training.config import DatasetConfig, TrainConfig


def test_the_defaults_are_those_of_the_starting_point() -> None:
    config = TrainConfig()

    assert (config.family, config.optimiser, config.loss) == ("mlp", "adam", "bce")
    assert (config.batch, config.seed, config.conditional) == (32, 125, True)


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 1, "minutes": 1},
        {"epochs": 0},
        {"minutes": -1},
        {"minutes": float("nan")},
        {"batch": 0},
        {"seed": 2**53},
        {"betas": (0.5, 1.0)},
        {"optimiser": "magic"},
        {"family": "gpt"},
        {"name": "No Spaces"},
        {"lr": 0},
        {"surprise": 1},
    ],
)
def test_nonsense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainConfig(**values)


def test_a_dataset_without_a_folder_means_the_installed_fonts() -> None:
    assert DatasetConfig().path is None
    with pytest.raises(ValidationError):
        DatasetConfig(kind="paintings")


def test_an_unconditional_run_names_no_styles() -> None:
    assert TrainConfig().anchored
    assert not TrainConfig(conditional=False).anchored
    assert not TrainConfig(anchor=0).anchored


def test_configuration_and_datasets_are_read_without_torch() -> None:
    program = "import core.training.config, core.training.datasets.fonts, core.alphabet, core.registry, sys; "
    program += "sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
