"""The tree as git sees it, for the tests that hold its shape: tracked files, and new ones that are not ignored."""

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("api", "bench", "core", "examples", "migrations", "vyaz", "worker")


@functools.cache
def files() -> tuple[str, ...]:
    """Every file, as a path from the root."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(sorted(name for name in set(listing.stdout.split("\0")) if name and (ROOT / name).is_file()))


def sources() -> list[str]:
    """Every Python file of the product; tests are not among them."""
    return [name for name in files() if name.endswith(".py") and name.split("/")[0] in SOURCES]


@functools.cache
def text(name: str) -> str:
    """What stands in a file."""
    return (ROOT / name).read_text(encoding="utf-8")


@functools.cache
def syntax(name: str) -> ast.Module:
    """A Python file as a tree."""
    return ast.parse(text(name), name)


def nodes(names: list[str]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of the named files, with its file."""
    for name in names:
        for node in ast.walk(syntax(name)):
            yield name, node
