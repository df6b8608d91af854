"""docs/operations.md keeps to what there is: commands, settings, figures, values of the chart, files."""

import re
from pathlib import Path
from typing import Any

import typer
import yaml

from core.settings import Settings
from tests.tree import ROOT, text
from vyaz.cli.app import app as command

PAGE = text("docs/operations.md")
QUOTED = re.findall(r"`([^`\n]+)`", PAGE)
LINES = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
# Commands of their own changes; whoever adds one takes it from here.
YET_TO_COME: set[str] = set()


def known(group: typer.Typer, before: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every command as its words."""
    found = {(*before, each.name or each.callback.__name__) for each in group.registered_commands if each.callback}
    for part in group.registered_groups:
        assert part.typer_instance is not None
        name = part.name or str(part.typer_instance.info.name)
        found |= known(part.typer_instance, (*before, name))
    return found


def value(tree: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        tree = tree[key]
    return tree


def test_every_command_it_names_exists() -> None:
    commands = known(command)
    named = {tuple(words.split("#")[0].split()[1:]) for words in [*QUOTED, *LINES] if words.startswith("vyaz ")}
    missing = [
        words
        for words in named
        if words[0] not in YET_TO_COME and words[:1] not in commands and words[:2] not in commands
    ]

    assert len(named) > 8
    assert missing == []


def test_every_variable_it_names_is_a_setting_or_of_compose() -> None:
    named = set(re.findall(r"\bVYAZ_[A-Z_]+\b", PAGE))
    settings = {f"VYAZ_{name.upper()}" for name in Settings.model_fields}

    assert named
    assert named - settings - set(re.findall(r"\bVYAZ_[A-Z_]+\b", text("docker-compose.yml"))) == set()


def test_every_figure_it_names_is_exposed(exposed: dict[str, set[str]]) -> None:
    named = set(re.findall(r"\bvyaz_[a-z_]+\b", PAGE))
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in exposed}

    assert len(named) > 6
    assert named - set(exposed) - families == set()


def test_every_value_of_the_chart_it_names_is_one() -> None:
    values = yaml.safe_load(text("deploy/helm/vyaz/values.yaml"))
    named = {words.split("=")[0] for words in QUOTED if re.match(r"(keda|workers)\.", words)}

    assert len(named) >= 3
    for path in named:
        assert value(values, path) is not None


def test_every_file_and_section_it_points_to_is_there() -> None:
    files = re.findall(r"\]\(([^)#]+)\)", PAGE) + [f"../{name}" for name in QUOTED if re.match(r"(deploy|docs)/", name)]
    lines = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", line.lower()).strip().replace(" ", "-") for line in lines}
    sections = re.findall(r"\]\(#([^)]+)\)", PAGE)

    assert len(files) > 4
    assert [name for name in files if not Path(ROOT, "docs", name).exists()] == []
    assert set(sections) <= headings


def test_no_figure_of_the_text_is_older_than_the_code() -> None:
    from api.gauges import LEDGER_SECONDS, LIMIT, NEWEST_SHARDS

    assert f"the {NEWEST_SHARDS:,} newest shards" in PAGE
    assert "given up after two seconds" in PAGE
    assert ("'2s'" in str(LIMIT), LEDGER_SECONDS) == (True, 2)
