"""`vyaz doctor`: what is here, what answers, and what is wrong."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import typer

from core.errors import Invalid, VyazError
from core.settings import Settings
from vyaz.cli import device
from vyaz.cli.output import emit_json, emit_table
from vyaz.cli.session import AsJson, Data
from vyaz.client import Client, find
from vyaz.up.wheels import find_postgres, find_valkey

OLDEST_PYTHON: Final = (3, 11)
LIBRARIES: Final = ("celery", "fastapi", "httpx2", "numpy", "obstore", "pillow", "psycopg", "pydantic", "sqlalchemy")
LITTLE_SPACE: Final = 5 << 30  # bytes free
NO_SPACE: Final = 512 << 20


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `note`: not needed here, or not there yet, and nothing is wrong with that."""

    name: str
    state: Literal["ok", "note", "wrong"]
    detail: str


def doctor(as_json: AsJson = False, data: Data = None) -> None:
    """Look whether everything is there and answers; exit code 1 when something is wrong."""
    settings = Settings()
    findings = [finding for look in _looks(settings, data) for finding in look()]
    if as_json:
        emit_json(findings)
    else:
        emit_table(("what", "state", "found"), [(each.name, each.state, each.detail) for each in findings])
    if any(each.state == "wrong" for each in findings):
        raise typer.Exit(1)


def _looks(settings: Settings, data: Path | None) -> list[Callable[[], Iterator[Finding]]]:
    folder = data or settings.data
    return [
        _python,
        _libraries,
        _torch,
        _servers,
        lambda: _instance(settings, data),
        lambda: _database(settings.database_url.get_secret_value()),
        lambda: _broker(settings.broker_url.get_secret_value()),
        lambda: _space(folder),
    ]


def _python() -> Iterator[Finding]:
    state: Literal["ok", "wrong"] = "ok" if sys.version_info >= OLDEST_PYTHON else "wrong"
    yield Finding("python", state, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _libraries() -> Iterator[Finding]:
    found, missing = [], []
    for name in ("vyaz", *LIBRARIES):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    yield Finding("libraries", "ok", ", ".join(found))
    if missing:
        yield Finding("libraries", "wrong", f"not installed: {', '.join(missing)}; run make install")


def _torch() -> Iterator[Finding]:
    try:
        torch, torchvision = (importlib.metadata.version(name) for name in ("torch", "torchvision"))
    except importlib.metadata.PackageNotFoundError as error:
        yield Finding("torch", "note", f"{error.name} is not installed: no worker can run here, the rest can")
        return
    found = device.probe()
    if isinstance(found, str):
        yield Finding("torch", "wrong", f"torch {torch}, torchvision {torchvision} cannot be loaded: {found}")
        return
    yield Finding("torch", "ok", f"{found.version}, torchvision {torchvision}")
    gpus = ", ".join(f"cuda:{number} {name}" for number, name in enumerate(found.devices))
    yield Finding("device", "ok", gpus or f"cpu, {found.capability}, {found.threads} threads")


def _servers() -> Iterator[Finding]:
    for name, place in (("postgresql", _postgres), ("valkey", find_valkey)):
        try:
            answer = subprocess.run([str(place()), "--version"], capture_output=True, text=True, timeout=20, check=True)
        except Invalid as error:
            yield Finding(f"bundled {name}", "note", str(error))
        except (OSError, subprocess.SubprocessError) as error:
            yield Finding(f"bundled {name}", "wrong", f"does not run: {error}")
        else:
            yield Finding(f"bundled {name}", "ok", answer.stdout.strip())


def _postgres() -> Path:
    return find_postgres() / "postgres"


def _instance(settings: Settings, data: Path | None) -> Iterator[Finding]:
    try:
        address = find(data=data)
    except VyazError as error:
        yield Finding("instance", "note", str(error))
        return
    with Client(address.url, address.api_key) as client:
        try:
            ready = client.readiness()
            workers = list(client.workers.list())
        except VyazError as error:
            yield Finding("instance", "wrong", f"{client.url}: {error}")
            return
        yield Finding("instance", "ok", client.url)
        yield Finding("database", "ok", f"answers, schema {ready.schema_version}")
        broker = "away: jobs are taken, but start late" if "broker" in ready.degraded else "answers"
        yield Finding("broker", "wrong" if "broker" in ready.degraded else "ok", broker)
        slots = ", ".join(f"{each.device} on {each.node}" for each in workers)
        yield Finding("workers", "ok" if workers else "wrong", slots or "none: nothing will be worked on")


def _database(url: str) -> Iterator[Finding]:
    if not url:
        return
    from core.catalogue.database import Database  # SQLAlchemy takes longer to load than all other commands

    database = Database(url, pooled=False)
    try:
        database.ping()
        yield Finding("VYAZ_DATABASE_URL", "ok", "answers")
    except VyazError as error:
        yield Finding("VYAZ_DATABASE_URL", "wrong", str(error))
    finally:
        database.close()


def _broker(url: str) -> Iterator[Finding]:
    if not url:
        return
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        address = url.replace("redis+socket://", "unix://", 1)  # Celery's spelling, and redis-py's
        with Redis.from_url(address, socket_timeout=3, socket_connect_timeout=3) as server:
            server.ping()
        yield Finding("VYAZ_BROKER_URL", "ok", "answers")
    except (RedisError, ValueError) as error:
        yield Finding("VYAZ_BROKER_URL", "wrong", str(error))


def _space(folder: Path) -> Iterator[Finding]:
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    state: Literal["ok", "note", "wrong"] = "ok" if free > LITTLE_SPACE else "note" if free > NO_SPACE else "wrong"
    yield Finding("disk", state, f"{free / 2**30:.1f} GiB free for {folder}")
