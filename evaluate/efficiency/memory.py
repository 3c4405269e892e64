"""How much memory a computation takes at its peak."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


def added_peak(work: Callable[[], object], device: torch.device) -> int | None:
    """Greatest memory that a computation held beyond what was held before it.

    On a GPU the allocator's own count. On a CPU the process's resident memory, whose high-water mark Linux lets a
    process set back (`/proc/self/clear_refs`): what the C library keeps for later counts as held.

    Args:
        work: What is measured.
        device: Where it runs.

    Returns:
        Bytes; ``None`` where the system does not tell, after the work was done.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return max(0, torch.cuda.max_memory_allocated(device) - before)
    gc.collect()
    if device.type != "cpu" or not _reset_high_water_mark():
        work()
        return None
    held = _status("VmRSS")
    work()
    return max(0, _status("VmHWM") - held)


def _reset_high_water_mark() -> bool:
    try:
        ctypes.CDLL(None).malloc_trim(0)
        (_PROCESS / "clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def _status(name: str) -> int:
    """A line of the process's status, in bytes."""
    for line in (_PROCESS / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
