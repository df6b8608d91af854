"""The peer of `bench.jobs`: one process, one loop, recipe to PNG bytes; reads its order as JSON, prints the seconds."""

import json
import sys
import time

from bench.pairs import compose_shipped
from core.pipeline import Composer
from core.recipe import BLOCK


def main() -> int:
    """Make the variants block by block and keep none."""
    order = json.load(sys.stdin)
    composer = compose_shipped(order["pairs"], order["seed"], Composer)
    composer.block(0, 8 * BLOCK)
    began = time.perf_counter()
    for start in range(0, order["count"], 8 * BLOCK):
        composer.block(start, min(order["count"], start + 8 * BLOCK))
    print(time.perf_counter() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
