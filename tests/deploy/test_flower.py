"""Celery's events, and the real Flower that shows them: what it sees, what it cannot do, what stays behind."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from core.broker import connect
from core.settings import Settings
from tests.worker.conftest import Fleet

AUTH = "ops:secret"


class Flower:
    """Flower as the compose service starts it, on a free port of the loopback."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        broker = settings.broker_url.get_secret_value()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "flower", "--address=127.0.0.1", f"--port={self._port}"],
            env={"PATH": os.environ["PATH"], "CELERY_BROKER_URL": broker, "FLOWER_BASIC_AUTH": AUTH},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, path: str, auth: str = AUTH, method: str = "GET") -> tuple[int, str]:
        """Status and body; status 0 as long as it does not listen."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", method=method)
        if auth:
            request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def nodes(self) -> list[dict[str, Any]]:
        status, body = self.ask("/workers?json=1")
        found: list[dict[str, Any]] = json.loads(body)["data"] if status == 200 else []
        return found


def until(holds: Callable[[], Any], what: str, seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def flower(fleet: Fleet) -> Iterator[Flower]:
    started = Flower(fleet.settings, fleet.folder)
    yield started
    if started.process.poll() is None:
        started.process.send_signal(signal.SIGTERM)
        started.process.wait(20)


def test_flower_lists_nodes_and_rings_and_can_stop_none(fleet: Fleet, flower: Flower) -> None:
    node = fleet.node()
    until(flower.nodes, "Flower shows the node")
    fleet.finished(fleet.submit(64))
    until(lambda: any(each.get("task-succeeded") for each in flower.nodes()), "Flower shows a ring")
    (name,) = (each["hostname"] for each in flower.nodes())
    refused = flower.ask(f"/api/worker/shutdown/{name}", method="POST")
    with connect(fleet.settings) as app:
        app.control.shutdown()
        app.control.pool_grow(3)
        answers = app.control.ping(timeout=2)
    fleet.finished(fleet.submit(64))

    assert flower.ask("/api/workers", auth="")[0] == 401
    assert flower.ask("/", auth="ops:guess")[0] == 401
    assert refused[0] == 404
    assert answers == []
    assert node.poll() is None
    assert len(fleet.slots()) == 1


def test_events_leave_nothing_in_the_broker(fleet: Fleet, valkey: redis.Redis) -> None:
    fleet.node()
    before = set(valkey.keys())
    heard = valkey.pubsub(ignore_subscribe_messages=True)
    heard.psubscribe("*celeryev*")
    fleet.finished(fleet.submit(640))
    seen: set[str] = set()

    def listened() -> bool:
        message = heard.get_message(timeout=0.1)
        seen.add(str(message["channel"])) if message else None
        return any("heartbeat" in each for each in seen) and any("task" in each for each in seen)

    until(listened, "a heartbeat and a ring were published")
    heard.close()

    assert set(valkey.keys()) - before == set()
