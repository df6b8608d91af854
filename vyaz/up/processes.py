"""Processes that live and die with this one: start, wait until ready, end.

Every child leads a session of its own, so a Ctrl-C in the terminal reaches only the supervisor, and whatever a child
forks is found by the session's number.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core.errors import Unavailable
from vyaz.up import orphans
from vyaz.up.account import Account

GUARD = Path(__file__).with_name("guard.py")
LOG_LIMIT = 8 << 20  # bytes of one log file; as many again are kept beside it
PAUSE = 0.02  # seconds between two looks

# The kernel sends PDEATHSIG when the *thread* that forked ends, so all children are born in one thread that stays.
_births = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vyaz-births")


@dataclass(frozen=True)
class Command:
    """One process to run. Its name is that of its log and its record."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop: signal.Signals = signal.SIGTERM
    grace: float = 15.0  # seconds from `stop` to SIGKILL

    @property
    def kind(self) -> str:
        """`worker` of `worker-cpu1`."""
        return self.name.partition("-")[0]


@dataclass(frozen=True)
class Place:
    """Where a child runs: its working folder, log, record (if it is to leave one) and account."""

    cwd: Path
    log: Path
    record: Path | None = None
    account: Account = field(default_factory=Account)


class Child:
    """A process started here."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], log: Path) -> None:
        self.command = command
        self.log = log
        self.pid = process.pid
        self._process = process

    def ending(self) -> str | None:
        """How it ended, in words; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def wait(self, timeout: float) -> bool:
        """Wait for its end, at most `timeout` seconds; True when it ended with exit code 0."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout) == 0
        return False

    def ask_to_end(self) -> None:
        """Send the command's stop signal, if it still runs."""
        self._process.send_signal(self.command.stop)

    def end(self, grace: float | None = None) -> None:
        """Ask, wait `grace` seconds (None: the command's own), then kill whatever is left of its session."""
        self.ask_to_end()
        self.wait(self.command.grace if grace is None else grace)
        orphans.kill(orphans.find_members({self.pid}))
        self._process.wait()

    def tail(self, lines: int = 12) -> str:
        """The end of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])


def start(command: Command, place: Place) -> Child:
    """Start a child through the guard; what it prints is appended to its log."""
    order = {
        "name": command.name,
        "parent": os.getpid(),
        "stop": int(command.stop),
        "record": str(place.record or ""),
        "account": asdict(place.account),
    }
    argv = [sys.executable, "-I", "-S", str(GUARD), json.dumps(order), *command.argv]
    trim(place.log)
    with place.log.open("ab") as log:
        born = _births.submit(
            subprocess.Popen,
            argv,
            cwd=place.cwd,
            env=_environment(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        return Child(command, born.result(), place.log)


def wait_for(child: Child, ready: Callable[[], bool], timeout: float, stopping: threading.Event) -> None:
    """Wait until `ready`.

    Raises `Unavailable` with the end of the log when the child ends or `timeout` seconds pass, `KeyboardInterrupt` when
    `stopping` is set.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        trouble = child.ending()
        if trouble is None and time.monotonic() > deadline:
            trouble = f"did not answer within {timeout:g} s"
        if trouble is not None:
            raise Unavailable(f"{child.command.name} {trouble}; the end of {child.log}:\n{child.tail()}")
        if stopping.is_set():
            raise KeyboardInterrupt
        time.sleep(PAUSE)


def trim(log: Path, limit: int = LOG_LIMIT) -> None:
    """Keep a log under `limit` bytes: what it holds moves to `NAME.1`. Writers append, so they go on at the start."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > limit:
            # Copied and cut, not renamed: children hold the file open.
            log.with_name(f"{log.name}.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's own environment, plus `extra`.

    libpq's `PG*` would bend how a child reaches the database; the address and key are the caller's own.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") and name not in ("VYAZ_URL", "VYAZ_API_KEY")
    }
    return {**inherited, "PYTHONUNBUFFERED": "1", **extra}
