"""The first key of an instance that `vyaz up` did not start: `python -m api.first_key OWNER` prints an admin key.

Making a key over HTTP needs a key; this needs the database's URL, which opens every door anyway.
"""

import sys

from core.catalogue import keys
from core.catalogue.database import Database
from core.errors import VyazError
from core.settings import Settings


def make(owner: str) -> str:
    """An admin key for `owner`, who is made if new. Raises `Invalid` for an impossible name, `Unavailable`."""
    database = Database(Settings().database_url.get_secret_value(), pooled=False)
    try:
        with database.transaction() as session:
            _, key = keys.create(session, owner, "made on the command line", keys.Scope.ADMIN)
            return key
    finally:
        database.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m api.first_key OWNER")
    try:
        sys.stdout.write(make(sys.argv[1]) + "\n")
    except VyazError as error:
        sys.exit(str(error))
