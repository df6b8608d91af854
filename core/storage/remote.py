"""Object stores over the network: how long is waited, how often is tried again, and what may go unencrypted.

Credentials are read by obstore from the variables of the provider. A store that is not the provider's own is named in
the URL: `s3://bucket/prefix?endpoint=https://host:port&region=name`.

A request that a store answered with 5xx, or not at all, is sent again: a `put` replaces whole values, so sending it
twice does no harm. All tries of one request together end after `PATIENCE`; the lease is kept by another thread.
"""

from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from obstore.store import ObjectStore, from_url

from core.errors import Invalid

CONNECT: Final = timedelta(seconds=5)
SILENCE: Final = timedelta(seconds=20)
"""How long a store may say nothing in the middle of a body."""
REQUEST: Final = timedelta(seconds=120)
"""One request with its whole body."""
TRIES: Final = 8
"""How often a request is sent again."""
PATIENCE: Final = timedelta(seconds=180)
"""All tries of a request together."""
REGION: Final = "us-east-1"
"""What a store with an endpoint of its own is told where no region is named: most do not care."""

_OPTIONS: Final[dict[str, Any]] = {"connect_timeout": CONNECT, "read_timeout": SILENCE, "timeout": REQUEST}
_RETRIES: Final[dict[str, Any]] = {
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
    "max_retries": TRIES,
    "retry_timeout": PATIENCE,
}


def open_url(url: str) -> ObjectStore:
    """Open a store by its URL; raise `Invalid` for an endpoint that would send all in the clear over a network."""
    plain, _, query = url.partition("?")
    named = parse_qs(query, keep_blank_values=True)
    if unknown := named.keys() - {"endpoint", "region"}:
        raise Invalid(f"a store's URL may name endpoint and region, not {', '.join(sorted(unknown))}")
    config = {name: values[-1] for name, values in named.items()}
    allowed = False
    if "endpoint" in config:
        allowed = _check(config["endpoint"])
        config.setdefault("region", REGION)
    options = _OPTIONS | {"allow_http": allowed}
    opener: Any = from_url  # its types name the variables of each provider
    store: ObjectStore = opener(plain, client_options=options, retry_config=_RETRIES, **config)
    return store


def is_loopback(host: str | None) -> bool:
    """Whether a host's name or address means this machine."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _check(endpoint: str) -> bool:
    """Whether an endpoint is one of this machine that may be talked to without TLS."""
    parts = urlsplit(endpoint)
    if parts.scheme == "https" and parts.hostname:
        return False
    if parts.scheme == "http" and is_loopback(parts.hostname):
        return True
    raise Invalid(f"{endpoint!r} is no endpoint of a store; write https://host:port (http:// only on this machine)")
