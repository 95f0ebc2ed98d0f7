"""Processor time from /proc: of a tree of processes, of the whole machine, and of strangers.

A tree's time includes that of children it has already collected, so that PostgreSQL's short-lived
backends are not lost. Strangers are what the machine was busy with besides our own tree: a
measurement that shared its cores with them is repeated, not believed. The kernel's own threads,
which write back what a big import or a drain has written, are no strangers.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its parent, its own ticks, those of children it has collected, its memory."""

    pid: int
    parent: int
    own_ticks: int
    collected_ticks: int
    resident_pages: int

    @property
    def ticks(self) -> int:
        """All ticks that this process accounts for."""
        return self.own_ticks + self.collected_ticks


def parse(stat: str) -> Process:
    """Read one /proc/<pid>/stat line; the name in it may hold spaces and brackets."""
    pid, _, rest = stat.partition(" (")
    fields = rest.rpartition(")")[2].split()
    return Process(
        pid=int(pid),
        parent=int(fields[1]),
        own_ticks=int(fields[11]) + int(fields[12]),
        collected_ticks=int(fields[13]) + int(fields[14]),
        resident_pages=int(fields[21]),
    )


def busy_ticks(stat: str) -> int:
    """Return the ticks in user, nice and system of the first line of /proc/stat.

    Interrupts and stolen time belong to no process and are nobody's doing here.
    """
    user, nice, system = stat.split("\n", 1)[0].split()[1:4]
    return int(user) + int(nice) + int(system)


def processes(proc: Path = PROC) -> dict[int, Process]:
    """Return every process there is by number."""
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdecimal():
            try:
                one = parse((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            found[one.pid] = one
    return found


def tree(root: int, among: Mapping[int, Process]) -> list[Process]:
    """Return a process and all its descendants that are alive."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for one in among.values():
        children[one.parent].append(one.pid)
    found, open_ends = [], [root]
    while open_ends:
        pid = open_ends.pop()
        if pid in among:
            found.append(among[pid])
            open_ends += children[pid]
    return found


@dataclass(frozen=True, slots=True)
class Reading:
    """Processor seconds so far: of named trees, of ourselves (with the kernel), of the machine."""

    at: float
    trees: Mapping[str, float]
    ours: float
    machine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Processor seconds between two readings, and how long that was."""

    seconds: float
    trees: Mapping[str, float]
    strangers: float

    def total(self, names: Iterable[str]) -> float:
        """Return what several trees spent together."""
        return sum(self.trees[name] for name in names)

    @property
    def strange_cores(self) -> float:
        """Return how many cores were busy with what is not ours."""
        return self.strangers / self.seconds if self.seconds else 0.0


def read(roots: Mapping[str, int]) -> Reading:
    """Take a reading of named trees, of this process's own tree, and of the machine."""
    now = processes()
    kernel = kernel_root()
    return Reading(
        at=time.monotonic(),
        trees={name: _seconds(tree(pid, now)) for name, pid in roots.items()},
        ours=_seconds(tree(os.getpid(), now)) + (_seconds(tree(kernel, now)) if kernel else 0.0),
        machine=busy_ticks((PROC / "stat").read_text()) / TICKS_A_SECOND,
    )


def between(before: Reading, after: Reading) -> Spent:
    """Return what was spent from one reading to the next."""
    strangers = (after.machine - before.machine) - (after.ours - before.ours)
    return Spent(
        seconds=after.at - before.at,
        trees={name: after.trees[name] - before.trees.get(name, 0.0) for name in after.trees},
        strangers=max(0.0, strangers),
    )


def kernel_root(proc: Path = PROC) -> int:
    """Return the process from which the kernel's threads descend, 0 where none is to be seen."""
    try:
        name = (proc / "2" / "comm").read_text()
    except OSError:
        return 0
    return 2 if name.strip() == "kthreadd" else 0


def resident_mb(pid: int) -> float:
    """Return the resident memory of one process in MB (millions of bytes)."""
    one = parse((PROC / str(pid) / "stat").read_text())
    return one.resident_pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _seconds(found: Iterable[Process]) -> float:
    return sum(one.ticks for one in found) / TICKS_A_SECOND
