"""`python -m bench [NAME...]`: run the benchmarks of these names, or all; print a table; keep `out/bench/results.json`.

`--rows N` is the size of `ingest`; `--write FILE` writes a page of everything that is kept, `--kept` without measuring.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench import results
from bench.row import Row

THEMES: Final = (
    "training",
    "jobs",
    "orders",
    "peers",
    "claims",
    "ingest",
    "footprint",
    "scaling",
    "capacity",
    "monograms",
    "pace",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 whether goals are reached or not: a figure is a figure."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(THEMES))
    parser.add_argument("--rows", type=int, help="catalogue rows that ingest writes")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write what is kept as a page")
    parser.add_argument("--kept", action="store_true", help="measure nothing")
    given = parser.parse_args(argv)
    unknown = [name for name in given.names if name not in THEMES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(THEMES)}")
    # Ended from outside, it ends what it started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for name in () if given.kept else given.names or THEMES:
        rows = _measure(name, given.rows)
        results.keep(name, rows)
        _show(name, rows)
    print(f"kept in {results.KEPT}", file=sys.stderr)
    if given.write is not None:
        results.write(given.write, THEMES)
    return 0


def _measure(name: str, rows: int | None) -> list[Row]:
    # Only when it is needed: several bring torch along.
    theme = importlib.import_module(f"bench.{name}")
    found: list[Row] = theme.measure(rows) if name == "ingest" and rows else theme.measure()
    return found


def _show(name: str, rows: Sequence[Row]) -> None:
    table = Table("what", "measured", "goal", "unit", "reached", title=name)
    for row in rows:
        sign = "≥" if row.better == "higher" else "≤"
        goal = "" if row.goal is None else f"{sign} {row.goal:g}"
        reached = "" if row.goal is None else "yes" if row.reached else "no"
        table.add_row(row.name, results.spell(row.value), goal, row.unit, reached)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
