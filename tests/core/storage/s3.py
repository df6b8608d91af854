"""A real S3 API server on loopback (SeaweedFS), and a proxy before it that misbehaves by a plan."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import botocore.session
import numpy as np

KEY, SECRET = "key", "secret"
BUCKET = "vyaz"
STARTS_IN = 60.0
"""Seconds that the server may take to answer."""


class Fault(StrEnum):
    """What may go wrong between a client and a store."""

    ERROR = "500"
    BUSY = "503 with Retry-After"
    CUT = "connection cut before anything is applied"
    SILENT = "no answer, and nothing is applied"
    LOST = "applied, and the answer is lost"
    TORN = "half of the body"


Plan = Callable[[int, str], Fault | None]
"""The fault of a request by its number and its first line; None lets it pass."""


def by_lot(seed: int, share: float, *faults: Fault) -> Plan:
    """Let a share of all requests meet one of these faults."""
    lots = np.random.default_rng(seed)
    return lambda number, line: faults[int(lots.integers(len(faults)))] if lots.random() < share else None


def first(count: int, fault: Fault, method: str) -> Plan:
    """Let the first requests of a method meet a fault."""
    seen = [0]

    def plan(number: int, line: str) -> Fault | None:
        if not line.startswith(method + " "):
            return None
        seen[0] += 1
        return fault if seen[0] <= count else None

    return plan


@dataclass
class Server:
    """SeaweedFS, with one bucket."""

    port: int

    def client(self) -> "botocore.client.BaseClient":
        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Run a server with its data in a folder."""
    weed = Path(sys.executable).with_name("weed")
    known = {"accessKey": KEY, "secretKey": SECRET}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "vyaz", "credentials": [known], "actions": actions}]}))
    (folder / "data").mkdir()
    master, volume, filer, s3 = free_ports(4)
    listen = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}", f"-volume.port={volume}"]
    more = [f"-filer.port={filer}", "-s3", f"-s3.port={s3}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    data = [f"-s3.config={config}", f"-dir={folder / 'data'}", "-volume.max=20", "-master.volumeSizeLimitMB=64"]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [str(weed), "server", *listen, *more, *data],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, s3, folder / "weed.log")
        yield Server(s3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder / "data")


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Make the bucket, and wait until it takes an object: the server answers before it can store."""
    deadline = time.monotonic() + STARTS_IN
    while True:
        with suppress(Exception):
            Server(port).client().create_bucket(Bucket=BUCKET)
            Server(port).client().put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the S3 server does not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports of which the one 10,000 above, where SeaweedFS speaks gRPC, is free too."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port > 55_000 or port in found:
                continue
            with suppress(OSError):
                other.bind(("127.0.0.1", port + 10_000))
                found.append(port)
    return found


@dataclass
class Proxy:
    """Passes requests on to a server, but for those that its plan spoils. One request a connection."""

    upstream: int
    plan: Plan = lambda number, line: None
    port: int = 0
    lines: list[str] = field(default_factory=list)
    """The first line of each request."""
    met: list[Fault] = field(default_factory=list)
    """The faults that were had."""

    def url(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._pass_on(reader, writer)
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n", 1)[0].decode()
        length = next((int(each[15:]) for each in head.lower().split(b"\r\n") if each[:15] == b"content-length:"), 0)
        body = await reader.readexactly(length)
        self.lines.append(line)
        fault = self.plan(len(self.lines), line)
        if fault is not None:
            self.met.append(fault)
        await self._answer(fault, _closing(head) + body, reader, writer)

    async def _answer(
        self, fault: Fault | None, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fault is Fault.ERROR:
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        elif fault is Fault.BUSY:
            said = b"retry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            writer.write(b"HTTP/1.1 503 Slow Down\r\n" + said)
        elif fault is Fault.SILENT:
            await reader.read()  # until the client gives up
        elif fault is not Fault.CUT:
            answer = await self._ask(request)
            head, _, body = answer.partition(b"\r\n\r\n")
            if fault is Fault.TORN:
                writer.write(head + b"\r\n\r\n" + body[: len(body) // 2])
            elif fault is None:
                writer.write(answer)
        await writer.drain()

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            writer.write(request)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


def _closing(head: bytes) -> bytes:
    """A request's head, asking for a connection that ends with the answer."""
    kept = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"connection: close"]) + b"\r\n\r\n"


@contextmanager
def misbehave(server: Server, plan: Plan = lambda number, line: None) -> Iterator[Proxy]:
    """Run a proxy in a thread of its own."""
    proxy = Proxy(server.port, plan)
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(asyncio.start_server(proxy.handle, "127.0.0.1", 0))
    proxy.port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield proxy
    asyncio.run_coroutine_threadsafe(_stop(listener), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _stop(listener: asyncio.Server) -> None:
    listener.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0.05)
