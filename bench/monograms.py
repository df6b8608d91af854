"""`python -m bench.monograms`: what monograms of the weights that ship measure, and how fast they are made.

Woven pairs are read by `judge-report`, which no gate uses; `judge-select` is the one that gates and ranks.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import safetensors.numpy

from bench.row import Row
from core.errors import ItemError
from core.monogram.export.makeable import Limits, repair
from core.monogram.export.makeable import measure as measure_widths
from core.pipeline import Composer, Drawn, Made
from core.recipe import BLOCK, parse_spec
from core.registry import Layout
from core.shipped import FOLDER, read
from core.storage.weights import check

SEED: Final = 2026
COUNT: Final = 256
MANY: Final = 512
PIXELS: Final = 256
SIDE: Final = 50.0  # mm
MAKEABLE: Final = 64  # variants of each layout: measuring takes a third of a second each
READ: Final = 0.5  # a letter's probability from which on it is read
EQUAL: Final = 1.08  # the widest stem over the thinnest
_LATIN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_UKRAINIAN: Final = "АБВГҐДЕЄЖЗИІЇЙКЛМНОПРСТУФХЦЧШЩЬЮЯ"


def measure() -> list[Row]:
    """Make pairs drawn by lot, Latin and Ukrainian in turn; plain and woven."""
    plain, woven = (_composer(layout, _pairs(128), "judge-report") for layout in (Layout.STRAIGHT, Layout.INTERLACED))
    plain.block(0, BLOCK)  # warm
    rate, _ = _time(_composer(Layout.STRAIGHT, _pairs(128), "judge-select"), MANY)
    search, made = _time(_composer(Layout.INTERLACED, _pairs(128), "judge-select"), COUNT)
    kept = [each for each in made if each.layout is Layout.INTERLACED]
    drawn = {layout: list(_draw(each)) for layout, each in ((Layout.STRAIGHT, plain), (Layout.INTERLACED, woven))}
    crossing = [each for each in drawn[Layout.INTERLACED] if each.composed.layout is Layout.INTERLACED]
    visible = min(float(each.composed.drawing.figures["visible"]) for each in crossing)
    read_by = [each.legibility or 0.0 for each in crossing]
    rows = [
        Row("straight pairs, 256 px, compose to PNG and score", rate, 120, "variants/s", "higher"),
        Row("interlaced pairs, each with its search", search, 5, "variants/s", "higher"),
        Row("pairs with a clean weave", len(kept) / len(made), 0.8, "share", "higher"),
        Row("woven: least visible share of a letter", visible, 0.8, "share", "higher"),
        Row("woven: both letters read by judge-report, ungated", _share(read_by, READ), 0.9, "share", "higher"),
    ]
    for layout, each in drawn.items():
        rows.append(Row(f"{layout}: stems equal within 8 %", _equal(each), 0.95, "share", "higher"))
    for layout, each in drawn.items():
        before, after = _makeable(each[:MAKEABLE])
        rows.append(Row(f"{layout}: makeable at 50 mm, 1.2 mm strokes", before, None, "share", "higher"))
        rows.append(Row(f"{layout}: makeable after thickening", after, 0.95, "share", "higher"))
    return rows


def _composer(layout: Layout, pairs: list[str], judge: str) -> Composer:
    weights = {each.name: each.data for each in read(FOLDER)}
    spec = parse_spec({"letters": pairs, "layout": layout, "size": PIXELS})

    def load(name: str) -> tuple[Any, dict[str, str]]:
        return safetensors.numpy.load(weights[name]), dict(check(weights[name]))

    return Composer(spec, SEED, *load("letters"), "cpu", load(judge))


def _pairs(count: int) -> list[str]:
    """Pairs of different letters by lot, none twice."""
    lot = np.random.default_rng(SEED)
    pairs: dict[str, None] = {}
    while len(pairs) < count:
        letters = (_LATIN, _UKRAINIAN)[len(pairs) % 2]
        pairs["".join(lot.choice(list(letters), 2, replace=False))] = None
    return list(pairs)


def _time(composer: Composer, count: int) -> tuple[float, list[Made]]:
    """Variants a second on all cores, and the variants."""
    began = time.perf_counter()
    made = [item for start in range(0, count, MANY) for item in composer.block(start, min(count, start + MANY))]
    return count / (time.perf_counter() - began), made


def _draw(composer: Composer) -> Iterator[Drawn]:
    for start in range(0, COUNT, BLOCK):
        for item in composer.draw(start, start + BLOCK):
            if isinstance(item, ItemError):
                raise item
            yield item


def _share(values: list[float], least: float) -> float:
    return float(np.mean(np.array(values) >= least))


def _equal(drawn: list[Drawn]) -> float:
    """Share of those with two measured stems in which the widest is at most `EQUAL` of the thinnest."""
    stems = [np.array([stem for stem in each.composed.drawing.stems if np.isfinite(stem)]) for each in drawn]
    return float(np.mean([own.max() / own.min() <= EQUAL for own in stems if len(own) > 1]))


def _makeable(drawn: list[Drawn]) -> tuple[float, float]:
    """Share of what can be made as it is, and after thickening."""
    limits = Limits()
    drawings = [each.composed.drawing for each in drawn]
    before = [measure_widths(each, SIDE).within(limits) for each in drawings]
    after = [good or repair(each, SIDE, limits)[1].within(limits) for good, each in zip(before, drawings, strict=True)]
    return float(np.mean(before)), float(np.mean(after))


def main() -> int:
    """Print the rows as JSON."""
    print(json.dumps([row.as_json() for row in measure()], indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
