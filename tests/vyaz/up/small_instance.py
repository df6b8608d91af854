"""A supervisor with small processes, as a program: `small_instance.py DATA JOURNAL PORT KIND...`.

It stands for `vyaz up`, whose own processes need half a minute of processor time to start. Prints one line of JSON when
ready; an error goes to stderr as `Kind: message`, exit code 1.
"""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

import psycopg

from core.errors import VyazError
from core.settings import Settings
from vyaz.up.folder import claim, refuse_held
from vyaz.up.instance import Instance
from vyaz.up.processes import Command
from vyaz.up.supervisor import Setup, Supervisor, choose_port

STAND_IN = Path(__file__).with_name("stand_in.py")


def command(kind: str, name: str, journal: str, *rest: str) -> Command:
    return Command(name, (sys.executable, str(STAND_IN), kind, name, journal, *rest), grace=3.0)


def migrate(url: str) -> None:
    if "broken-migration" in sys.argv:
        raise VyazError("the migration is broken")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")


def create_key(url: str) -> str:
    return "vyaz_first_key"


def tell(instance: Instance) -> None:
    print(json.dumps(asdict(instance)), flush=True)


def main(data: str, journal: str, port: str, *kinds: str) -> int:
    refuse_held(claim(Path(data)))
    number = choose_port(int(port) if port else None)
    first = "faller" if "dead-api" in kinds else "api"
    plan = [command(first, "api", journal, str(number)), command("plain", "beat", journal)]
    workers = [kind for kind in kinds if kind in ("plain", "forker", "deaf", "faller")]
    plan += [command(kind, f"worker-{n}", journal) for n, kind in enumerate(workers, 1)]
    return Supervisor(Path(data), number, plan, Setup(migrate, create_key), tell).run(Settings())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    try:
        sys.exit(main(*sys.argv[1:]))
    except VyazError as error:
        sys.exit(f"{type(error).__name__}: {error}")
