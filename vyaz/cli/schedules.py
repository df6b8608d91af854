"""`vyaz schedules`."""

from typing import Annotated

import typer

from core.errors import VyazError
from vyaz.cli.output import emit, emit_json, emit_table, say, shorten
from vyaz.cli.session import AsJson, Data, connect
from vyaz.cli.submit import parse_request
from vyaz.resources.schedules import Schedule

app = typer.Typer(no_args_is_help=True, help="Schedules: jobs that are submitted by themselves.")

Name = Annotated[str, typer.Argument(help="The schedule.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="train or generate with their options.")],
    cron: Annotated[str, typer.Option(help='Minute, hour, day, month, weekday: "0 3 * * *".')],
    timezone: Annotated[str, typer.Option("--tz", help="Time zone the rule is read in: Europe/Kyiv.")] = "UTC",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Submit a job by a rule: vyaz schedules add nightly --cron "0 3 * * *" -- train --dataset fonts"""
    request = parse_request(command)
    with connect(data) as client:
        schedule = client.schedules.add(name, cron, request, timezone)
    say(_describe(schedule))
    if as_json:
        emit_json(schedule)
    else:
        emit(schedule.name)


@app.command("list")
def list_schedules(as_json: AsJson = False, data: Data = None) -> None:
    """List schedules."""
    with connect(data) as client:
        schedules = list(client.schedules.list())
    if as_json:
        emit_json(schedules)
        return
    rows = [
        (each.name, each.cron, each.timezone, each.request.get("kind"), each.paused, each.next_due_at)
        for each in schedules
    ]
    emit_table(("schedule", "cron", "time zone", "kind", "paused", "next"), rows)


@app.command()
def pause(name: Name, data: Data = None) -> None:
    """Fire no more until resumed."""
    with connect(data) as client:
        say(_describe(client.schedules.pause(name)))


@app.command()
def resume(name: Name, data: Data = None) -> None:
    """Fire again."""
    with connect(data) as client:
        say(_describe(client.schedules.resume(name)))


@app.command()
def run(name: Name, as_json: AsJson = False, data: Data = None) -> None:
    """Fire once, now."""
    with connect(data) as client:
        fire = client.schedules.run(name)
    if as_json:
        emit_json(fire)
    if fire.job is None:
        raise VyazError(f"{name} fired, but nothing was submitted: {fire.reason}")
    say(f"{name} fired. Watch it: vyaz jobs watch {shorten(fire.job)}")
    if not as_json:
        emit(fire.job)


@app.command("rm")
def remove(name: Name, data: Data = None) -> None:
    """Delete a schedule; jobs it submitted stay."""
    with connect(data) as client:
        client.schedules.remove(name)
    say(f"Removed {name}.")


def _describe(schedule: Schedule) -> str:
    if schedule.paused:
        return f"{schedule.name} is paused."
    due = schedule.next_due_at
    return f"{schedule.name} fires next at {due.astimezone():%Y-%m-%d %H:%M %Z}." if due else f"{schedule.name} is set."
