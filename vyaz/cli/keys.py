"""`vyaz keys` and `vyaz owners`."""

from typing import Annotated

import typer

from vyaz.cli.output import emit, emit_json, emit_table, say
from vyaz.cli.session import AsJson, Data, connect

app = typer.Typer(no_args_is_help=True, help="API keys.")
owners = typer.Typer(no_args_is_help=True, help="Owners: whom keys act for.")


@app.command()
def create(
    owner: Annotated[str | None, typer.Option(help="Whom it acts for, made if new; else yourself.")] = None,
    scope: Annotated[str, typer.Option(help="read, write or admin.")] = "write",
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a key; it is shown once and not kept."""
    with connect(data) as client:
        key = client.keys.create(owner, scope, name)
    say(f"A {key.scope} key for {key.owner}; it is not shown again.")
    if as_json:
        emit_json(key)
    else:
        emit(key.key)


@app.command("list")
def list_keys(as_json: AsJson = False, data: Data = None) -> None:
    """List keys, without what opens doors."""
    with connect(data) as client:
        keys = list(client.keys.list())
    if as_json:
        emit_json(keys)
        return
    rows = [
        (each.id, each.prefix, each.owner, each.scope, each.name, each.created_at, each.revoked_at) for each in keys
    ]
    emit_table(("key", "prefix", "owner", "scope", "name", "created", "revoked"), rows)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id; see vyaz keys list.")], data: Data = None
) -> None:
    """Let a key open nothing any more."""
    with connect(data) as client:
        client.keys.revoke(key)
    say(f"Revoked {key}.")


@owners.command("list")
def list_owners(as_json: AsJson = False, data: Data = None) -> None:
    """List owners with their weights."""
    with connect(data) as client:
        found = list(client.owners.list())
    if as_json:
        emit_json(found)
    else:
        emit_table(("owner", "weight", "created"), [(each.name, f"{each.weight:g}", each.created_at) for each in found])


@owners.command("set")
def set_owner(
    name: Annotated[str, typer.Argument(help="The owner.")],
    weight: Annotated[float, typer.Option(help="Share of the workers where several owners wait.")],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Give an owner a weight."""
    with connect(data) as client:
        owner = client.owners.set(name, weight)
    say(f"{owner.name} now weighs {owner.weight:g}.")
    if as_json:
        emit_json(owner)
