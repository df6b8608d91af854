"""`.env.example`, written from the settings: `make env`. A test holds that the committed file is what this prints."""

import sys
from collections.abc import Iterator

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.settings import Settings

HEAD = """\
# Copy to .env. docker-compose.yml reads it; so does nothing else: Vyaz itself reads only its environment.
# Written by `make env` from core/settings.py.

# --- docker compose only -------------------------------------------------------------------------------------
# Both passwords stand in URLs, so letters and digits only: python3 -c 'import secrets; print(secrets.token_hex(24))'
VYAZ_DB_PASSWORD=
VYAZ_BROKER_PASSWORD=
# Where the API listens on this host
# VYAZ_BIND=127.0.0.1
# VYAZ_PORT=8000
# Who may look at Flower (--profile flower), as user:password, and its port on this host's loopback
# VYAZ_FLOWER_AUTH=
# VYAZ_FLOWER_PORT=5555

# --- every process -------------------------------------------------------------------------------------------
# Under docker compose the data folder and the URLs of database, broker and store are set by it, unless named here.
"""


def render() -> str:
    """The whole file: what only compose needs, then each setting with its meaning and its default."""
    return HEAD + "".join(_lines(Settings.model_fields))


def _lines(fields: dict[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        yield f"\n# {field.description}\n# VYAZ_{name.upper()}={_spell(field)}\n"


def _spell(field: FieldInfo) -> str:
    """The default as one would type it; empty where it depends on the machine or is a secret."""
    default = field.default
    if default is PydanticUndefined or hasattr(default, "get_secret_value"):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


if __name__ == "__main__":
    sys.stdout.write(render())
