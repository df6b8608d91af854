"""A peer of `bench.peers`: one process of a loop over seeds, which writes a PNG file for each."""

import json
import sys
import time
from pathlib import Path

from PIL import Image

from bench import crew
from bench.singly import Singles


def main() -> int:
    """Print the files a second, start-up and loading left out."""
    order = crew.order()
    singles, folder = Singles(), Path(order["folder"])
    _make(singles, order["way"], 0, folder)
    crew.await_word()
    began = time.perf_counter()
    for seed in range(order["start"], order["stop"]):
        _make(singles, order["way"], seed, folder)
    print(json.dumps((order["stop"] - order["start"]) / (time.perf_counter() - began)), flush=True)
    return 0


def _make(singles: Singles, way: str, seed: int, folder: Path) -> None:
    path = folder / f"{seed:08d}.png"
    if way == "own":
        path.write_bytes(singles.own(seed))
    else:
        Image.fromarray(singles.script(seed)[0]).save(path)


if __name__ == "__main__":
    sys.exit(main())
