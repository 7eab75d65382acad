"""What a kernel's process has used: CPU seconds and memory. Reads; judges nothing."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from mlflowkit.worker.memory_group import MemoryGroup

_LINUX: Final = sys.platform == "linux"
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if _LINUX else 1
_TICKS: Final = os.sysconf("SC_CLK_TCK") if _LINUX else 1
_PEAK: Final = re.compile(rb"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one moment. All zero where the process is gone.

    Attributes:
        cpu: CPU seconds since its start, with those of children it has waited for.
        rss: Bytes of memory it holds now.
        peak: The most it ever held, as far as the system tells.
    """

    cpu: float = 0.0
    rss: int = 0
    peak: int = 0

    def facts(self, before: Usage) -> dict[str, float | int]:
        """As an event tells it: CPU seconds since `before`, memory in bytes."""
        cpu = max(0.0, round(self.cpu - before.cpu, 3))
        return {"cpu": cpu, "rss": self.rss, "peak": self.peak}


def of(pid: int) -> Usage:
    """What this process has used so far."""
    if not _LINUX:
        return _by_psutil(pid)
    try:
        stat, status = _read(f"/proc/{pid}/stat"), _read(f"/proc/{pid}/status")
    except OSError:
        return Usage()
    fields = stat.rpartition(b") ")[2].split()
    ticks = sum(map(int, fields[11:15]))
    rss = int(fields[21]) * _PAGE
    found = _PEAK.search(status)
    peak = int(found[1]) * 1024 if found else rss
    return Usage(ticks / _TICKS, rss, max(peak, rss))


def _read(path: str) -> bytes:
    """Twice a cell, so without the comforts of a file object."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 8192)
    finally:
        os.close(file)


def _by_psutil(pid: int) -> Usage:
    try:
        process = psutil.Process(pid)
        times, rss = process.cpu_times(), process.memory_info().rss
    except psutil.Error:
        return Usage()
    return Usage(float(times.user + times.system), rss, rss)


def cpu_below(pid: int) -> float:
    """CPU seconds of the living processes below this one."""
    total = 0.0
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                times = child.cpu_times()
                total += times.user + times.system
    return total


def memory_limit(pid: int) -> int:
    """The most memory that this process may have, in bytes; 0 where nothing limits it."""
    found = [_address_space(pid), MemoryGroup.of(pid).limit()]
    return min((limit for limit in found if limit), default=0)


def _address_space(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/limits").read_text()
    except OSError:
        return 0
    match = re.search(r"^Max address space\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0
