"""Examples for OpenAPI: bodies that work as they stand once a model is trained, and answers as they look."""

from typing import Any

from fastapi.openapi.models import Example

REQUESTS: dict[str, Example] = {
    "generate": Example(
        summary="1,000 variants of two monograms",
        value={"kind": "generate", "spec": {"letters": ["AB", "ЇЖ"], "model": "letters"}, "count": 1000},
    ),
    "train": Example(
        summary="A minute of training on the built-in fonts",
        value={"kind": "train", "spec": {"dataset": "fonts", "family": "style", "name": "letters", "minutes": 10}},
    ),
    "evaluate": Example(
        summary="Measure a version beside real letters", value={"kind": "evaluate", "spec": {"model": "letters"}}
    ),
    "sheet": Example(summary="A page of what a version draws", value={"kind": "sheet", "spec": {"model": "letters"}}),
    "dataset": Example(summary="Look at a source again", value={"kind": "dataset", "spec": {"dataset": "fonts"}}),
}

JOB: dict[str, Any] = {
    "id": "019a0000-0000-7000-8000-000000000000",
    "kind": "generate",
    "state": "running",
    "total": 1000,
    "done": 448,
    "failed": 0,
    "reached": 64,
    "priority": "normal",
    "seed": 0,
    "spec": {
        "letters": ["AB", "ЇЖ"],
        "layout": "straight",
        "size": 256,
        "model": "letters:3",
        "judge": "judge-select:1",
    },
    "model": "letters:3",
    "after": None,
    "reason": None,
    "result": {},
    "rate": 210.5,
    "eta_seconds": 2.3,
    "workers": 1,
    "device_seconds": 2.1,
    "created_at": "2026-11-23T18:00:00Z",
    "started_at": "2026-11-23T18:00:01Z",
    "finished_at": None,
}

VARIANT: dict[str, Any] = {
    "id": "019a0000-0000-7000-8000-000000000000.42",
    "job": "019a0000-0000-7000-8000-000000000000",
    "index": 42,
    "letters": "AB",
    "layout": "straight",
    "model": "letters:3",
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "ink": 0.21,
    "legibility": 0.98,
    "score": 0.91,
}

DATASET: dict[str, Any] = {"name": "chiselled", "kind": "fonts", "path": "/fonts/chiselled"}
KEY: dict[str, Any] = {"owner": "olena", "name": "laptop", "scope": "write"}
SCHEDULE: dict[str, Any] = {
    "name": "nightly",
    "cron": "0 3 * * *",
    "timezone": "Europe/Kyiv",
    "request": REQUESTS["train"]["value"],
}


def answer(example: Any) -> dict[str, Any]:
    """An answer's example, as OpenAPI tells of it."""
    return {"content": {"application/json": {"example": example}}}
