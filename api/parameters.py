"""Parameters that several routes share."""

from typing import Annotated

from fastapi import Depends, Header, HTTPException, Query

from api.cursors import MAX_CURSOR

MAX_LIMIT = 1000
MAX_IDEMPOTENCY_KEY = 255

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items on a page")]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR, description="`next` of the page before")]


def _idempotency_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key", description="The same key with the same body again is answered, not done again"
        ),
    ] = None,
) -> str | None:
    # Not a rule of the schema: the IETF draft wants 400 for a key that cannot be, not 422.
    if key is not None and not (1 <= len(key) <= MAX_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise HTTPException(400, f"Idempotency-Key takes 1 to {MAX_IDEMPOTENCY_KEY} ASCII characters")
    return key


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
