"""Names and arity of what may be asked for. The code behind each name lives elsewhere.

Torch-free, so that the API can refuse nonsense; a test holds that each name has exactly one implementation.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class Layout(StrEnum):
    """How the letters of a monogram are placed; implemented in `core/monogram/layouts/`."""

    SINGLE = "single"
    STRAIGHT = "straight"
    STACKED = "stacked"
    TRADITIONAL = "traditional"
    INTERLACED = "interlaced"
    CIRCLE = "circle"
    FRAMED = "framed"
    MIRRORED = "mirrored"
    VYAZ = "vyaz"


class Frame(StrEnum):
    """What may stand around a monogram; drawn in `core/monogram/frames.py`."""

    CIRCLE = "circle"
    DOUBLE = "double"
    OVAL = "oval"
    SQUARE = "square"
    DIAMOND = "diamond"
    HEXAGON = "hexagon"
    OCTAGON = "octagon"
    SHIELD = "shield"
    LAUREL = "laurel"
    BAND = "band"


class Ornament(StrEnum):
    """What may be done to the letters of a monogram; drawn in `core/monogram/ornaments.py`."""

    OUTLINE = "outline"
    INLINE = "inline"
    STENCIL = "stencil"
    SHADE = "shade"
    WEDGE = "wedge"
    BALL = "ball"
    SPUR = "spur"
    SPLIT = "split"


class Format(StrEnum):
    """What a variant may be exported as; written in `core/monogram/export/`."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"
    DXF = "dxf"


class Order(StrEnum):
    """How the letters of a group are given, and so how a layout with a chief letter shows them."""

    SHOWN = "shown"  # as they are to be seen, from left to right
    WESTERN = "western"  # given name, middle name, surname
    UKRAINIAN = "ukrainian"  # surname, given name, patronymic


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
    Layout.STACKED: Arity(2, 4),
    Layout.TRADITIONAL: Arity(3, 3),
    Layout.INTERLACED: Arity(2, 3),
    Layout.CIRCLE: Arity(2, 3),
    Layout.FRAMED: Arity(1, 4),
    Layout.MIRRORED: Arity(1, 1),
    Layout.VYAZ: Arity(2, 12),
}

# Layouts that give one letter the chief place, the middle of three: who has it stands there whatever the order.
CHIEF: Final = frozenset({Layout.TRADITIONAL, Layout.CIRCLE})


def arrange(letters: str, layout: Layout, order: Order) -> str:
    """Return the letters in the order in which a layout shows them: the surname of three in the middle, if it is chief.

    Elsewhere they are read as they are written.
    """
    if order is Order.SHOWN or layout not in CHIEF or len(letters) != 3:
        return letters
    places = (0, 2, 1) if order is Order.WESTERN else (1, 0, 2)
    return "".join(letters[place] for place in places)


def default_layout(letters: str) -> Layout:
    """Return the layout taken when none is named: one letter stands alone, more stand in a row."""
    return Layout.SINGLE if len(letters) == 1 else Layout.STRAIGHT
