"""The spool: a local, fsynced queue on disk that money is written to while PostgreSQL is away.

Append-only segment files in one directory that one process holds by a lock. Callers of `append`
share a write and an fdatasync, made in a thread of its own so that the loop never waits for a disk;
a file whose write or sync has failed is never written to again. Segments are made empty by name and
fsynced into their directory before the first byte, read back whole, oldest first, and removed only
when their reader says that everything in them is safe elsewhere.
"""

import asyncio
import errno
import fcntl
import math
import os
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from vending import log, metrics
from vending.errors import Unavailable
from vending.payments import segment
from vending.payments.segment import SUFFIX, Segment

SEGMENT_BYTES = 8 * 1024 * 1024
"""About ten thousand notices: read in one go, replayed in a second or two, then gone."""

USUAL_BYTES = 1_000
"""About a notice in its frame: what a former process left is counted by it until it is read."""

ROUND_MAX = 1_000
"""Frames in one write: at a kilobyte each a disk takes it in milliseconds."""

LOCK_SECONDS = 10.0
"""How long a starting server waits for the one before it to be gone."""

_LOCK_AGAIN_SECONDS = 0.05

WAITING_MAX = 20_000
"""Callers waiting for the disk: what an inbox may hold too, so that neither is the narrower."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpoolUnavailable(Unavailable):
    """The local spool cannot take anything now.

    Nothing has been acknowledged. `why` says whether it is full or its disk does not write; free
    the disk, raise intake.spool_bytes_max, or bring the database back, which empties it.
    """

    code = "spool_unavailable"


class SpoolBusy(Unavailable):
    """Another process uses this spool directory.

    Two servers on one machine need a directory each: set intake.spool_dir for one of them.
    """

    code = "spool_busy"


class SpoolUnusable(Unavailable):
    """The spool directory cannot be made, entered or locked.

    Without it a database outage would turn payments away: make intake.spool_dir writable for the
    server's account.
    """

    code = "spool_unusable"


@dataclass(slots=True)
class _Call:
    framed: bytes
    done: "asyncio.Future[None]"


@dataclass(slots=True)
class _Open:
    """The segment that is written now. Belongs to the writing thread."""

    path: Path
    descriptor: int
    size: int = 0


class Spool:
    """A queue of payloads on disk; made by `opened`, for one process."""

    def __init__(self, directory: Path, *, bytes_max: int, segment_bytes: int) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._segment_bytes = segment_bytes
        left = sorted(directory.glob(f"*{SUFFIX}"))
        self._sealed = deque(left)
        self._next = int(left[-1].stem) + 1 if left else 1
        sizes = {path: path.stat().st_size for path in left}
        self._bytes = sum(sizes.values())
        self._counts = {path: math.ceil(size / USUAL_BYTES) for path, size in sizes.items()}
        self._open: _Open | None = None
        self._waiting: list[_Call] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._log = log.get("payments.spool")
        metrics.spool_bytes.set(self._bytes)

    @property
    def empty(self) -> bool:
        """Whether nothing is kept here."""
        return not (self._sealed or self._open or self._waiting)

    @property
    def size(self) -> int:
        """How many bytes are on disk."""
        return self._bytes

    @property
    def count(self) -> int:
        """How many payloads are on disk; about as many while one file was not read yet."""
        return sum(self._counts.values())

    async def append(self, payload: bytes) -> None:
        """Return when a payload is on disk. Raises SpoolUnavailable when it is not.

        A caller that goes away does not take its payload along.
        """
        framed = segment.frame(payload)
        if self._closed or len(self._waiting) >= WAITING_MAX:
            raise SpoolUnavailable(why="closed" if self._closed else "busy")
        if self._bytes + self._waiting_bytes + len(framed) > self._bytes_max:
            raise SpoolUnavailable(why="full", bytes_max=self._bytes_max)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(framed, done))
        self._waiting_bytes += len(framed)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_rounds())
        await done

    async def oldest(self) -> Segment | None:
        """Return the oldest segment, which is not written to any more; None when there is none.

        One that the disk does not give back stays where it is until the next start, and the next
        one is returned.
        """
        while True:
            if not self._sealed:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._seal)
            if not self._sealed:
                return None
            try:
                found = await asyncio.to_thread(segment.read, self._sealed[0])
            except OSError as fault:
                self._counts.pop(self._sealed[0], None)
                metrics.spool_damaged.labels("unreadable").inc()
                self._log.error(
                    "a segment of the spool cannot be read; it stays on the disk for a person",
                    file=self._sealed.popleft().name,
                    fault=str(fault),
                )
            else:
                self._counts[found.path] = len(found.entries)
                return found

    async def discard(self, done: Segment) -> None:
        """Remove the oldest segment: everything in it is safe elsewhere. Raises OSError."""
        size = await asyncio.to_thread(segment.remove, done.path)
        self._sealed.remove(done.path)
        self._counts.pop(done.path, None)
        self._bytes = max(0, self._bytes - size)
        metrics.spool_bytes.set(self._bytes)

    async def close(self) -> None:
        """Take nothing more, and finish what is being written."""
        if self._closed:
            return
        self._closed = True
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await asyncio.get_running_loop().run_in_executor(self._thread, self._seal)
        self._thread.shutdown(wait=False)

    async def _write_rounds(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:ROUND_MAX], self._waiting[ROUND_MAX:]
                together = b"".join(call.framed for call in taken)
                self._waiting_bytes -= len(together)
                try:
                    path = await loop.run_in_executor(self._thread, self._write, together)
                except OSError as fault:
                    self._refuse(taken, fault)
                else:
                    self._bytes += len(together)
                    self._counts[path] = self._counts.get(path, 0) + len(taken)
                    metrics.spool_bytes.set(self._bytes)
                    for call in taken:
                        if not call.done.done():
                            call.done.set_result(None)
        finally:
            self._writing = None

    def _refuse(self, calls: list[_Call], fault: OSError) -> None:
        why = "full" if fault.errno in _NO_ROOM else "disk"
        for call in calls:
            if not call.done.done():
                call.done.set_exception(SpoolUnavailable(why=why, fault=fault.strerror))
                # The caller may have stopped listening; an unread exception is not news.
                call.done.exception()

    def _write(self, together: bytes) -> Path:
        """Append and sync, in the writing thread; a file that failed is left as it was before.

        Returns which file has them.
        """
        if self._open is not None and self._open.size >= self._segment_bytes:
            self._seal()
        if self._open is None:
            path = self._directory / f"{self._next:020d}{SUFFIX}"
            self._next += 1
            self._open = _Open(path, segment.create(path))
        now = self._open
        try:
            left = memoryview(together)
            while left:
                left = left[os.write(now.descriptor, left) :]
            os.fdatasync(now.descriptor)
        except OSError:
            # After a failed sync the kernel's idea of the file is worth nothing: never again.
            with suppress(OSError):
                os.ftruncate(now.descriptor, now.size)
            self._seal()
            raise
        now.size += len(together)
        return now.path

    def _seal(self) -> None:
        """Let the open segment be read, in the writing thread."""
        if self._open is not None:
            now, self._open = self._open, None
            self._sealed.append(now.path)
            with suppress(OSError):
                os.close(now.descriptor)


@asynccontextmanager
async def opened(
    directory: Path,
    *,
    bytes_max: int,
    segment_bytes: int = SEGMENT_BYTES,
    patience: float = LOCK_SECONDS,
) -> AsyncIterator[Spool]:
    """Yield the spool of a directory, held against every other process.

    Waits up to `patience` seconds for another process to let go of it. Raises SpoolBusy and
    SpoolUnusable. Its user closes it; the lock ends with the block.
    """
    with _lock_file(directory) as lock:
        await _locked(lock, directory, patience)
        try:
            spool = Spool(directory, bytes_max=bytes_max, segment_bytes=segment_bytes)
        except (OSError, ValueError) as fault:
            raise SpoolUnusable(directory=str(directory), fault=str(fault)) from fault
        yield spool


def _lock_file(directory: Path) -> TextIO:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (directory / "lock").open("w")
    except OSError as fault:
        raise SpoolUnusable(directory=str(directory), fault=str(fault)) from fault


async def _locked(lock: TextIO, directory: Path, patience: float) -> None:
    """Take the lock; a killed process holds it until the last of its threads is back from the disk.

    Whoever starts the next one sees the killed one as ended before that.
    """
    for left in reversed(range(1 + round(patience / _LOCK_AGAIN_SECONDS))):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            if not left:
                raise SpoolBusy(directory=str(directory)) from fault
            await asyncio.sleep(_LOCK_AGAIN_SECONDS)
        else:
            return
