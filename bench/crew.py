"""Processes that work for a benchmark: each reads its order, gets ready, begins on a word and prints its answer.

An order may hold a password, so it goes by the standard input and never by the command line.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

Order = dict[str, Any]


def work(module: str, orders: Sequence[Order], begun: Callable[[], None] | None = None) -> list[Any]:
    """Run one process of `module` for each order, let all begin together, and return their answers in order.

    `begun` is called when they have been told to begin. Raises `RuntimeError` when one fails.
    """
    argv = [sys.executable, "-m", module]
    crew = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in orders]
    try:
        for process, order in zip(crew, orders, strict=True):
            _tell(process, json.dumps(order))
        for process in crew:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError(f"{module} ended before it was ready")
        for process in crew:
            _tell(process, "go")
        if begun is not None:
            begun()
        return [_answer(process, module) for process in crew]
    finally:
        for process in crew:
            if process.poll() is None:
                process.kill()
            process.wait()


def order() -> Order:
    """In such a process: its order."""
    given: Order = json.loads(sys.stdin.readline())
    return given


def await_word() -> None:
    """In such a process: say that it is ready and wait for the word."""
    print("ready", flush=True)
    sys.stdin.readline()


def _tell(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    print(line, file=process.stdin, flush=True)


def _answer(process: "subprocess.Popen[str]", module: str) -> Any:
    told, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    return json.loads(told)
