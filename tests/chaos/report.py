"""What a run of the suite measured, as a Markdown table.

python -m tests.chaos.report out/chaos/junit.xml > docs/results/chaos.md
"""

import sys
from collections.abc import Iterator
from xml.etree import ElementTree

HEAD = "| fault | bound | measured | runs | verdict |\n|---|---|---|---|---|"


def rows(path: str) -> Iterator[str]:
    """One row a test, in the order in which they ran."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
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
    sys.stdout.write("\n".join([HEAD, *rows(sys.argv[1])]) + "\n")
