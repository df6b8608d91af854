"""A whole Vyaz as its users run it: `vyaz up` as a process, with a small model trained through its own queue."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import psutil
import pytest
import redis

from vyaz import Client
from vyaz.up.folder import claim
from vyaz.up.instance import find
from vyaz.up.valkey import Valkey

PAIRS = ("AK", "ЇЖ")
FONTS = ("Regular", "Bold", "Black", "Light")
START_SECONDS = 120


@dataclass
class Instance:
    """One running `vyaz up`, and the means to do it harm."""

    data: Path
    process: subprocess.Popen[bytes]
    client: Client

    def workers(self) -> list[psutil.Process]:
        """The Celery parents of the worker slots."""
        return [child for child, words in self._children() if "worker" in words and "--queues" in words]

    def server(self, name: str) -> psutil.Process:
        """The first process of one of the servers."""
        return next(child for child, words in self._children() if words and name in words[0])

    def kill_a_worker(self) -> None:
        """SIGKILL one slot's parent and child, as a power cut on its node would."""
        parent = self.workers()[0]
        for process in [parent, *parent.children(recursive=True)]:
            process.kill()

    def flush(self) -> None:
        """Empty Valkey."""
        with redis.Redis.from_url(Valkey(claim(self.data)).client_url) as valkey:
            valkey.flushall()

    def digests(self, job_id: str) -> dict[int, str]:
        """The catalogue's digest of every variant, by index; fails on a duplicate."""
        variants = list(self.client.variants.list(job=job_id))
        found = {variant.index: variant.digest for variant in variants}
        assert len(found) == len(variants)
        return found

    def _children(self) -> list[tuple[psutil.Process, list[str]]]:
        """All descendants with their command lines, which are asked once: they come and go."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found.append((process, process.cmdline()))
        return found


def start(data: Path, workers: int, **settings: object) -> Instance:
    """Start an instance with these settings and wait until it answers."""
    environment = os.environ | {f"VYAZ_{name.upper()}": str(value) for name, value in settings.items()}
    argv = [sys.executable, "-m", "vyaz", "up", "--data", str(data), "--port", "0", "--workers", str(workers)]
    with (data.parent / f"{data.name}.log").open("ab") as log:
        process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + START_SECONDS
    while (found := find(data)) is None:
        assert process.poll() is None, (data.parent / f"{data.name}.log").read_text()[-2000:]
        assert time.monotonic() < deadline, "vyaz up did not come up"
        time.sleep(0.1)
    return Instance(data, process, Client(found.url, found.key))


def stop(instance: Instance) -> int:
    """Stop as Ctrl-C does; the exit code."""
    instance.client.close()
    instance.process.send_signal(signal.SIGINT)
    try:
        return instance.process.wait(timeout=60)
    finally:
        if instance.process.poll() is None:
            os.killpg(instance.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(data: Path, workers: int, **settings: object) -> Iterator[Instance]:
    """An instance that is stopped in any case, and must have stopped well."""
    instance = start(data, workers, **settings)
    try:
        yield instance
    finally:
        status = stop(instance)
    assert status == 0


def wait_until(happened: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Fail unless it happens in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"after {seconds} s: not yet {what}"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one model version in it, trained through the queue."""
    folder = tmp_path_factory.mktemp("acceptance")
    data, fonts = folder / "data", folder / "fonts"
    fonts.mkdir()
    for name in FONTS:
        shutil.copy(str(resources.files("font_source_serif_pro") / "files" / f"SourceSerifPro-{name}.otf"), fonts)
    with running(data, workers=1) as instance:
        instance.client.datasets.add("few", path=str(fonts))
        job = instance.client.jobs.train("few", family="mlp", name="quick", minutes=0.25).wait(timeout=240)
        assert job.state == "done"
    return data


@pytest.fixture
def pair(trained: Path) -> Iterator[Instance]:
    """An instance with two workers."""
    with running(trained, workers=2) as instance:
        yield instance


@pytest.fixture
def alone(trained: Path) -> Iterator[Instance]:
    """An instance with one worker."""
    with running(trained, workers=1) as instance:
        yield instance
