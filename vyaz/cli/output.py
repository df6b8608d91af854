"""What commands say: data on stdout (tables for people, tab-separated when piped, JSON), the rest on stderr."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import typer
from pydantic_core import to_jsonable_python
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.errors import Invalid

COLOURS: Final = {
    "done": "green",
    "running": "cyan",
    "busy": "cyan",
    "failed": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "ok": "green",
    "wrong": "red",
}


def say(text: str, style: str = "") -> None:
    """Tell the person at the terminal something that is no data."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(text, style))


def complain(text: str) -> None:
    """Say in one line what went wrong."""
    say("error: " + " ".join(text.split("\n")), "red")


def emit(text: str) -> None:
    """Give one line of data."""
    typer.echo(text)


def emit_json(value: object) -> None:
    """Give JSON: an object for one answer, a list for many."""
    many = isinstance(value, list | tuple)
    plain = [_plain(each) for each in value] if isinstance(value, list | tuple) and many else _plain(value)
    typer.echo(json.dumps(to_jsonable_python(plain), ensure_ascii=False, indent=2))


def emit_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Give rows: a table on a terminal, lines of tab-separated values without any cutting elsewhere."""
    written = [[_cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [list(columns), *written]:
            typer.echo("\t".join(row))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        numeric = bool(written) and all(row[place].replace(",", "").isdecimal() for row in written)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in written:
        table.add_row(*(Text(cell, COLOURS.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


def emit_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Give the facts of one thing, one a line; those without a value are left out."""
    shown = [(name, _cell(value)) for name, value in facts if value not in (None, "", {}, [])]
    if not sys.stdout.isatty():
        for name, value in shown:
            typer.echo(f"{name}\t{value}")
        return
    width = max(len(name) for name, _ in shown)
    console = Console(highlight=False, soft_wrap=True)
    for name, value in shown:
        console.print(Text.assemble((f"{name:>{width}}  ", "dim"), (value, COLOURS.get(value, ""))))


def deliver(data: bytes, target: str) -> None:
    """Write a file, whole or not at all; `-` is stdout. Raises `Invalid` when the place cannot be written."""
    if target == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with writing(target) as out:
        out.write(data)


@contextlib.contextmanager
def writing(target: str) -> Iterator[BinaryIO]:
    """A file to write into, which takes its place when it is whole. Raises `Invalid` when that cannot be."""
    path = Path(target)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as out:
            yield out
        draft.replace(path)
    except OSError as error:
        raise Invalid(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def shorten(job_id: str) -> str:
    """The last eight digits of an id, which are drawn by lot; the first are the time and all look alike."""
    return job_id.replace("-", "")[-8:]


def spell_seconds(seconds: float) -> str:
    """A length of time for people: 12 s, 3 min 20 s, 5 h 4 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 10 or whole == seconds else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _plain(value: Any) -> Any:
    """An answer as a JSON object: its fields, without its tie to the client."""
    if not dataclasses.is_dataclass(value):
        return value
    names = [each.name for each in dataclasses.fields(value) if not each.name.startswith("_")]
    return {name: getattr(value, name) for name in names}


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, int) and sys.stdout.isatty():
        return f"{value:,}"
    if isinstance(value, dict | list):
        return json.dumps(to_jsonable_python(value), ensure_ascii=False)
    return str(value)
