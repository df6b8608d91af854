"""What torch finds on this machine, asked in a process of its own: the command itself never loads torch."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PATIENCE: Final = 120.0  # seconds; the first import of torch reads two gigabytes
DRIVER: Final = Path("/proc/driver/nvidia/version")

_PROGRAM: Final = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps({
    "version": torch.__version__,
    "capability": torch.backends.cpu.get_cpu_capability(),
    "threads": torch.get_num_threads(),
    "devices": [torch.cuda.get_device_name(number) for number in range(count)],
}))
"""


@dataclass(frozen=True)
class Torch:
    """The torch of this Python, and what it can compute on."""

    version: str
    capability: str
    """Of the CPU: AVX2, AVX512, ..."""
    threads: int
    devices: tuple[str, ...]
    """Names of the GPUs."""


def probe() -> Torch | str:
    """Load torch and look; the last line it said when it cannot be loaded."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"loading torch took more than {PATIENCE:g} s"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    found = json.loads(done.stdout.splitlines()[-1])
    return Torch(found["version"], found["capability"], found["threads"], tuple(found["devices"]))


def choose() -> str:
    """`cuda:0` where torch can use a GPU, else `cpu`. Without a driver torch is not even asked."""
    if not DRIVER.exists():
        return "cpu"
    found = probe()
    return "cuda:0" if isinstance(found, Torch) and found.devices else "cpu"
