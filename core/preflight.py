"""What the servers must promise before a process of Vyaz may start on them.

A server that is away is no reason not to start: it will be waited for. One that forgets what it was told is.
"""

import sqlalchemy as sa
import structlog
from redis.exceptions import RedisError

from core.broker import open_client
from core.catalogue.database import Database
from core.errors import Invalid, Unavailable
from core.settings import Settings

log = structlog.get_logger(__name__)

KEEPS_ALL = "noeviction"


def require_sound_servers(settings: Settings) -> None:
    """Raise `Invalid`, with the remedy, for a PostgreSQL or a Valkey that loses what was acknowledged."""
    _require_durable_commits(settings)
    _require_no_eviction(settings)


def _require_durable_commits(settings: Settings) -> None:
    database = Database(settings.database_url.get_secret_value(), pooled=False)
    try:
        with database.transaction() as session:
            found = session.scalar(sa.text("SHOW synchronous_commit"))
    except Unavailable as error:
        log.warning("the database was not asked whether its commits last", reason=str(error))
        return
    finally:
        database.close()
    if found == "off":
        raise Invalid(
            "PostgreSQL has synchronous_commit = off: a crash would lose jobs that were accepted. "
            "Set it to on, for the server and for the role"
        )


def _require_no_eviction(settings: Settings) -> None:
    try:
        with open_client(settings) as client:
            found = client.info("memory").get("maxmemory_policy", KEEPS_ALL)
    except (RedisError, OSError, ValueError) as error:
        log.warning("the broker was not asked whether it evicts", reason=type(error).__name__)
        return
    if found != KEEPS_ALL:
        raise Invalid(
            f"the broker has maxmemory-policy {found}: it may drop queues and rings without a word. "
            f"Set it to {KEEPS_ALL}, and give caches a server of their own"
        )
