"""The way into an instance that was started by docker compose: no key exists yet."""

import os
import subprocess
import sys

from core.catalogue import keys
from core.catalogue.database import Database
from tests.tree import ROOT


def make(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.first_key", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "VYAZ_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
    )


def test_the_printed_key_opens_every_door_for_its_owner(database_url: str) -> None:
    made = make(database_url, "studio")
    database = Database(database_url, pooled=False)
    with database.transaction() as session:
        caller = keys.identify(session, made.stdout.strip())

    assert (caller.owner, caller.scope) == ("studio", keys.Scope.ADMIN)


def test_a_database_that_is_away_or_a_forgotten_owner_makes_no_key(database_url: str) -> None:
    away = make("postgresql://vyaz:secret@127.0.0.1:1/vyaz", "studio")
    nameless = make(database_url)

    assert (away.returncode, away.stdout) == (1, "")
    assert away.stderr.startswith("the database is away: ")
    assert (nameless.returncode, nameless.stderr) == (1, "usage: python -m api.first_key OWNER\n")
