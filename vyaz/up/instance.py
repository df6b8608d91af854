"""A running instance as others see it: found by its data folder, asked to stop."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import Conflict, Unavailable
from vyaz.up.folder import DataFolder, is_held, recognise, write_file

KEY = "api_key"  # name of the secret


@dataclass(frozen=True)
class Instance:
    """Where an instance answers, who runs it, since when (ISO 8601, UTC), and the key for it."""

    url: str
    pid: int
    started: str
    version: str
    key: str

    def __repr__(self) -> str:
        """Without the key: this ends up in logs."""
        return f"Instance({self.url}, pid {self.pid}, started {self.started}, version {self.version})"


def find(data: Path) -> Instance | None:
    """The instance that runs on this data folder and is ready; None when there is none.

    Raises `Conflict` when the folder is another user's.
    """
    try:
        folder = recognise(data)
        if folder is None or not is_held(folder):
            return None
        return Instance(**json.loads(folder.instance.read_text()), key=folder.secret(KEY) or "")
    except FileNotFoundError:  # still starting, or just ended
        return None
    except PermissionError as error:
        raise Conflict(f"{data} belongs to another user: set VYAZ_URL and VYAZ_API_KEY instead") from error


def announce(folder: DataFolder, instance: Instance) -> None:
    """Let clients find the instance; the key stands in `secrets/` only."""
    visible = {name: value for name, value in asdict(instance).items() if name != "key"}
    write_file(folder.instance, json.dumps(visible) + "\n")


def stop(data: Path, timeout: float = 60.0) -> bool:
    """Stop the instance of this data folder as Ctrl-C does, and wait; False when none runs.

    Raises `Unavailable` when it still runs after `timeout` seconds.
    """
    folder, instance = recognise(data), find(data)
    if folder is None or instance is None:
        return False
    os.kill(instance.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while is_held(folder):
        if time.monotonic() > deadline:
            raise Unavailable(f"the instance {instance.url} (pid {instance.pid}) does not stop")
        time.sleep(0.05)
    return True
