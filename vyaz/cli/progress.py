"""Following a job to its end: a live bar on a terminal, silence elsewhere, and what Ctrl-C means."""

import sys
from collections.abc import Iterator
from typing import Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from core.errors import NotFound
from core.ledger.kinds import KINDS, JobKind
from core.ledger.states import JobState
from vyaz.cli.output import complain, say, shorten, spell_seconds
from vyaz.client import Client
from vyaz.resources.jobs import Job

EXIT_JOB: Final = 3  # the job failed or was cancelled
EXIT_INTERRUPTED: Final = 130


class CountColumn(ProgressColumn):
    """Items passed, and in all."""

    def render(self, task: Task) -> Text:
        """Nothing while it is not known how many there are."""
        return Text("" if task.total is None else f"{task.completed:,.0f}/{task.total:,.0f}")


class FactsColumn(ProgressColumn):
    """Rate, time left and slots at work, as the API knows them."""

    def render(self, task: Task) -> Text:
        """One line; a fact that is not known yet is left out."""
        job: Job = task.fields["job"]
        return Text("  ".join(_facts(job)), "dim")


def follow(client: Client, job: Job) -> Job:
    """Watch a job to its end, as `show` does; at Ctrl-C say what goes on without us, and exit 130."""
    try:
        return show(client, job)
    except KeyboardInterrupt:
        short = shorten(job.id)
        say(f"\nThe job keeps running. Watch it: vyaz jobs watch {short}   Stop it: vyaz jobs cancel {short}")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def show(client: Client, job: Job) -> Job:
    """Draw a job, after the one it waits for, until it is finished; only watch it where there is no terminal."""
    earlier = _earlier(client, job)
    if earlier is not None:
        _draw(client.jobs.watch(earlier.id), earlier)
    return _draw(client.jobs.watch(job.id), job)


def conclude(job: Job) -> None:
    """Say how a finished job ended; exit 3 if it failed or was cancelled."""
    if job.state is not JobState.DONE:
        how = "was cancelled" if job.state is JobState.CANCELLED else "failed"
        why = f": {job.reason}" if job.reason else ""
        left = f" ({job.done:,} of {job.total:,} done)" if job.total else ""
        again = f"; try again: vyaz jobs retry {shorten(job.id)}"
        complain(f"job {job.id} {how}{left}{why}{again}")
        raise typer.Exit(EXIT_JOB)
    took = ""
    if job.started_at and job.finished_at:
        took = f" in {spell_seconds((job.finished_at - job.started_at).total_seconds())}"
    say(f"Done: {count_items(job.kind, job.done)}{took}.")
    if job.failed:
        say(f"{count_items(job.kind, job.failed)} failed; see vyaz jobs show {shorten(job.id)}", "yellow")


def count_items(kind: str, count: int) -> str:
    """`500 variants`."""
    known = kind in set(JobKind) and kind != JobKind.NULL  # whose item is nothing
    item = KINDS[JobKind(kind)].item if known else "item"
    return f"{count:,} {item}{'' if count == 1 else 's'}"


def _earlier(client: Client, job: Job) -> Job | None:
    """The unfinished job that this one waits for."""
    if job.after is None or job.finished:
        return None
    try:
        earlier = client.jobs.get(job.after)
    except NotFound:
        return None
    return None if earlier.finished else earlier


def _draw(states: Iterator[Job], job: Job) -> Job:
    """Draw the states as they come, on a terminal; return the last one."""
    # Not rich's own judgement, which FORCE_COLOR bends: a log file never gets a bar.
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30, complete_style="cyan", finished_style="cyan", pulse_style="cyan"),
        CountColumn(),
        FactsColumn(),
        console=console,
        disable=not sys.stderr.isatty(),
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task(_describe(job), total=None, job=job)
        for job in states:
            passed = job.done + job.failed + job.reached
            # What a training or a dataset counts to is a guess until it has begun.
            total = job.total if passed or job.kind not in ("train", "dataset") else None
            bar.update(task, description=_describe(job), total=total, completed=passed, job=job)
    return job


def _describe(job: Job) -> str:
    letters = " ".join(str(group) for group in job.spec.get("letters", ())[:3])
    name = letters or str(job.spec.get("name") or job.spec.get("dataset") or "")
    return f"{job.kind} {name} {shorten(job.id)}".replace("  ", " ")


def _facts(job: Job) -> list[str]:
    if job.finished:
        return [str(job.state)]
    facts = [] if job.state is JobState.RUNNING else [str(job.state)]
    if job.rate:
        facts.append(f"{job.rate:,.1f}/s" if job.rate < 100 else f"{job.rate:,.0f}/s")
    if job.eta_seconds is not None:
        facts.append(f"{spell_seconds(job.eta_seconds)} left")
    if job.workers:
        facts.append(f"{job.workers} worker{'s' if job.workers > 1 else ''}")
    return facts
