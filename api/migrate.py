"""Bring an instance that `vyaz up` did not start to this version: `python -m api.migrate`.

The schema first, then the weights that come with Vyaz. Again, or twice at once, is harmless.
"""

import sys

from core.catalogue.database import migrate
from core.errors import VyazError
from core.settings import Settings
from core.shipped import register_at


def main() -> list[str]:
    """Migrate the database and register shipped weights; the versions that are new. Raises what these raise."""
    settings = Settings()
    url = settings.database_url.get_secret_value()
    migrate(url)
    return register_at(url, settings.store)


if __name__ == "__main__":
    try:
        sys.stdout.writelines(f"registered {reference}\n" for reference in main())
    except VyazError as error:
        sys.exit(str(error))
