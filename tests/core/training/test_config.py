"""What a training run may be asked for."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from core.registry import Family
from core.training.config import DatasetConfig, TrainConfig


def test_the_default_is_a_style_model_and_the_starting_point_has_its_own_defaults() -> None:
    assert TrainConfig().family == "style"
    config = TrainConfig(family=Family.MLP)

    assert (config.optimiser, config.loss) == ("adam", "bce")
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
        {"family": "style", "architecture": "huge"},
        {"family": "mlp", "architecture": "nano"},
        {"family": "style", "loss": "lsgan"},
        {"family": "style", "batch": 64},
        {"family": "judge", "anchor": 0},
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
    assert TrainConfig(family=Family.MLP).anchored
    assert not TrainConfig(family=Family.MLP, conditional=False).anchored
    assert not TrainConfig(family=Family.MLP, anchor=0).anchored


def test_configuration_and_datasets_are_read_without_torch() -> None:
    program = "import core.training.config, core.training.datasets.fonts, core.alphabet, core.registry, sys; "
    program += "sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
