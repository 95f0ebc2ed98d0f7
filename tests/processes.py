"""Look at and signal whole families of real processes."""

import os
import signal
from pathlib import Path


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, the eldest first."""
    parents: dict[int, int] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] not in "ZX":
                parents[int(process.name)] = int(fields[1])
    found = [pid] if pid in parents else []
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def tell_family(pid: int, what: signal.Signals) -> None:
    """Send a signal to a process and all its descendants, the eldest first."""
    for member in family(pid):
        try:
            os.kill(member, what)
        except ProcessLookupError:
            continue
