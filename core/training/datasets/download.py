"""The child process that downloads EMNIST: `python -m core.training.datasets.download FOLDER SPLIT`.

Torchvision knows where it lies and its checksum, but neither a time limit nor how to stop; a process can be stopped.
Exit status: 0 the idx files lie in FOLDER/EMNIST/raw; 3 they cannot be had, the reason on stderr; else a crash.
"""

import sys
from typing import Final
from zipfile import BadZipFile

from torchvision.datasets import EMNIST

UNREACHABLE: Final = 3


def main(arguments: list[str]) -> int:
    """Download and unpack all of EMNIST, 0.6 GB, once."""
    folder, split = arguments
    try:
        EMNIST(folder, split, download=True)
    except (BadZipFile, OSError, RuntimeError) as error:
        sys.stderr.write(f"\n{error}")
        return UNREACHABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
