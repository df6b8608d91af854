"""Processes of ours that a killed supervisor left behind: told for certain from strangers, and ended.

A process number alone proves nothing, since it is given again; number, start and boot together do.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.errors import Unavailable

PAUSE = 0.02  # seconds between two looks
DEATH = 10.0  # seconds that a killed process may take to go


@dataclass(frozen=True)
class Record:
    """What a child left of itself before it became what it is (see `guard.py`)."""

    name: str
    pid: int
    start: int
    boot: str
    stop: int


@dataclass(frozen=True)
class Sight:
    """What `/proc/PID/stat` says of a living process; `start` is in clock ticks since boot."""

    pid: int
    session: int
    start: int


Search = Callable[[], list[Sight]]


def read_records(folder: Path) -> list[Record]:
    """The records that children left in `folder`, of this boot only."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    records = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(ValueError, TypeError):  # half of a file after a power cut
            records.append(Record(**json.loads(path.read_text())))
    return [record for record in records if record.boot == boot]


def find_leader(record: Record) -> Sight | None:
    """The very process that left the record, if it still lives."""
    sight = look(record.pid)
    return sight if sight is not None and sight.start == record.start else None


def find_session(record: Record) -> list[Sight]:
    """The living processes of the session that the recorded process led.

    A session's number is not given to another process while a member lives. So either the leader is there, or its
    offspring carries the number and is younger, or the number went to a stranger that leads a session of its own.
    """
    stranger = look(record.pid)
    if stranger is not None and stranger.start != record.start:
        return []
    return [sight for sight in find_members({record.pid}) if sight.start >= record.start]


def find_members(sessions: set[int]) -> list[Sight]:
    """All living processes of these sessions."""
    return [sight for sight in living() if sight.session in sessions]


def find_programs(program: str, folder: Path) -> list[Sight]:
    """All living processes that run `program` with `folder` as their working folder."""
    return [sight for sight in living() if _runs_in(sight, program, folder)]


def living() -> list[Sight]:
    """All processes that are not dead."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [sight for number in numbers if (sight := look(number)) is not None]


def look(pid: int) -> Sight | None:
    """One process, or None when it is gone. A zombie is gone: nothing of it will run again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else Sight(pid, int(fields[3]), int(fields[19]))


def send(sight: Sight, number: int) -> None:
    """Signal this very process: if its number went to another in the meantime, nobody is signalled."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(sight.pid)
        try:
            if look(sight.pid) == sight:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def kill(sights: Iterable[Sight]) -> None:
    """SIGKILL, each."""
    for sight in sights:
        send(sight, signal.SIGKILL)


def await_end(remaining: Search, grace: float) -> None:
    """Wait until none of these is left; after `grace` seconds they are killed.

    Raises `Unavailable` when one survives that (a disk that does not answer).
    """
    deadline = time.monotonic() + grace
    while left := remaining():
        late = time.monotonic() - deadline
        if late > DEATH:
            raise Unavailable(f"process {left[0].pid} of an earlier start does not end, not even when killed")
        if late > 0:
            kill(left)
        time.sleep(PAUSE)


def _runs_in(sight: Sight, program: str, folder: Path) -> bool:
    here = Path(f"/proc/{sight.pid}")
    try:
        return (here / "exe").readlink().name == program and (here / "cwd").readlink() == folder
    except OSError:  # gone, or somebody else's
        return False
