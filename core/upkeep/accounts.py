"""Whether a job's shards cover all of its items, and its counters are those of its rows."""

from collections.abc import Iterable

from core.catalogue.tables import Job
from core.ledger.states import JobState


def check_cover(ranges: Iterable[tuple[int, int]], until: int) -> list[str]:
    """Say which items below `until` stand in no shard; ranges come by their start, and may lie inside each other."""
    reasons, reached = [], 0
    for start, stop in ranges:
        if start > reached:
            reasons.append(f"items {reached} to {start - 1} stand in no shard")
        reached = max(reached, stop)
    if reached < until:
        reasons.append(f"items {reached} to {until - 1} stand in no shard")
    elif reached > until:
        reasons.append(f"shards reach to item {reached - 1}, and only {until} were given out")
    return reasons


def check_counters(job: Job, rows: int) -> list[str]:
    """Say where a job's counters do not fit its `rows`; an unfinished job's are not yet final."""
    if JobState(job.state).unfinished or not leaves_rows(job):
        return []
    reasons = []
    rejected = sum(job.result.get("rejected", {}).values())
    if job.state == JobState.DONE and job.done + job.failed != job.total:
        reasons.append(f"{job.done} done and {job.failed} failed are not the {job.total} of the job")
    if rows + rejected != job.done:
        reasons.append(f"{rows} rows and {rejected} rejected are not the {job.done} that are done")
    kept = job.result.get("kept")
    if kept is not None and kept != rows:
        reasons.append(f"{rows} rows are not the {kept} that were kept")
    return reasons


def leaves_rows(job: Job) -> bool:
    """Whether what a job makes stands in the catalogue as variants."""
    return job.kind == "generate" or (job.kind == "null" and bool(job.spec.get("rows", True)))


def is_closed(job: Job) -> bool:
    """Whether a job keeps only what its closing shard chose."""
    return job.kind == "generate" and job.closing == "done"
