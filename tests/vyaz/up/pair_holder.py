"""A program that holds a pair of servers until it is killed: `pair_holder.py DATA`. Prints the URLs when ready."""

import json
import sys
import time
from pathlib import Path

from core.errors import VyazError
from vyaz.up.servers import ServerPair


def main() -> None:
    try:
        with ServerPair(Path(sys.argv[1])) as pair:
            print(json.dumps([pair.database_url, pair.client_url]), flush=True)
            time.sleep(600)
    except VyazError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
