"""`python -m bench`: run every benchmark, print a table, write `out/bench/results.json`."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import jobs, monograms, pace, training

OUT = Path("out/bench/results.json")


def main() -> int:
    """Exit code 0 whether goals are reached or not: a figure is a figure."""
    rows = [*training.measure(), *jobs.measure(), *monograms.measure(), *pace.measure()]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps([row.as_json() for row in rows], indent=2, ensure_ascii=False) + "\n")
    table = Table("what", "measured", "goal", "unit", "reached")
    for row in rows:
        sign = "≥" if row.better == "higher" else "≤"
        goal = "" if row.goal is None else f"{sign} {row.goal:g}"
        reached = "" if row.goal is None else "yes" if row.reached else "no"
        table.add_row(row.name, f"{row.value:.3g}", goal, row.unit, reached)
    Console().print(table)
    print(f"written to {OUT}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
