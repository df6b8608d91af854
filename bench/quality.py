"""`python -m bench.quality`: what the shipped letters measure, beside their goals and beside the starting point.

The real letters come from `--dataset FILE.npz`, a dataset version as the store keeps it: for the figures of the model
card that of docs/data.md. Without it the installed font packages are read; no weights that ship were trained on those
files, but some of the families are the same, and nothing tells training fonts from held ones. `mlp` is trained
for a minute on the same letters. Models are measured side by side, one on each core.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import safetensors.numpy
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from core.alphabet import LETTERS
from core.networks import families
from core.networks.families import Generator
from core.networks.judge import Judge
from core.registry import Family
from core.shipped import FOLDER
from core.storage.weights import check
from core.training import runs
from core.training.config import DatasetConfig, TrainConfig
from core.training.datasets import fonts
from core.training.datasets.archive import Dataset
from core.training.datasets.split import Role, split
from core.training.evaluation import OUTLINES, Outlines, evaluate
from core.training.inversion import invert

OUT: Final = Path("out/bench")
STYLES: Final = 40
FITTED: Final = 8
STEPS: Final = 200
ROWS: Final = 200
EDGES: Final = 480
MLP: Final = "mlp"


@dataclass(frozen=True)
class Goal:
    """A line of the table: a figure and what it should reach, for `letters` and for `letters-nano`."""

    figure: str
    name: str
    better: Literal["higher", "lower"]
    default: float | None
    nano: float | None


GOALS: Final = (
    Goal("judge_real", "judge on real letters it has not seen", "higher", 0.97, 0.97),
    Goal("legibility", "legibility at the default psi", "higher", 0.97, 0.94),
    Goal("legibility_psi1", "legibility at psi 1", "higher", 0.93, 0.88),
    Goal("worst_letter", "worst letter", "higher", 0.88, 0.75),
    Goal("parts_gap", "parts: real less drawn", "lower", 0.01, 0.04),
    Goal("reconstruction_train", "reconstruction IoU, training fonts", "higher", 0.93, 0.85),
    Goal("reconstruction_held", "reconstruction IoU, held fonts", "higher", 0.85, 0.80),
    Goal("edge_residual_ratio", "edge residual against outlines, at most", "lower", 1.3, 1.6),
    Goal("edge_residual_ratio", "edge residual against outlines, at least", "higher", 0.8, 0.7),
    Goal("corner_ratio", "corner sharpness against outlines", "higher", 0.85, None),
    Goal("tesseract_ratio", "Tesseract's errors against real rows", "lower", 1.5, 2.5),
    Goal("style_consistency_ratio", "style consistency against fonts", "lower", 1.2, 1.4),
    Goal("copies", "copies above the rate of held fonts", "lower", 0.01, 0.01),
    Goal("copies_control", "copies: control flagged", "higher", 0.9, 0.9),
    Goal("new_share", "new styles", "higher", 0.6, None),
    Goal("coverage", "coverage", "higher", None, None),
    Goal("minutes", "minutes of training", "lower", 60, 10),
    Goal("letters_per_second", "letters a second, all cores", "higher", 300, 3000),
)


def main() -> int:
    """Exit code 0 whether goals are reached or not: a figure is a figure."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--dataset", type=Path, help="a dataset version (npz); default: the installed font packages")
    parser.add_argument("--styles", type=int, default=STYLES, help="styles drawn of each model")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    path = options.dataset or _read_installed(OUT / "fonts.npz")
    if options.one:
        json.dump(measure(options.one, path, options.styles), sys.stdout)
        return 0
    names = ("letters", "letters-nano", MLP)
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(names, pool.map(lambda name: _measure_apart(name, path, options.styles), names), strict=True))
    for name in names:
        found[name]["letters_per_second"] = _speed(_load(name, path)) if name != MLP else None
    source = (
        str(options.dataset) if options.dataset else "the installed font packages (training and held not told apart)"
    )
    text = {"real letters of": source, "styles": options.styles, "figures": found}
    (OUT / "quality.json").write_text(json.dumps(text, indent=2, ensure_ascii=False) + "\n")
    Console().print(_tabulate(found, source))
    return 0


