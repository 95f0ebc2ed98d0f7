"""What a data directory says about the PostgreSQL running on it: the file ``postmaster.pid``.

Line 1 is the process, 4 the port, 5 the socket's directory, 8 the state. The file survives a crash
and then still says ``ready``, and the process number may since belong to some other program, so
every claim in it is checked against the process itself.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

_LINES = 8
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What ``postmaster.pid`` claims."""

    pid: int
    port: int
    socket_dir: str
    state: str

    @property
    def ready(self) -> bool:
        """Return whether the file says that connections are accepted."""
        return self.state == "ready"


def read(data_dir: Path) -> Postmaster | None:
    """Return what the file claims, None when it is missing, half written or nonsense."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        lines += [""] * (_LINES - len(lines))
        return Postmaster(int(lines[0]), int(lines[3] or 0), lines[4].strip(), lines[7].strip())
    except (FileNotFoundError, ValueError, IndexError):
        return None


def running(data_dir: Path) -> Postmaster | None:
    """Return the claim when a live postmaster really is behind it, else None."""
    claim = read(data_dir)
    return claim if claim is not None and serves(claim.pid, data_dir) else None


def serves(pid: int, data_dir: Path) -> bool:
    """Return whether a process is alive and is a postmaster of this data directory.

    Where the machine has no ``/proc`` a live process is believed.
    """
    if not exists(pid):
        return False
    process = _PROC / str(pid)
    if not process.parent.joinpath("self").exists():
        return True
    try:
        return process.joinpath("cwd").resolve(strict=True) == data_dir.resolve()
    except PermissionError:
        return process.joinpath("comm").read_text().strip() == "postgres"
    except (FileNotFoundError, ProcessLookupError):
        return False


def exists(pid: int) -> bool:
    """Return whether a process is alive; a dead one that nobody has collected yet is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return not (_PROC / "self").exists()


def tell(pid: int, what: signal.Signals) -> bool:
    """Send a signal; return False when there is no such process any more."""
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return False
    return True


def forget_stranger(data_dir: Path) -> bool:
    """Remove a ``postmaster.pid`` whose number now belongs to another program; say if it did.

    PostgreSQL itself clears a file whose process is gone, but refuses to start for ever when the
    number was given to somebody else, as after every restart of a container. Backends of the dead
    postmaster that still run are found by PostgreSQL through their shared memory.
    """
    claim = read(data_dir)
    if claim is None or not exists(claim.pid) or serves(claim.pid, data_dir):
        return False
    (data_dir / "postmaster.pid").unlink(missing_ok=True)
    return True
