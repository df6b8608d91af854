"""Failpoints: named places between two durable effects, at which a test has a process die, fail or hang.

Off unless the settings name a folder. An order is an empty file there, `<point>@<action>@<number>`; whichever process
comes by first takes it by renaming it, so an order is carried out once. What was passed is noted in `reached/`.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

REACHED, TAKEN = "reached", "taken"

_folder: Path | None = None


class Foreseen(RuntimeError):
    """Raised on order: an error that no part of Vyaz expects."""


def arm(folder: str) -> None:
    """Obey the orders that lie in this folder; an empty name obeys none."""
    global _folder
    _folder = Path(folder) if folder else None


def reach(point: str) -> None:
    """Pass a named place; carries out the order that waits there, if one does."""
    if _folder is None:
        return
    (_folder / REACHED / point).touch()
    for order in sorted(_folder.glob(f"{point}@*")):
        try:
            order.rename(_folder / TAKEN / order.name)
        except FileNotFoundError:
            continue
        _ACTIONS[order.name.split("@")[1]]()
        return


def _send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _raise() -> None:
    raise Foreseen("a failpoint was told to raise")


def _hang() -> None:
    while True:
        time.sleep(3600)


_ACTIONS: dict[str, Callable[[], None]] = {
    "kill": _send(signal.SIGKILL),
    "stop": _send(signal.SIGSTOP),
    "term": _send(signal.SIGTERM),
    "raise": _raise,
    "hang": _hang,
}