def measure(name: str, path: Path, styles: int) -> dict[str, Any]:
    """Measure one model on one core."""
    torch.set_num_threads(1)
    dataset = Dataset.load(path.read_bytes())
    judge = _load_judge()
    roles = split(dataset)
    unseen = np.asarray((roles != Role.TRAIN) & (roles != judge.architecture.value), dtype=np.bool_)
    generator = _load(name, path)

    def fit(fields: Tensor, labels: Tensor) -> Tensor:
        return invert(generator, fields, labels, STEPS)

    found = evaluate(
        generator,
        dataset,
        roles,
        judge,
        styles,
        fit,
        unseen=unseen,
        outlines=Outlines.load(OUTLINES.read_bytes()),
        edge_letters=EDGES,
        fitted_fonts=FITTED,
        rows=ROWS,
    ).as_json()
    parts, real = found["parts"], found["parts_real"]
    assert isinstance(parts, float)
    assert isinstance(real, float)
    minutes = 1.0 if name == MLP else json.loads((FOLDER / f"{name}.json").read_text())["config"]["minutes"]
    return found | {"parts_gap": real - parts, "minutes": minutes}


def _measure_apart(name: str, path: Path, styles: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.quality", "--one", name, "--dataset", str(path), "--styles", str(styles)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise RuntimeError(f"measuring {name} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _load(name: str, path: Path) -> Generator:
    """Load shipped weights; `mlp` is trained on the spot."""
    if name == MLP:
        run = runs.start(TrainConfig(family=Family.MLP, minutes=1.0), path.read_bytes(), "cpu")
        run.advance(lambda _: True)
        return families.load(*run.weights())
    data = (FOLDER / f"{name}.safetensors").read_bytes()
    return families.load(safetensors.numpy.load(data), check(data))


def _load_judge() -> Judge:
    data = (FOLDER / "judge-report.safetensors").read_bytes()
    return Judge.load(safetensors.numpy.load(data), check(data))


def _read_installed(path: Path) -> Path:
    """Read the installed font packages once."""
    if not path.exists():
        found = fonts.sources(DatasetConfig())
        path.write_bytes(fonts.merge(fonts.parse_all(found)).data)
    return path


@torch.inference_mode()
def _speed(generator: Generator, seconds: float = 8.0, batch: int = 64) -> float:
    """Draw letters on every core, as a worker does: one thread a block; letters a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    w = generator.styles(torch.randn(batch, 100, generator=torch.Generator().manual_seed(0)))
    labels = torch.arange(batch) % len(LETTERS)
    generator.draw(w, labels)
    began = time.perf_counter()

    def work(_: int) -> int:
        torch.set_num_threads(1)
        drawn = 0
        with torch.inference_mode():
            while time.perf_counter() - began < seconds:
                generator.draw(w, labels)
                drawn += batch
        return drawn

    with ThreadPoolExecutor(threads) as pool:
        drawn = sum(pool.map(work, range(threads)))
    torch.set_num_threads(threads)
    return drawn / (time.perf_counter() - began)


def _tabulate(found: Mapping[str, Mapping[str, Any]], source: str) -> Table:
    table = Table(
        "figure", "letters", "goal", "letters-nano", "goal", "mlp, 1 minute", title=f"real letters of {source}"
    )
    for goal in GOALS:
        cells = [goal.name]
        for name, wanted in (("letters", goal.default), ("letters-nano", goal.nano)):
            value = found[name].get(goal.figure)
            cells += [_spell(value, wanted, goal.better), _spell_goal(wanted, goal.better)]
        table.add_row(*cells, _spell(found[MLP].get(goal.figure), None, goal.better))
    return table


def _spell(value: float | None, goal: float | None, better: str) -> str:
    if value is None:
        return "-"
    reached = goal is None or (value >= goal if better == "higher" else value <= goal)
    return f"{value:.3g}" if reached else f"[bold]{value:.3g} missed[/bold]"


def _spell_goal(goal: float | None, better: str) -> str:
    return "" if goal is None else f"{'≥' if better == 'higher' else '≤'} {goal:g}"


if __name__ == "__main__":
    sys.exit(main())
