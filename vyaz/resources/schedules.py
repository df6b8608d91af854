"""Schedules: rules by which jobs are submitted by themselves."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vyaz.transport import Json, Transport, read


@dataclass(frozen=True)
class Fire:
    """One occurrence of a schedule."""

    due_at: datetime
    fired_at: datetime
    job: str | None = None
    reason: str | None = None
    """Why nothing was submitted."""


@dataclass(frozen=True)
class Schedule:
    """A rule for submitting a job by itself."""

    name: str
    cron: str
    timezone: str
    request: dict[str, Any] = field(default_factory=dict)
    """The body it submits, as `vyaz.resources.requests` makes them."""
    paused: bool = False
    next_due_at: datetime | None = None
    last: Fire | None = None
    created_at: datetime | None = None


class Schedules:
    """`client.schedules`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Schedule]:
        """Yield one's schedules."""
        for item in self._transport.pages("/v1/schedules"):
            yield read(Schedule, item)

    def get(self, name: str) -> Schedule:
        """One schedule; raises `NotFound`."""
        return read(Schedule, self._transport.get(f"/v1/schedules/{name}"))

    def add(self, name: str, cron: str, request: Json, timezone: str = "UTC") -> Schedule:
        """Submit `request` by the rule `cron` (minute hour day month weekday), read in `timezone` (Europe/Kyiv)."""
        body = {"name": name, "cron": cron, "timezone": timezone, "request": request}
        return read(Schedule, self._transport.create("/v1/schedules", body))

    def remove(self, name: str) -> None:
        """Delete a schedule; jobs it submitted stay."""
        self._transport.delete(f"/v1/schedules/{name}")

    def pause(self, name: str) -> Schedule:
        """Fire no more until resumed."""
        return read(Schedule, self._transport.post(f"/v1/schedules/{name}/pause"))

    def resume(self, name: str) -> Schedule:
        """Fire again, from now on; what was missed in the pause stays missed."""
        return read(Schedule, self._transport.post(f"/v1/schedules/{name}/resume"))

    def run(self, name: str) -> Fire:
        """Fire once, now; its times stay as they are."""
        return read(Fire, self._transport.post(f"/v1/schedules/{name}/run"))
