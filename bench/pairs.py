"""Pairs of letters drawn by lot, and the composers that make monograms of them with the weights that ship."""

from typing import Any, Final, TypeVar

import numpy as np
import safetensors.numpy

from core.networks import families
from core.networks.families import Generator
from core.pipeline import Composer
from core.recipe import parse_spec
from core.registry import Layout
from core.shipped import FOLDER, read
from core.storage.weights import check

C = TypeVar("C", bound=Composer)

SEED: Final = 2026
PIXELS: Final = 256
_LATIN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_UKRAINIAN: Final = "АБВГҐДЕЄЖЗИІЇЙКЛМНОПРСТУФХЦЧШЩЬЮЯ"


def pairs(count: int) -> list[str]:
    """Pairs of different letters by lot, Latin and Ukrainian in turn, none twice."""
    lot = np.random.default_rng(SEED)
    found: dict[str, None] = {}
    while len(found) < count:
        letters = (_LATIN, _UKRAINIAN)[len(found) % 2]
        found["".join(lot.choice(list(letters), 2, replace=False))] = None
    return list(found)


def composer(layout: Layout, letters: list[str], judge: str, kind: type[C], **wishes: Any) -> C:
    """Return what makes them with `letters`, gated or read by a judge."""
    spec = {"letters": letters, "layout": layout, "size": PIXELS, **wishes}
    return kind(parse_spec(spec), SEED, *load_shipped("letters"), "cpu", load_shipped(judge))


def compose_shipped(letters: list[str], seed: int, kind: type[C]) -> C:
    """Return what makes the variants that `vyaz generate` makes of letters when nothing else is asked for."""
    judge = load_shipped("judge-select")
    return kind(parse_spec({"letters": letters}), seed, *load_shipped("letters"), "cpu", judge)


def load_shipped(name: str) -> tuple[Any, dict[str, str]]:
    """Return weights that ship, and what they are."""
    data = next(each.data for each in read(FOLDER) if each.name == name)
    return safetensors.numpy.load(data), dict(check(data))


def load_network() -> Generator:
    """Return the network `letters` that ships."""
    return families.load(*load_shipped("letters"), "cpu")
