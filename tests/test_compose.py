"""docker-compose.yml and the Dockerfile, held against the code. No container engine is needed, and none is used."""

import functools
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import env_example
from tests.tree import ROOT, files, text
from vyaz.up import commands
from vyaz.up.processes import Command
from vyaz.up.wheels import find_postgres, find_valkey

OURS = ("migrate", "api", "beat", "worker-cpu", "worker-gpu")
LASTING = tuple(name for name in OURS if name != "migrate")
SERVERS = ("postgres", "valkey")
OPTIONAL = {"worker-gpu": "gpu", "flower": "flower"}  # with the profile that starts them

# What `vyaz up` starts on one machine, as it would listen in a container.
EMBEDDED = {
    "api": commands.api("0.0.0.0", 8000),
    "beat": commands.beat(),
    "worker-cpu": commands.worker("cpu", 1, "cpu"),
    "worker-gpu": commands.worker("gpu", 1, "cuda:0"),
}

# What the servers' images bring along that is used here: their own programs, and Debian's shell.
SERVER_PROGRAMS = {
    "postgres": {"postgres", "pg_isready"},
    "valkey": {"valkey-server", "valkey-cli", "sh", "grep"},
}


@functools.cache
def compose() -> dict[str, Any]:
    """The file as compose reads it, variables not yet filled in."""
    loaded: dict[str, Any] = yaml.safe_load(text("docker-compose.yml"))
    return loaded


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def stages() -> dict[str, list[str]]:
    """The Dockerfile's stages by name, each with its instructions; the first is what it stands on."""
    joined = re.sub(r"\\\n", " ", text("Dockerfile"))
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("FROM "):
            _, parent, _, name = line.split()
            found[name] = [parent]
        else:
            found[list(found)[-1]].append(line)
    return found


def lineage(target: str) -> list[str]:
    """Every instruction that makes an image, oldest first."""
    parent, *own = stages()[target]
    return (lineage(parent) if parent in stages() else []) + own


def locked(target: str) -> set[str]:
    """The packages that an image's virtual environment holds."""
    copied = next(line for line in stages()[target] if "/opt/venv /opt/venv" in line)
    maker = copied.split("--from=")[1].split()[0]
    names = next(line.split()[1] for line in stages()[maker] if line.startswith("COPY requirements/"))
    return set(re.findall(r"^([a-z0-9._-]+)==", text(names), re.MULTILINE))


