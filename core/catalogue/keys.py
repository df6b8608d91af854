"""API keys: made, recognised, revoked. Only a SHA-256 is kept.

A plain hash is right here: a key carries 256 random bits, so there is nothing to guess, and the look-up by digest
compares no secret byte by byte.
"""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue import owners
from core.catalogue.tables import ApiKey, Owner
from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized

MAX_NAME = 100
MAX_KEY = 200


class Scope(StrEnum):
    """What a key may do; each contains the one before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def covers(self, needed: "Scope") -> bool:
        """Whether a key of this scope may do what needs `needed`."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class Caller:
    """Whom a key stands for."""

    owner_id: uuid.UUID
    owner: str
    scope: Scope
    prefix: str
    """The part of the key that may be logged."""

    def require(self, needed: Scope) -> None:
        """Raise `Forbidden` unless the key's scope reaches."""
        if not self.scope.covers(needed):
            raise Forbidden(f"this needs a key of scope {needed}; {self.prefix} has {self.scope}")


def create(session: Session, owner_name: str, name: str, scope: str) -> tuple[ApiKey, str]:
    """A new key for an owner, made if new; the second value is the key itself, shown once and kept nowhere."""
    if scope not in list(Scope):
        raise Invalid(f"there is no scope {scope!r}; the scopes are: {', '.join(Scope)}", "/scope")
    if len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(f"a key's name is at most {MAX_NAME} characters that can be printed", "/name")
    owner = owners.ensure(session, owner_name)
    prefix = f"vyz_{secrets.token_hex(6)}"
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    key = f"{prefix}_{secret}"
    row = {"owner_id": owner.id, "name": name, "prefix": prefix, "digest": _digest(key), "scope": scope}
    return session.scalars(insert(ApiKey).returning(ApiKey), [row]).one(), key


def identify(session: Session, key: str) -> Caller:
    """Whom the key stands for, looked up each time, so that a revoked key opens nothing from that moment.

    Raises `Unauthorized`, in the same words for a key that is malformed, unknown or revoked.
    """
    known = sa.select(ApiKey.owner_id, Owner.name, ApiKey.scope, ApiKey.prefix).join(Owner)
    row = session.execute(known.where(ApiKey.digest == _digest(key[:MAX_KEY]), ApiKey.revoked_at.is_(None))).first()
    if row is None:
        raise Unauthorized("this key is unknown or revoked")
    return Caller(row.owner_id, row.name, Scope(row.scope), row.prefix)


def revoke(session: Session, key_id: uuid.UUID) -> ApiKey:
    """Let a key open nothing any more; again is no error. Raises `NotFound`, and `Conflict` for the last admin key."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"there is no key {key_id}")
    if key.revoked_at is None:
        if key.scope == Scope.ADMIN:
            _keep_one_admin(session, key_id)
        key.revoked_at = session.scalar(sa.select(sa.func.clock_timestamp()))
        session.flush()
    return key


def page(session: Session, after: uuid.UUID | None, limit: int) -> Sequence[tuple[ApiKey, str]]:
    """Keys, the oldest first, revoked ones too, each with its owner's name."""
    query = sa.select(ApiKey, Owner.name).join(Owner).order_by(ApiKey.id).limit(limit)
    if after is not None:
        query = query.where(ApiKey.id > after)
    return [(key, owner) for key, owner in session.execute(query)]


def _keep_one_admin(session: Session, but: uuid.UUID) -> None:
    # All admin keys are locked, so that two that revoke each other cannot both succeed.
    admins = sa.select(ApiKey.id).where(ApiKey.scope == Scope.ADMIN, ApiKey.revoked_at.is_(None))
    held = session.scalars(admins.order_by(ApiKey.id).with_for_update()).all()
    if all(key_id == but for key_id in held):
        raise Conflict("this is the last admin key; make another one first")


def _digest(key: str) -> bytes:
    # A header can carry any bytes; what is no text of ours is just an unknown key.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
