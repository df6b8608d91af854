"""Logs: one form for all lines, and no secret in any."""

import json
import logging

import pytest
import structlog

from core import log
from core.settings import Settings

KEY = "vyz_0123456789ab_" + "S" * 43


def test_a_line_is_one_json_object_with_level_time_and_logger(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(Settings(log_json=True))
    structlog.get_logger("here").info("made", count=3)
    line = json.loads(capsys.readouterr().err)

    assert {name: line[name] for name in ("event", "count", "level", "logger")} == {
        "event": "made", "count": 3, "level": "info", "logger": "here",
    }  # fmt: skip
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("as_json", [True, False])
def test_no_key_and_no_password_gets_through(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    log.configure(Settings(log_json=as_json))
    url = "postgresql://vyaz:hunter22@host/name"
    structlog.get_logger("ours").warning(f"with {KEY}", url=url, headers={"Authorization": [f"Bearer {KEY}"]})
    logging.getLogger("theirs").error("with %s and %s", KEY, url)
    try:
        raise ValueError(f"broken by {KEY} at redis://:hunter22@host")
    except ValueError:
        structlog.get_logger("ours").exception("failed")
        logging.getLogger("theirs").exception("failed")
    written = capsys.readouterr().err

    assert "S" * 20 not in written
    assert "hunter22" not in written
    assert written.count("vyz_0123456789ab") >= 5
    assert written.count("Traceback") == 2


def test_configuring_twice_writes_each_line_once_and_keeps_other_handlers(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)
    log.configure(Settings(log_json=True))
    log.configure(Settings(log_json=True, log_level="warning"))
    structlog.get_logger("here").warning("once")
    structlog.get_logger("here").info("never")
    written = capsys.readouterr().err.splitlines()

    assert [json.loads(line)["event"] for line in written] == ["once"]
    assert theirs in logging.getLogger().handlers
    logging.getLogger().removeHandler(theirs)