def run(argv: list[str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A program in the environment of an image: the packages are there, and the servers are away."""
    away = {"VYAZ_DATABASE_URL": "postgresql://vyaz@127.0.0.1:1/vyaz", "VYAZ_BROKER_URL": "redis://127.0.0.1:1/0"}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **away}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def target(name: str) -> str:
    found: str = service(name)["build"]["target"]
    return found


def test_the_file_names_exactly_the_processes_of_an_instance() -> None:
    assert set(compose()["services"]) == {*OURS, *SERVERS, "flower"}


@pytest.mark.parametrize("name", LASTING)
def test_a_command_is_a_program_of_a_package_that_its_image_installs(name: str) -> None:
    program = service(name)["command"][0]
    (script,) = importlib.metadata.entry_points(group="console_scripts", name=program)

    assert script.dist is not None
    assert script.dist.name.lower() in locked(target(name))


@pytest.mark.parametrize(("name", "embedded"), EMBEDDED.items())
def test_a_process_is_the_very_one_that_vyaz_up_starts(name: str, embedded: Command) -> None:
    environment = service(name)["environment"]

    assert [sys.executable, "-m", *service(name)["command"]] == list(embedded.argv)
    assert {key: environment[key] for key in embedded.environment} == embedded.environment
    assert int(service(name)["stop_grace_period"].removesuffix("s")) >= embedded.grace


def test_the_api_command_names_a_factory_that_makes_an_application() -> None:
    import importlib

    import uvicorn

    command = service("api")["command"]
    options = uvicorn.main.make_context("uvicorn", list(command[1:])).params
    module, _, factory = options["app"].partition(":")

    assert options["factory"] is True
    assert callable(getattr(importlib.import_module(module), factory))


@pytest.mark.parametrize("name", ["beat", "worker-cpu", "worker-gpu"])
def test_a_celery_command_names_an_application_and_options_that_celery_takes(name: str) -> None:
    # With --help, Celery loads the application and reads all options, and then stops.
    taken = run([sys.executable, "-m", *service(name)["command"], "--help"])
    refused = run([sys.executable, "-m", *service(name)["command"], "--no-such-option", "--help"])

    assert (taken.returncode, taken.stderr) == (0, "")
    assert refused.returncode == 2


def test_the_worker_image_holds_torch_and_the_api_image_does_not() -> None:
    assert "torch" in locked("worker")
    assert "torch" not in locked("api")


def test_the_migration_command_finds_the_migrations_with_only_what_the_image_holds(tmp_path: Path) -> None:
    python, option, module = service("migrate")["command"]
    assert (python, option) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None
    assert "COPY pyproject.toml ./" in lineage("api")

    (tmp_path / "pyproject.toml").write_text(text("pyproject.toml"))
    heads = run([sys.executable, "-m", "alembic", "heads"], cwd=tmp_path)

    assert heads.stdout.strip().endswith("(head)"), heads.stderr
    assert len(heads.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", SERVERS)
def test_servers_start_programs_of_their_own_image(name: str) -> None:
    command, check = service(name)["command"], service(name)["healthcheck"]["test"]
    used = {command[0]} | {word for word in shlex.split(" ".join(check[1:])) if word in SERVER_PROGRAMS[name]}

    assert used <= SERVER_PROGRAMS[name]


def test_postgres_knows_every_option_that_it_is_given() -> None:
    known = subprocess.run([find_postgres() / "postgres", "--describe-config"], capture_output=True, text=True)
    names = {line.split("\t")[0] for line in known.stdout.splitlines()}
    given = {word.split("=")[0] for word in service("postgres")["command"] if "=" in word}

    assert given == {"max_connections", "synchronous_commit", "timezone"}
    assert {name.lower() for name in given} <= {name.lower() for name in names}


def test_valkey_started_as_in_the_file_wants_the_password_appends_and_never_evicts(tmp_path: Path) -> None:
    import redis

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = secrets.token_hex(8)
    shell, flag, script = service("valkey")["command"]
    script = script.replace("$$", "$").replace("valkey-server -", f"valkey-server - --bind 127.0.0.1 --port {port}")
    environment = {"PATH": f"{find_valkey().parent}:/usr/bin:/bin", "REDISCLI_AUTH": password}
    server = subprocess.Popen([shell, flag, script], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, password=password) as client:
            _await(client)
            settings = client.config_get("*")
            with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
    finally:
        server.terminate()
        server.wait(10)

    assert settings["appendonly"] == "yes"
    assert settings["save"] == ""
    assert settings["maxmemory-policy"] == "noeviction"
    assert (tmp_path / "appendonlydir").is_dir()


def _await(client: Any) -> None:
    import redis

    for _ in range(1000):
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("valkey did not answer within 20 s")


@pytest.mark.parametrize("name", ["beat", "worker-cpu", "worker-gpu"])
def test_a_process_without_http_is_asked_for_by_a_module_that_exists(name: str) -> None:
    command, python, flag, module, what = service(name)["healthcheck"]["test"]
    asked = run([sys.executable, flag, module, what])

    assert (command, python) == ("CMD", "python")
    assert asked.returncode == 1
    assert "the database is away" in asked.stderr


def test_the_api_is_asked_for_at_a_path_that_it_serves() -> None:
    command, python, flag, program = service("api")["healthcheck"]["test"]
    path = re.search(r"http://127\.0\.0\.1:8000(/\w+)", program)
    compile(program, "healthcheck", "exec")
    served = run([sys.executable, "-c", "from api.app import create_app; print(*create_app().openapi()['paths'])"])

    assert (command, python, flag) == ("CMD", "python", "-c")
    assert path is not None
    assert path[1] in served.stdout.split(), served.stderr


def test_every_named_volume_is_declared_and_every_declared_one_is_used() -> None:
    mounts = [mount for name in compose()["services"] for mount in service(name).get("volumes", [])]

    assert {mount.split(":")[0] for mount in mounts} == set(compose()["volumes"])


def test_postgres_18_keeps_its_data_on_the_volume() -> None:
    # From 18 on the image's data folder is /var/lib/postgresql/18/docker, and a mount at .../data is refused.
    assert service("postgres")["image"].endswith("pg18")
    assert service("postgres")["volumes"] == ["postgres:/var/lib/postgresql"]


def secrets_given() -> list[tuple[str, str]]:
    """Variables whose name says that they hold a secret, of all services."""
    given = [pair for name in compose()["services"] for pair in service(name).get("environment", {}).items()]
    return [(key, value) for key, value in given if re.search("PASSWORD|AUTH$|SECRET|KEY", key)]


def test_no_password_stands_in_the_file_and_none_has_a_default() -> None:
    source = text("docker-compose.yml")
    variables = re.findall(r"\$\{(VYAZ_\w*PASSWORD)(\W*)", source)

    assert len(variables) == source.count("PASSWORD}") + source.count("PASSWORD:?}")
    assert {marks[:2] for _, marks in variables} == {":?"}
    # Compose fills in every variable, whatever the profile: one that must be set would bind those who want no Flower.
    optional = {"${VYAZ_FLOWER_AUTH:-}"}
    assert {value for _, value in secrets_given()} == {
        "${VYAZ_DB_PASSWORD:?}",
        "${VYAZ_BROKER_PASSWORD:?}",
    } | optional
    assert re.findall(r"(?i)requirepass (?!\$\$REDISCLI_AUTH)|://\w*:(?!\$\{)", source) == []


def test_every_variable_of_the_file_is_explained_in_env_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", text("docker-compose.yml")))
    explained = set(re.findall(r"^(?:# )?(\w+)=", env_example.render(), re.MULTILINE))

    assert asked - explained == set()


@pytest.mark.parametrize("name", OURS)
def test_our_processes_run_without_root_and_without_a_writable_system(name: str) -> None:
    users = [line.split()[1] for line in lineage(target(name)) if line.startswith("USER ")]

    assert users == ["10001:10001"]
    assert service(name)["read_only"] is True
    assert service(name)["cap_drop"] == ["ALL"]
    assert service(name)["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVERS)
def test_servers_run_without_root_and_without_a_writable_system(name: str) -> None:
    assert service(name)["user"] == name
    assert service(name)["read_only"] is True
    assert service(name)["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", LASTING)
def test_everything_waits_for_servers_that_are_healthy_and_a_schema_that_is_there(name: str) -> None:
    waits = {other: condition["condition"] for other, condition in service(name)["depends_on"].items()}

    assert waits == {
        "postgres": "service_healthy",
        "valkey": "service_healthy",
        "migrate": "service_completed_successfully",
    }


@pytest.mark.parametrize("name", [*LASTING, *SERVERS])
def test_what_stops_has_time_to_stop_and_what_falls_is_started_again(name: str) -> None:
    assert "stop_grace_period" in service(name)
    assert service(name)["restart"] == "unless-stopped"


def test_gpu_workers_and_flower_start_only_when_asked_for() -> None:
    assert service("worker-gpu")["deploy"]["resources"]["reservations"]["devices"][0]["driver"] == "nvidia"
    profiles = {name: service(name)["profiles"] for name in compose()["services"] if "profiles" in service(name)}
    assert profiles == {name: [profile] for name, profile in OPTIONAL.items()}


def flower_started(tmp_path: Path, auth: str) -> subprocess.CompletedProcess[str]:
    """What the shell of the Flower service does, with a `celery` that only says how it was called."""
    shell, flag, script = service("flower")["command"]
    program = tmp_path / "celery"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "FLOWER_BASIC_AUTH": auth}
    script = script.replace("$$", "$")
    return subprocess.run([shell, flag, script], env=environment, capture_output=True, text=True, timeout=10)


@pytest.mark.parametrize("auth", ["", "ops", "ops:", ":secret"])
def test_flower_refuses_to_start_without_somebody_who_may_look(tmp_path: Path, auth: str) -> None:
    refused = flower_started(tmp_path, auth)

    assert (refused.returncode, refused.stdout) == (78, "")
    assert "VYAZ_FLOWER_AUTH" in refused.stderr


def test_flower_starts_with_a_password_and_is_reached_from_this_host_only(tmp_path: Path) -> None:
    assert flower_started(tmp_path, "ops:secret").stdout == "flower --address=0.0.0.0 --port=5555\n"
    assert service("flower")["ports"] == ["127.0.0.1:${VYAZ_FLOWER_PORT:-5555}:5555"]
    assert "FLOWER_UNAUTHENTICATED_API" not in service("flower")["environment"]
    assert service("flower")["read_only"] is True
    assert service("flower")["cap_drop"] == ["ALL"]


def test_whatever_the_dockerfile_copies_exists_and_reaches_the_builder() -> None:
    copies = [
        source
        for instructions in stages().values()
        for line in instructions
        if line.startswith("COPY ") and "--from=" not in line
        for source in line.split()[1:-1]
    ]
    admitted = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    there = {name.split("/")[0] for name in files()} | set(files())

    assert {source.split("/")[0] for source in copies} == admitted
    assert [source for source in copies if source not in there] == []


def test_the_wheel_of_the_image_holds_every_package_of_the_product() -> None:
    import tomllib

    packages = tomllib.loads(text("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {line.split()[1] for line in stages()["wheel"] if line.startswith("COPY ")}

    assert set(packages) <= copied
