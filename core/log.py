"""Logs: structlog for our lines and those of the libraries, as readable text or one JSON object a line, to stderr.

No secret gets through: an API key is cut to its prefix and the password of a URL is struck out, wherever they stand.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from core.settings import Settings

_KEY = re.compile(r"\b(vyz_[0-9a-f]{12})_[A-Za-z0-9_-]{20,}")
_PASSWORD = re.compile(r"(://[^\s:/@]*:)[^\s@/]+@")
_LOUD = ("sqlalchemy.engine", "httpcore2", "httpx2", "amqp", "kombu", "celery.app.trace", "celery.worker.strategy")
_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure(settings: Settings) -> None:
    """Send every log line of this process to stderr in the form that the settings ask for. May be called again."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                strike_secrets,
                *_renderer(settings.log_json),
            ],
        )
    )
    _install(handler, settings.log_level.upper())


def strike_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut keys to their prefix and strike out passwords in every value of a log line."""
    for name, value in event.items():
        event[name] = _clean(value)
    return event


class _Handler(logging.StreamHandler[Any]):
    """Ours, so that it is found again and not added twice."""


def _renderer(as_json: bool) -> list[Processor]:
    if as_json:
        return [structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback  # by then the exception is text already
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _install(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _LOUD:
        logging.getLogger(name).setLevel("WARNING")
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1***@", _KEY.sub(r"\1_***", value))
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else _clean(str(value))
