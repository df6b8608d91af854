"""The peer of `bench.jobs`: one process, one loop, recipe to PNG bytes; reads its order as JSON, prints the seconds."""

import json
import sys
import time

from core.pipeline import Composer
from core.recipe import BLOCK, parse_spec
from core.storage import weights
from core.storage.blobs import Blobs


def main() -> int:
    """Make the variants block by block and keep none."""
    order = json.load(sys.stdin)
    tensors, meta = weights.load(Blobs.open(order["store"]), order["path"], order["digest"])
    spec = parse_spec({"letters": order["pairs"], "model": "letters"})
    composer = Composer(spec, order["seed"], tensors, meta, "cpu")
    composer.block(0, 8 * BLOCK)
    began = time.perf_counter()
    for start in range(0, order["count"], 8 * BLOCK):
        composer.block(start, min(order["count"], start + 8 * BLOCK))
    print(time.perf_counter() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
