"""A real API process on real servers, a client of it, and a slot that works by hand: no Celery, no torch."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image, ImageDraw, ImageFont

from core.catalogue import datasets, keys
from core.catalogue.database import Database
from core.catalogue.ingest import copy_variants
from core.catalogue.rows import VariantRow
from core.catalogue.tables import Job, Model, ModelVersion, Worker
from core.ledger import leases, slots
from core.ledger.finish import Failure, Outcome, Stored, finish_surely
from core.ledger.leases import Lease
from core.ledger.states import UNFINISHED
from core.monogram.picture import digest, encode
from core.recipe import ENGINE
from core.settings import Settings
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter, shard_key
from tests.conftest import create_database, name_database, stand_by
from vyaz.client import Client
from vyaz.sheet import _face  # the font that the captions use has all our letters
from vyaz.up import commands
from vyaz.up.servers import ServerPair

ROOT = Path(__file__).parents[2]


@dataclass
class Door:
    """An API process with its ledger and store. All tests share one: it takes seconds to start."""

    settings: Settings
    url: str
    folder: Path
    database: Database
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the API and wait until it answers."""
        secrets = {
            "VYAZ_DATABASE_URL": self.settings.database_url.get_secret_value(),
            "VYAZ_BROKER_URL": self.settings.broker_url.get_secret_value(),
            "VYAZ_STORE_URL": self.settings.store_url,
        }
        port = int(self.url.rpartition(":")[2])
        with (self.folder / "api.log").open("ab") as log:
            self.process = subprocess.Popen(
                commands.api("127.0.0.1", port).argv,
                env={"PATH": os.environ["PATH"], **secrets},
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        deadline = time.monotonic() + 60
        while not self._listens(port):
            assert self.process.poll() is None, (self.folder / "api.log").read_text()
            assert time.monotonic() < deadline, "the API does not listen"
            time.sleep(0.05)

    def stop(self) -> None:
        """End the API at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _listens(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class House:
    """A test's own owner behind the door, with a key of every scope, and a slot that works by hand."""

    door: Door
    owner: str
    key: str
    folder: Path
    slot: uuid.UUID | None = None

    @property
    def url(self) -> str:
        return self.door.url

    @property
    def env(self) -> dict[str, str]:
        """The environment of a command for this instance."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**kept, "HOME": str(self.folder), "VYAZ_URL": self.url, "VYAZ_API_KEY": self.key}

    def model(self, name: str = "letters") -> None:
        """Record a version that nobody trained, once."""
        with self.door.database.transaction() as session:
            if session.scalar(sa.select(Model).where(Model.name == name)) is not None:
                return
            model = Model(name=name)
            session.add(model)
            session.flush()
            version = ModelVersion(
                model_id=model.id, number=1, family="mlp", config={}, path="none", digest=b"\1" * 32, size=1
            )
            session.add(version)

    def work(self, *, failing: tuple[int, ...] = (), pause: float = 0.0, shards: int = 1_000) -> int:
        """Claim and finish up to so many shards by hand; how many there were."""
        if self.slot is None:
            with self.door.database.transaction() as session:
                slot = slots.Slot("node", "host", 1, 1, "cpu", "cpu", "test", "0", ENGINE)
                self.slot = slots.register(session, slot)
        for done in range(shards):
            with self.door.database.transaction() as session:
                lease = leases.claim(session, self.slot, self.door.settings)
            if lease is None:
                return done
            time.sleep(pause)
            self._make(lease, [index for index in failing if lease.start <= index < lease.stop])
        return shards

    def work_aside(self, **options: float) -> threading.Thread:
        """`work` once there is something, in a thread."""

        def wait_and_work() -> None:
            deadline = time.monotonic() + 30
            while not self.work(**options) and time.monotonic() < deadline:  # type: ignore[arg-type]
                time.sleep(0.05)

        thread = threading.Thread(target=wait_and_work)
        thread.start()
        return thread

    def _make(self, lease: Lease, failing: list[int]) -> None:
        rows = []
        groups = lease.spec.get("letters", [""])
        stored = None
        with ShardWriter({"job": str(lease.job_id)}) as writer:
            for index in sorted(set(range(lease.start, lease.stop)) - set(failing)):
                letters = groups[index % len(groups)]
                pixels = picture(letters, index) if letters else np.zeros((1, 1), np.uint8)
                span = writer.add(index, encode(pixels), {})
                length = span.length if letters else 0
                rows.append(VariantRow(index, letters, "straight", digest(pixels), span.offset, length, 0.1))
            if any(groups):
                path = shard_key(str(lease.job_id), lease.start, lease.stop, lease.epoch)
                size, sha256 = writer.store(Blobs.open(self.door.settings.store_url), path)
                stored = Stored(path, size, bytes.fromhex(sha256))
        failures = [Failure(index, "told to") for index in failing]
        finish_surely(
            self.door.database,
            lease,
            Outcome(lease.stop, 0.1, stored, failures),
            lambda session: (
                copy_variants(session, lease.job_number, lease.shard_id, lease.model_version_id, rows) or {}
            ),
        )


def picture(letters: str, index: int) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    """Letters in a plain font, a little different for every index."""
    image = Image.new("L", (128, 128), 255)
    face = ImageFont.truetype(str(_face()), 48 + index % 24)
    ImageDraw.Draw(image).text((64, 64), letters, 0, face, anchor="mm")
    pixels = np.array(image)
    pixels[0, :32] = [255 * (index >> bit & 1) for bit in range(32)]
    return pixels


@pytest.fixture(scope="session")
def door(servers: ServerPair, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    name = f"door_{uuid.uuid4().hex[:8]}"
    create_database(servers, name, template)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("door")
    database_url = name_database(servers, name)
    settings = Settings(
        database_url=database_url,
        broker_url=servers.broker_url,
        store_url=(folder / "store").as_uri(),
        shard_seconds=1.0,
    )
    door = Door(settings, url, folder, Database(database_url))
    stand_by(door.database)
    with door.database.transaction() as session:
        datasets.ensure_builtin(session)
    try:
        door.start()
        yield door
    finally:
        door.stop()
        door.database.close()


@pytest.fixture
def house(door: Door, tmp_path: Path) -> Iterator[House]:
    owner = f"studio-{uuid.uuid4().hex[:8]}"
    with door.database.transaction() as session:
        _, key = keys.create(session, owner, "test", "admin")
    house = House(door, owner, key, tmp_path)
    yield house
    with door.database.transaction() as session:  # nothing of this test is left for another one's slot
        unfinished = sa.update(Job).where(Job.state.in_(UNFINISHED)).values(state="cancelled")
        session.execute(unfinished)
        session.execute(sa.update(Worker).values(state="gone"))


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    with Client(house.url, house.key) as client:
        yield client


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str
    raw: bytes = field(default=b"", repr=False)


Vyaz = Callable[..., Said]


@pytest.fixture
def vyaz(house: House) -> Vyaz:
    """The command `vyaz` as a process, its output piped."""

    def run(*arguments: str, env: dict[str, str] | None = None, timeout: float = 60) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "vyaz", *arguments],
            env={**house.env, **(env or {}), "PYTHONPATH": str(ROOT)},
            cwd=house.folder,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(), done.stdout)

    return run


@pytest.fixture
def vyaz_process(house: House) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """The same, left running; killed in the end."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **streams: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "vyaz", *arguments],
            env={**house.env, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            cwd=house.folder,
            start_new_session=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
