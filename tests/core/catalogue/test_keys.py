"""Keys: made, recognised, revoked, and never kept."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from core.catalogue import keys, owners
from core.catalogue.database import Database
from core.catalogue.keys import Scope
from core.catalogue.tables import ApiKey
from core.errors import Conflict, Forbidden, Invalid, Unauthorized, VyazError


def made(database: Database, owner: str = "studio", scope: str = "admin") -> tuple[uuid.UUID, str]:
    with database.transaction() as session:
        row, key = keys.create(session, owner, "laptop", scope)
        return row.id, key


def test_a_key_stands_for_its_owner_in_its_scope(database: Database) -> None:
    _, key = made(database, scope="write")
    with database.transaction() as session:
        caller = keys.identify(session, key)

    assert (caller.owner, caller.scope, caller.prefix) == ("studio", Scope.WRITE, key[:16])
    caller.require(Scope.READ)
    caller.require(Scope.WRITE)
    with pytest.raises(Forbidden, match="admin"):
        caller.require(Scope.ADMIN)


def test_nothing_of_a_keys_secret_is_in_the_database(database: Database) -> None:
    _, key = made(database)
    secret = key.split("_", 2)[2]
    with database.transaction() as session:
        dump = session.scalar(sa.text("SELECT string_agg(row_to_json(api_key)::text, ' ') FROM api_key"))

    assert dump
    assert secret not in dump
    assert secret.encode().hex() not in dump


@pytest.mark.parametrize("change", [str.upper, lambda key: key[:-1], lambda key: key + "x", lambda key: "", str.title])
def test_a_key_changed_in_any_sign_is_unknown(database: Database, change: "type[str]") -> None:
    _, key = made(database)
    with database.transaction() as session, pytest.raises(Unauthorized):
        keys.identify(session, change(key))


def test_a_revoked_key_is_answered_like_an_unknown_one(database: Database) -> None:
    key_id, key = made(database, scope="read")
    with database.transaction() as session:
        keys.revoke(session, key_id)
        keys.revoke(session, key_id)
    said = set()
    for asked in (key, "vyz_none"):
        with database.transaction() as session, pytest.raises(Unauthorized) as refused:
            keys.identify(session, asked)
        said.add(str(refused.value))

    assert len(said) == 1


def test_two_admin_keys_that_revoke_each_other_cannot_both_be_gone(database: Database) -> None:
    ids = [made(database)[0] for _ in range(2)]

    def revoke_second() -> str:
        try:
            with database.transaction() as session:
                keys.revoke(session, ids[1])
        except Conflict:
            return "kept"
        return "revoked"

    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            keys.revoke(session, ids[0])
            second = pool.submit(revoke_second)
            time.sleep(0.3)  # by then it has seen the first as it was, or waits for it
        end = second.result()
    with database.transaction() as session:
        alive = session.scalar(sa.select(sa.func.count()).select_from(ApiKey).where(ApiKey.revoked_at.is_(None)))

    assert (end, alive) == ("kept", 1)


@pytest.mark.parametrize(
    ("owner", "name", "scope"),
    [
        ("", "x", "read"),
        ("a b", "x", "read"),
        ("a\n", "x", "read"),
        ("ü", "x", "read"),
        ("a" * 64, "x", "read"),
        ("a", "x\0", "read"),
        ("a", "x" * 101, "read"),
        ("a", "x", "root"),
    ],
)
def test_a_key_that_cannot_be_is_invalid(database: Database, owner: str, name: str, scope: str) -> None:
    with database.transaction() as session, pytest.raises(Invalid):
        keys.create(session, owner, name, scope)


def test_an_owner_made_by_many_at_once_is_one(database: Database) -> None:
    def ensure(_: int) -> uuid.UUID:
        with database.transaction() as session:
            return owners.ensure(session, "olena").id

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(ensure, range(32)))

    assert len(ids) == 1


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_weight_that_is_none_is_invalid(database: Database, weight: float) -> None:
    with database.transaction() as session, pytest.raises(VyazError):
        owners.set_weight(session, "studio", weight)
