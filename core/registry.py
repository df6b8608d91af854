"""Names and arity of what may be asked for. The code behind each name lives elsewhere.

Torch-free, so that the API can refuse nonsense; a test holds that each name has exactly one implementation.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class Layout(StrEnum):
    """How the letters of a monogram are placed; implemented in `core/monogram/layouts/`."""

    SINGLE = "single"
    STRAIGHT = "straight"


class Family(StrEnum):
    """Model families; implemented in `core/networks/`."""

    MLP = "mlp"
    STYLE = "style"
    JUDGE = "judge"


class Attribute(StrEnum):
    """What a style may be made more or less of; directions that a family fits to measured letters."""

    WEIGHT = "weight"
    WIDTH = "width"
    SLANT = "slant"
    CONTRAST = "contrast"
    SERIF = "serif"


class DatasetKind(StrEnum):
    """Where letters to train on come from; implemented in `core/training/datasets/`."""

    FONTS = "fonts"
    EMNIST = "emnist"


class EmnistSplit(StrEnum):
    """The parts of EMNIST that hold capitals; read in `core/training/datasets/emnist.py`."""

    LETTERS = "letters"
    BALANCED = "balanced"


class Optimiser(StrEnum):
    """Optimisers by name; implemented in `core/training/optimisers.py`."""

    ADAM = "adam"
    ADAMW = "adamw"
    SGD = "sgd"
    ADAGRAD = "adagrad"
    RMSPROP = "rmsprop"
    ADADELTA = "adadelta"


class Loss(StrEnum):
    """Adversarial losses by name; implemented in `core/training/losses.py`."""

    BCE = "bce"
    LSGAN = "lsgan"
    WGAN_GP = "wgan-gp"
    RELATIVISTIC = "relativistic"


class Arity(NamedTuple):
    """How many letters a layout takes, both ends included."""

    least: int
    most: int


ARITY: Final[dict[Layout, Arity]] = {
    Layout.SINGLE: Arity(1, 1),
    Layout.STRAIGHT: Arity(1, 4),
}


def default_layout(letters: str) -> Layout:
    """Return the layout taken when none is named: one letter stands alone, more stand in a row."""
    return Layout.SINGLE if len(letters) == 1 else Layout.STRAIGHT
