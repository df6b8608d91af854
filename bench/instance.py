"""An instance of its own for a benchmark: `vyaz up` as a process, durable as any."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.catalogue.database import Database
from vyaz import Client
from vyaz.up.folder import claim
from vyaz.up.instance import find
from vyaz.up.postgres import Postgres

START_SECONDS = 120


@dataclass(frozen=True)
class Running:
    """A client of the instance, and its database and store as the server has them."""

    client: Client
    database: Database
    store_url: str


@contextlib.contextmanager
def running(data: Path, workers: int = 1) -> Iterator[Running]:
    """Run an instance for the length of the block."""
    argv = [sys.executable, "-m", "vyaz", "up", "--data", str(data), "--port", "0", "--workers", str(workers)]
    with (data.parent / "up.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while (found := find(data)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((data.parent / "up.log").read_text()[-2000:])
            time.sleep(0.1)
        folder = claim(data)
        with Client(found.url, found.key) as client:
            yield Running(client, Database(Postgres(folder).url, size=2), folder.store.as_uri())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=90)
