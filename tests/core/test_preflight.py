"""No process starts on servers that lose what was acknowledged; one that is away is waited for."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import sql
from pydantic import SecretStr
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from core.errors import Invalid
from core.preflight import require_sound_servers
from core.settings import Settings
from vyaz.up import commands
from vyaz.up.processes import Command
from vyaz.up.servers import ServerPair
from vyaz.up.wheels import find_valkey

NODE, BEAT = commands.worker("cpu", 1, "cpu"), commands.beat()


@pytest.fixture
def settings(database_url: str, broker_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, broker_url=broker_url, data=tmp_path)


@pytest.fixture
def forgetful(servers: ServerPair, settings: Settings) -> None:
    name = settings.database_url.get_secret_value().rpartition("/")[2].partition("?")[0]
    with psycopg.connect(servers.superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))


@pytest.fixture
def evicting(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings that name a server which drops keys when it is full."""
    socket = tmp_path / "valkey.sock"
    options = ("--port", "0", "--unixsocket", socket, "--maxmemory-policy", "allkeys-lru", "--dir", tmp_path)
    with subprocess.Popen([find_valkey(), *options], stdout=subprocess.DEVNULL) as server:
        try:
            with redis.Redis(unix_socket_path=str(socket), retry=Retry(ConstantBackoff(0.05), 200)) as client:
                client.ping()
            yield settings.model_copy(update={"broker_url": SecretStr(f"redis+socket://{socket}")})
        finally:
            server.kill()


def start(command: Command, settings: Settings, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a process that is to end by itself."""
    secrets = {name: getattr(settings, name).get_secret_value() for name in ("database_url", "broker_url")}
    env = {f"VYAZ_{name.upper()}": value for name, value in secrets.items()}
    return subprocess.run(
        command.argv,
        env={**env, **command.environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_sound_servers_are_accepted(settings: Settings) -> None:
    assert require_sound_servers(settings) is None


@pytest.mark.usefixtures("forgetful")
def test_commits_that_may_be_lost_are_refused(settings: Settings) -> None:
    with pytest.raises(Invalid, match="synchronous_commit = off"):
        require_sound_servers(settings)


def test_a_broker_that_evicts_is_refused(evicting: Settings) -> None:
    with pytest.raises(Invalid, match="maxmemory-policy allkeys-lru"):
        require_sound_servers(evicting)


def test_servers_that_are_away_are_no_reason_not_to_start(tmp_path: Path) -> None:
    away = {"database_url": "postgresql://vyaz@127.0.0.1:9/vyaz", "broker_url": "redis://127.0.0.1:9/0"}

    assert require_sound_servers(Settings(**away, data=tmp_path)) is None


@pytest.mark.parametrize("command", [NODE, BEAT], ids=["node", "beat"])
def test_a_celery_process_does_not_start_on_them(command: Command, evicting: Settings, tmp_path: Path) -> None:
    ended = start(command, evicting, tmp_path)

    assert ended.returncode == 1
    assert "maxmemory-policy allkeys-lru" in ended.stderr


@pytest.mark.usefixtures("forgetful")
def test_the_api_does_not_start_on_them(settings: Settings, tmp_path: Path) -> None:
    ended = start(commands.api("127.0.0.1", 0), settings, tmp_path)

    assert ended.returncode != 0
    assert "synchronous_commit = off" in ended.stderr
