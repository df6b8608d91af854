"""The demo as anybody runs it, once to its end and once interrupted. Real servers, real training, real fonts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(420)]


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "vyaz.demo"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_over(folder: Path) -> list[str]:
    """Processes that still have to do with the folder: by command line, environment or working folder."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            told += os.fsencode((process / "cwd").readlink())
        except OSError:  # gone, or a kernel's
            continue
        if os.fsencode(folder) in told:
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def test_the_demo_leaves_five_hundred_variants_and_a_sheet(tmp_path: Path) -> None:
    demo = start(tmp_path)
    said, _ = demo.communicate(timeout=500)

    assert demo.returncode == 0, said
    assert "500 distinct (250 HR, 250 ЄЩ)" in said
    assert "the best 16 of 120" in said
    assert "the best 8 of 48" in said
    for name, least in (("sheet", 1000), ("interlaced", 1000), ("vyaz", 600)):
        with Image.open(tmp_path / "out" / "demo" / f"{name}.png") as sheet:
            assert min(sheet.size) > least
            shades = sheet.convert("L").histogram()
        assert sum(shades[:64]) > 0.02 * sum(shades)  # ink
    assert left_over(tmp_path) == []


def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.split()[1:2] == ["generate"]:
            break
    time.sleep(3)
    assert left_over(tmp_path) != []
    os.killpg(demo.pid, signal.SIGINT)
    said, _ = demo.communicate(timeout=120)

    assert demo.returncode == 130, said
    assert "Traceback" not in said
    assert left_over(tmp_path) == []
