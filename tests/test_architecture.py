"""docs/architecture.md, held against the tree: one line for each source file, one diagram."""

import re
from collections import Counter

from tests.tree import files, sources, text

PAGE = "docs/architecture.md"
LINE = re.compile(r"^- `([^`]+\.\w+)` (\S.*)$", re.MULTILINE)


def described() -> list[str]:
    return [name for name, _ in LINE.findall(text(PAGE))]


def expected() -> set[str]:
    """Every source file but `__init__.py`, which hold nothing, and the steps of the schema, which are a history."""
    return {
        name
        for name in sources()
        if not name.startswith(("examples/", "migrations/versions/")) and not name.endswith("__init__.py")
    }


def test_every_source_file_has_its_line() -> None:
    assert expected() - set(described()) == set()


def test_every_line_is_of_a_file_that_exists() -> None:
    assert set(described()) - set(files()) == set()


def test_no_file_has_two_lines() -> None:
    assert [name for name, times in Counter(described()).items() if times > 1] == []


def test_every_list_item_of_the_page_is_such_a_line() -> None:
    assert text(PAGE).count("\n- ") == len(described())


def test_the_page_has_one_diagram_and_it_names_every_process() -> None:
    (diagram,) = re.findall(r"^```mermaid\n(.*?)^```", text(PAGE), re.MULTILINE | re.DOTALL)

    assert {"api", "beat", "postgres", "valkey", "worker", "store"} <= set(re.findall(r"\b[a-z]+(?=\[)", diagram))
