"""What our processes take of a machine: how much memory, giving some of it back, giving way to others."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident_bytes(pid: int) -> int:
    """Memory of a process and all that it started, shared pages counted each time; 0 where the system does not tell."""
    total = 0
    with suppress(OSError, ValueError, IndexError):
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return total + sum(resident_bytes(child) for child in _children(pid))


def processes(pid: int) -> list[dict[str, Any]]:
    """A process and all that it started: `{name, pid, rss_bytes, cpu_s}`; empty where the system does not tell."""
    found: list[dict[str, Any]] = []
    with suppress(OSError, ValueError, IndexError):
        folder = Path(f"/proc/{pid}")
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        words = (folder / "cmdline").read_bytes().split(b"\0")
        module = next((word.decode().rpartition(".")[2] for word in words if word.startswith(b"recollect.")), "other")
        ticks = int(stat[11]) + int(stat[12])  # user and system
        resident = int((folder / "statm").read_text().split()[1]) * _PAGE
        found.append({"name": module, "pid": pid, "rss_bytes": resident, "cpu_s": round(ticks / _TICKS, 2)})
    for child in _children(pid):
        found += processes(child)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError, ValueError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def give_way(nice: int) -> None:
    """Run this thread when others leave time for it; where only processes have a priority (not Linux), the process."""
    with suppress(AttributeError, OSError):
        os.nice(max(nice - os.nice(0), 0))
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # never ahead of what somebody waits for


def give_back_memory() -> None:
    """Free what nothing refers to, and hand free memory back to the system where that can be asked for."""
    gc.collect()
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
