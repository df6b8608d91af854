"""The API as a process that may die, and a client that sends again under the same key."""

import subprocess
import time
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.chaos.rig import Rig
from vyaz.up import commands
from vyaz.up.supervisor import choose_port


class Door:
    """One API process on a port of its own, started again whenever it is dead."""

    def __init__(self, rig: Rig, key: str) -> None:
        self._rig = rig
        self._port = choose_port(0)
        self._process: subprocess.Popen[bytes] | None = None
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{self._port}", headers=headers, timeout=10)

    def __enter__(self) -> Self:
        self.revive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def revive(self) -> None:
        """Start the process if it does not run, and wait until it answers."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._rig.start(commands.api("127.0.0.1", self._port))
            self._rig.wait_until(self._lives, "the API answers")

    def submit_surely(self, body: dict[str, Any], key: str, seconds: float = 60) -> str:
        """Send until it is accepted, as a careful client does; returns the job's id."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.revive()
            try:
                answer = self._client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
            except httpx2.HTTPError:
                continue
            if answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer.status_code == 503, answer.text
            time.sleep(0.2)
        raise AssertionError("never accepted")

    def _lives(self) -> bool:
        try:
            return self._client.get("/livez").status_code == 200
        except httpx2.HTTPError:
            return False
