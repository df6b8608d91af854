"""What a run of the suite measured, as a page.

python -m tests.chaos.report out/chaos/junit.xml [MORE.xml ...] > docs/results/chaos.md
"""

import sys
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from bench.results import machine, versions

HEAD = """\
# What the chaos suite measured

Written by `python -m tests.chaos.report` after `make chaos`; how each fault is made stands in `tests/chaos`. After
every fault the job's digest of sorted (index, SHA-256 of the pixels) equals that of a clean run, every item is there
once, and the audit of its history finds nothing. Bounds in seconds are of a machine with free cores; what ran on a busy
one was allowed as much longer as its load was higher.

- Machine: {machine}
- Versions: {versions}
- Run: {run}, {count} tests, {minutes:.0f} minutes

| fault | bound | measured | runs | verdict |
|---|---|---|---|---|
"""


def page(paths: Sequence[str]) -> str:
    """The whole page; tests in the order in which they ran."""
    suites = [suite for path in paths for suite in ElementTree.parse(path).getroot().iter("testsuite")]
    cases = [case for suite in suites for case in suite.iter("testcase")]
    run = min(suite.get("timestamp", "")[:10] for suite in suites)
    minutes = sum(float(suite.get("time", 0)) for suite in suites) / 60
    head = HEAD.format(machine=machine(), versions=versions(), run=run, count=len(cases), minutes=minutes)
    return head + "".join(f"{row}\n" for row in rows(cases))


def rows(cases: Sequence[ElementTree.Element]) -> Iterator[str]:
    """One row a test."""
    for case in cases:
        noted = {each.get("name"): each.get("value") for each in case.iter("property")}
        fault = noted.get("fault") or (case.get("name") or "").removeprefix("test_").replace("_", " ")
        cells = (fault, noted.get("bound", "as a clean run"), noted.get("measured", ""), noted.get("runs", "1"))
        yield f"| {' | '.join(map(str, (*cells, _verdict(case))))} |"


def _verdict(case: ElementTree.Element) -> str:
    skipped = case.find("skipped")
    if skipped is not None:
        return f"not run: {skipped.get('message')}"
    return "holds" if case.find("failure") is None and case.find("error") is None else "**fails**"


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1:]))
