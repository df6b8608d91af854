"""Which device this slot holds, and the class within which the same item has the same pixels. No torch in here."""

import os
import socket
from importlib import metadata
from pathlib import Path

# From the widest on: oneDNN picks its kernels by the first of these that the processor has.
INSTRUCTION_SETS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")


def queue_of(device: str) -> str:
    """The queue that serves a device."""
    return "gpu" if device.startswith("cuda") else "cpu"


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


def visible_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


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
