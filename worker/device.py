"""Which device this slot holds, and the class within which the same item has the same pixels. No torch in here."""

import os
import shutil
import socket
import subprocess
from importlib import metadata
from pathlib import Path

from core.errors import Invalid

VISIBLE = "CUDA_VISIBLE_DEVICES"
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# From the widest on: oneDNN picks its kernels by the first of these that the processor has.
INSTRUCTION_SETS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")


def queue_of(device: str) -> str:
    """The queue that serves a device."""
    return "gpu" if device.startswith("cuda") else "cpu"


def pin(device: str) -> str:
    """Let torch see this device's GPU and no other; return what torch calls it then. Before torch is loaded.

    Where only some GPUs are visible already, N is a place among them.
    """
    if not device.startswith("cuda"):
        return device
    number = int(device.partition(":")[2] or 0)
    visible = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    if visible and number >= len(visible):
        raise Invalid(f"{device}: {VISIBLE} names only {len(visible)} GPUs")
    os.environ[VISIBLE] = visible[number] if visible else str(number)
    return "cuda:0"


def device_class(device: str) -> str:
    """Torch version and instruction set, or the GPU's name: pixels are equal within it, merely close across."""
    torch = metadata.version("torch")
    if device.startswith("cuda"):
        return f"{_gpu_name(device)} torch-{torch}"
    return f"cpu-{_instruction_set()} torch-{torch}"


def machine() -> str:
    """This machine and its own numbering of processes: who shares it can tell whether a pid of it is alive.

    The host's name alone will not do: two containers on one network, or two machines called localhost, have the same.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return f"{socket.gethostname()}/{boot}/{os.stat('/proc/self/ns/pid').st_ino}"


def memory(device: str, slots: int) -> int | None:
    """Bytes that one slot may fill: its share of the machine's or of the container's, or its GPU's; None if unknown."""
    return _gpu_memory(device) if device.startswith("cuda") else _machine_memory() // slots


def visible_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


def _machine_memory() -> int:
    """The least of what the machine has and what its control group allows (version 2, else 1)."""
    has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = [_read_limit(Path(limit)) for limit in CGROUP_LIMITS]
    return min([has, *(limit for limit in allowed if limit is not None)])


def _read_limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # there is none, or it is "max"
        return None


def _gpu_memory(device: str) -> int | None:
    # Torch would know, but a slot must register before it loads torch.
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    name = os.environ.get(VISIBLE) or device.partition(":")[2] or "0"  # pinned by now
    ask = (command, f"--id={name}", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(answer.strip()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def resident() -> int:
    """Bytes of memory that this process holds now, not at its peak."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _instruction_set() -> str:
    flags = set(Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split())
    return next((name for name in INSTRUCTION_SETS if name in flags), "generic")


def _gpu_name(device: str) -> str:
    # Asked of the driver's files, not of torch: the class must be known before the child imports it.
    names = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    number = int(device.partition(":")[2] or 0)
    if number >= len(names):
        return device
    return names[number].read_text().partition("Model:")[2].partition("\n")[0].strip() or device
