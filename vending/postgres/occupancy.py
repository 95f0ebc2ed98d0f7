"""Who is using an embedded cluster: the last one out puts out the light.

Two lock files beside the data directory, both held by flock, so that a process which dies in any
way lets go at once. ``.start`` is held by whoever is starting or stopping PostgreSQL, so two
starters never race. ``.use`` is shared by everyone who uses it; whoever leaves and finds nobody
else there stops it. So a server and a command can come and go in any order.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from vending.errors import Unavailable

_POLL_SECONDS = 0.02


class DataDirectoryBusy(Unavailable):
    """The data directory is in use in a way that cannot be shared.

    Another process was starting or stopping PostgreSQL on it for the whole of the time allowed, or
    a PostgreSQL that takes no connections by socket runs on it. End that process and start again.
    """

    code = "data_directory_busy"


class Occupancy:
    """The two lock files of one data directory, as one user of the cluster sees them."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._use: int | None = None

    @asynccontextmanager
    async def starting(self, *, seconds_max: float) -> AsyncIterator[None]:
        """Hold the right to start or stop PostgreSQL. Raises DataDirectoryBusy when too late."""
        descriptor = self._open("start")
        try:
            for _ in range(max(1, round(seconds_max / _POLL_SECONDS))):
                if _lock(descriptor, fcntl.LOCK_EX):
                    break
                await asyncio.sleep(_POLL_SECONDS)
            else:
                raise DataDirectoryBusy(data_dir=self._data_dir, waited_seconds=seconds_max)
            yield
        finally:
            os.close(descriptor)

    def enter(self) -> None:
        """Count as a user from now on; call while `starting` is held."""
        self._use = self._open("use")
        fcntl.flock(self._use, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Stop counting as a user; call while `starting` is held. Return whether we were last."""
        if self._use is None:
            return False
        try:
            return _lock(self._use, fcntl.LOCK_EX)
        finally:
            os.close(self._use)
            self._use = None

    def _open(self, what: str) -> int:
        path = self._data_dir.with_name(f"{self._data_dir.name}.{what}")
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
