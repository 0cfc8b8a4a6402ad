"""What processes use, as /proc tells: memory and processor time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def pss_megabytes(pids: Iterable[int]) -> float:
    """Return the proportional set size of processes, in MB: a page that n processes share counts 1/n.

    Raises PermissionError for a process of another user, unless root asks.
    """
    return sum(_smaps_kilobytes(pid, "Pss") for pid in pids) * 1024 / 1e6


def own_kilobytes(pids: Iterable[int]) -> float:
    """Return the memory that is no file's and no other's: heap and stack, without shared buffers and libraries."""
    return sum(_smaps_kilobytes(pid, "Anonymous") for pid in pids)


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Return the processor time of each process that exists, all threads, precise to nanoseconds."""
    found = {}
    for pid in pids:
        try:
            found[pid] = sum(map(_task_seconds, Path(f"/proc/{pid}/task").iterdir()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def machine() -> str:
    """Describe the machine: cores, processor, load."""
    info = Path("/proc/cpuinfo").read_text(errors="replace")
    models = re.findall(r"^model name\s*: (.*)$", info, re.MULTILINE)
    load = Path("/proc/loadavg").read_text().split()[0]
    cores = len(re.findall(r"^processor\s*:", info, re.MULTILINE))
    return f"{cores} cores, {models[0] if models else 'unknown processor'}, load average {load}"


def _smaps_kilobytes(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def _task_seconds(task: Path) -> float:
    return int((task / "schedstat").read_text().split()[0]) / 1e9
