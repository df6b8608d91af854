"""`python -m bench.pace`: how fast monograms are made, by as many processes as there are cores, each of one thread, as
`vyaz up --workers N` runs them; and beside them, as a script would make them (`bench.plain`).

`python -m bench.pace soak --count 100000` makes many with one process, and says how much memory it takes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from bench import plain
from bench.pairs import composer, load_network, pairs
from bench.row import Row
from core.pipeline import Composer
from core.recipe import BLOCK, STYLE, Recipes, draw
from core.registry import Layout

PIXELS: Final = 256
COUNTS: Final = {"straight": 512, "house": 512, "interlaced": 128, "plain": 64}  # of each process
SOAKED: Final = 4096


def measure() -> list[Row]:
    """Time every kind on all cores."""
    found = {kind: _race(kind, count) for kind, count in COUNTS.items()}
    ratio = found["straight"]["composing"] / found["plain"]["composing"]
    soaked = _soak(SOAKED)
    return [
        Row(
            "straight pairs, 256 px: letters to PNG and score",
            found["straight"]["composing"],
            120,
            "variants/s",
            "higher",
        ),
        Row(
            "the same with the network that draws the letters", found["straight"]["whole"], None, "variants/s", "higher"
        ),
        Row(
            "interlaced pairs of a house style, placements remembered",
            found["house"]["composing"],
            120,
            "variants/s",
            "higher",
        ),
        Row("interlaced pairs, each with its search", found["interlaced"]["whole"], 5, "variants/s", "higher"),
        Row("straight pairs, Vyaz over one at a time in NumPy and Pillow", ratio, 10, "x", "higher"),
        Row(f"memory of a process after {SOAKED} variants", soaked[-1], 1.5, "GB", "lower"),
        Row(f"memory that grew from {SOAKED // 2} to {SOAKED} variants", soaked[-1] - soaked[0], 0.02, "GB", "lower"),
    ]


class Clocked(Composer):
    """A composer that knows how long its network took."""

    drawing = 0.0

    def _draw(self, recipes: Recipes, rows: slice) -> torch.Tensor:
        began = time.perf_counter()
        fields = super()._draw(recipes, rows)
        self.drawing += time.perf_counter() - began
        return fields


def _race(kind: str, count: int) -> dict[str, float]:
    """Start a process a core; let them warm up, begin together and add up their rates."""
    command = [sys.executable, "-m", "bench.pace", kind, "--count", str(count)]
    cores = len(os.sched_getaffinity(0))
    runs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for _ in range(cores)
    ]
    rates: dict[str, float] = {}
    for run in runs:
        assert run.stdout is not None
        run.stdout.readline()
    for run in runs:
        assert run.stdin is not None
        print("go", file=run.stdin, flush=True)
    for run in runs:
        told, _ = run.communicate()
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {run.returncode}")
        for name, rate in json.loads(told).items():
            rates[name] = rates.get(name, 0.0) + rate
    return rates


def _soak(count: int) -> list[float]:
    """Memory in GB at half of so many variants and at all of them."""
    command = [sys.executable, "-m", "bench.pace", "soak", "--count", str(count)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return [float(told[len(told) // 2 - 1]), float(told[-1])]


def _composer(kind: str) -> Clocked:
    if kind != "house":
        layout = Layout.INTERLACED if kind == "interlaced" else Layout.STRAIGHT
        return composer(layout, pairs(128), "judge-select", Clocked)
    style = (
        load_network().styles(torch.from_numpy(np.random.default_rng(3).normal(size=(1, STYLE))).float())[0].tolist()
    )
    return composer(Layout.INTERLACED, pairs(BLOCK), "judge-select", Clocked, style=style, spread=0.0)


def _work(kind: str, count: int) -> dict[str, float]:
    """Warm up, wait for a word, make so many; return rates with and without the network."""
    made = _composer(kind)
    fields: list[NDArray[np.float32]] = []
    if kind == "plain":
        fields = _fields(made, count)
        plain.make(fields[0], PIXELS)
    else:
        made.compose(0, BLOCK)
    made.drawing = 0.0
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    if kind == "plain":
        for each in fields:
            plain.make(each, PIXELS)
    else:
        for start in range(BLOCK, BLOCK + count, BLOCK):
            made.compose(start, start + BLOCK)
    took = time.perf_counter() - began
    return {"whole": count / took, "composing": count / (took - made.drawing)}


def _fields(made: Composer, count: int) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = []
    for start in range(0, count, BLOCK):
        with torch.inference_mode():
            recipes = draw(made.spec, made.seed, start, start + BLOCK)
            found += list(made._draw(recipes, slice(0, BLOCK)).numpy())
    return found[:count]


def _tell_memory(count: int) -> None:
    """Make so many, a quarter of them woven, and print the memory in GB from time to time."""
    row, house = _composer("straight"), _composer("house")
    for start in range(0, count, BLOCK):
        made = house if start // BLOCK % 4 == 3 else row
        made.compose(start, start + BLOCK)
        if (start // BLOCK + 1) % max(1, count // BLOCK // 16) == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            print(f"{pages * os.sysconf('SC_PAGE_SIZE') / 1e9:.3f}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the rows; or be one of the processes that are timed."""
    parser = argparse.ArgumentParser(prog="python -m bench.pace")
    parser.add_argument("kind", nargs="?", choices=[*COUNTS, "soak"])
    parser.add_argument("--count", type=int, default=BLOCK)
    given = parser.parse_args(argv)
    if given.kind is None:
        print(json.dumps([row.as_json() for row in measure()], indent=2, ensure_ascii=False))
        return 0
    torch.set_num_threads(1)
    if given.kind == "soak":
        _tell_memory(given.count)
    else:
        print(json.dumps(_work(given.kind, given.count)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
