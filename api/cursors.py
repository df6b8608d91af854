"""Keyset cursors: the place after which a list goes on, as a string that means nothing to others.

A cursor carries no right: whoever reads on is asked for a key again, and sees only what is that key's owner's.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from api.schemas import Page
from core.errors import Invalid

MAX_CURSOR = 400
MAX_NUMBER = 2**63 - 1

Place = TypeVar("Place")
Row = TypeVar("Row")
Shown = TypeVar("Shown")


class Keyset(Generic[Place]):
    """The places in one list: a number, a name, or several of these in a tuple."""

    def __init__(self, name: str, place: type[Place]) -> None:
        self._name = name
        self._adapter = TypeAdapter(place)

    def encode(self, place: Place) -> str:
        """The cursor for a place."""
        text = json.dumps([self._name, self._adapter.dump_python(place, mode="json")], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    def decode(self, cursor: str | None) -> Place | None:
        """The place again; None without a cursor. Raises `Invalid` for anything that `encode` did not make."""
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            name, found = json.loads(raw)
            place = self._adapter.validate_json(json.dumps(found), strict=True)
        except (binascii.Error, ValidationError, ValueError, TypeError, RecursionError) as error:
            raise _no_cursor() from error
        if name != self._name or not _fits(found):
            raise _no_cursor()
        return place

    def page(
        self, rows: Sequence[Row], limit: int, show: Callable[[Row], Shown], place: Callable[[Row], Place]
    ) -> Page[Shown]:
        """A page of at most `limit` rows; they were asked for with one more, which says whether there is a next."""
        following = self.encode(place(rows[limit - 1])) if len(rows) > limit else None
        return Page(items=[show(row) for row in rows[:limit]], next=following)


def _fits(found: object) -> bool:
    """Whether PostgreSQL can compare with it: no NUL in a text, no number that is none of its own."""
    if isinstance(found, list):
        return all(_fits(part) for part in found)
    return found.isprintable() if isinstance(found, str) else isinstance(found, int) and 0 <= found <= MAX_NUMBER


def _no_cursor() -> Invalid:
    return Invalid("this is no cursor of this list; take it from `next` of the page before", "/query/cursor")
