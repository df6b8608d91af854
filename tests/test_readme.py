"""The README keeps what it promises: short, its commands exist, its Python runs, its map is the tree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.tree import ROOT, files, text
from tests.vyaz.conftest import House, door, house  # noqa: F401 - fixtures
from vyaz.cli.app import app

README = text("README.md")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [block for name, block in BLOCKS if name == language]


def test_it_can_be_read_in_two_minutes() -> None:
    assert README.count("\n") < 150


def test_its_pictures_are_pictures() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)

    assert pictures
    for picture in pictures:
        with Image.open(ROOT / picture) as image:
            assert min(image.size) > 400


def test_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_it_names_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))

    assert named >= {"demo", "test"}
    assert named - targets == set()


def test_every_vyaz_command_it_names_exists() -> None:
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    known = commands | {group.name for group in app.registered_groups}
    named = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("vyaz ")}

    assert named
    assert named - known == set()


def test_its_map_names_every_folder_and_nothing_else() -> None:
    (tree,) = (block for block in blocks("text") if "core/" in block)
    named = {line.split()[0].rstrip("/") for line in tree.splitlines() if line and not line.startswith(" ")}
    there = {name.split("/")[0] for name in files() if "/" in name and not name.startswith(".")}

    assert named == there


@pytest.mark.usefixtures("door")
def test_its_python_runs_as_it_stands(house: House, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    (snippet,) = blocks("python")
    house.model()
    working = house.work_aside()
    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=tmp_path, env=house.env, capture_output=True, text=True, timeout=60
    )
    working.join()

    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "first.png") as image:
        assert image.size == (128, 128)  # as the slot of this test draws
