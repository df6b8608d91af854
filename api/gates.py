"""What every request passes on its way in and out: a name and a log line, a time limit, a limit on the body.

Plain ASGI: these must work when all threads are busy. The order is set in `api/app.py`.
"""

import asyncio
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import RETRY_AFTER, problem
from api.metrics import Requests
from core.storage.uploads import MOST_BYTES

log = structlog.get_logger(__name__)

ANSWER_WITHIN = 4.5
"""Seconds until an answer must have begun; a stopped server behind us must not look like a stopped API."""
MAX_BODY = 1 << 20
UPLOAD_WITHIN = 60.0
"""Seconds for a request that brings a file."""
UPLOADS = "/inversions"
"""How the path of such a request ends."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})


class Trace:
    """Names each request (a sane X-Request-ID is kept), counts it, and writes one line when it is over."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = Headers(scope=scope).get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 500

        async def name_and_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        begun = time.monotonic()
        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self._app(scope, receive, name_and_send)
            finally:
                self._close(scope, state, status, time.monotonic() - begun)

    def _close(self, scope: Scope, state: MutableMapping[str, Any], status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", None) or "none"
        self._requests.count(scope["method"], route, status, seconds)
        if scope["path"] not in _QUIET:
            where = {"method": scope["method"], "path": scope["path"], "status": status, "key": state.get("key")}
            log.info("request", **where, milliseconds=round(1000 * seconds, 1))


class Deadline:
    """Answers 503 when nothing has begun to answer in time; what was begun may still end well, unheard.

    A thread that waits for a stopped server cannot be called back, so the handler is left to itself.
    """

    def __init__(self, app: ASGIApp, seconds: float = ANSWER_WITHIN) -> None:
        self._app = app
        self._seconds = seconds
        self._left: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and wait for it only so long."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()
        seconds = UPLOAD_WITHIN if _uploads(scope) else self._seconds
        late = reading = False

        async def receive_noting() -> Message:
            nonlocal reading
            reading = True
            message = await receive()
            reading = False
            return message

        async def send_unless_late(message: Message) -> None:
            answered.set()
            if not late:
                await send(message)

        handling = asyncio.create_task(self._handle(scope, receive_noting, send_unless_late))
        begun = asyncio.create_task(answered.wait())
        try:
            await asyncio.wait({handling, begun}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answered.is_set() or handling.done():
                await handling
                return
            late = True
            self._leave(handling)
            if reading:
                handling.cancel()
        except asyncio.CancelledError:
            handling.cancel()
            raise
        finally:
            begun.cancel()
        await self._answer(scope, 408 if reading else 503, seconds)(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _answer(self, scope: Scope, status: int, seconds: float) -> Response:
        if status == 408:
            return problem(Request(scope), 408, f"the body did not come within {seconds:g} s")
        detail = f"no answer from the servers behind the API within {seconds:g} s"
        return problem(Request(scope), 503, detail, headers={"Retry-After": str(RETRY_AFTER)})

    def _leave(self, handling: "asyncio.Task[None]") -> None:
        self._left.add(handling)
        handling.add_done_callback(self._forget)

    def _forget(self, handling: "asyncio.Task[None]") -> None:
        self._left.discard(handling)
        if not handling.cancelled() and handling.exception() is not None:
            log.warning("a request failed after its time", error=str(handling.exception()))


class BodyLimit:
    """Refuses a body over the limit with 413, by its stated length or as it comes."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what it brings."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MOST_BYTES if _uploads(scope) else self._limit
        detail = f"a body may have at most {limit:,} bytes"
        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal() and int(stated) > limit:
            answer = problem(Request(scope), 413, detail, headers={"Connection": "close"})
            await answer(scope, receive, send)
            return
        brought = 0

        async def receive_counted() -> Message:
            nonlocal brought
            message = await receive()
            brought += len(message.get("body", b""))
            if brought > limit:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, receive_counted, send)


def _uploads(scope: Scope) -> bool:
    return scope["method"] == "POST" and str(scope["path"]).endswith(UPLOADS)
