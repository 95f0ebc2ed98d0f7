"""A file of meters becomes meters: checked, staged, merged in ranges, with every reject explained.

    file ── meter_rows ──► staging (COPY, unlogged) ── by ranges of meter numbers ──► meter
             checked                                                                  meter_state

Each range is one transaction, so an import that is cut short has imported some ranges whole, and
running the same file again does the rest: what is there already and the same is left alone.
A meter that exists keeps its key data, since the physical meter would not follow a file.
"""

import asyncio
import contextlib
import csv
import errno
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, TextIO

import asyncpg

from vending.errors import Unavailable
from vending.meters import staging
from vending.meters.meter_rows import (
    Header,
    MeterFileRefused,
    RowChecker,
    chunks,
    lines_of,
    read_header_line,
    row_as_written,
)
from vending.meters.staging import Merged, Staging
from vending.postgres import pool
from vending.postgres.pool import Connection

MERGERS = 2
"""Ranges merged at a time. Two keep two cores busy; more would crowd out live sales."""

IN_BULK_SHARE = 0.9
"""Part of a first import that is merged in bulk; the rest leaves look-ups by phone quick."""


LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
)
"""The server went away, stopped us or ran full. The driver's InternalClientError is among them: it
is what a connection says that was ended while it had nothing to do."""


class ImportInterrupted(Unavailable):
    """The database went away during the import.

    What was merged stays. Run the same file again: it takes up what is missing.
    """

    code = "import_interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an import is: `done` of `total` bytes when reading, rows when merging."""

    stage: Literal["reading", "merging"]
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What became of a file's rows; `rejects_path` is None when none was rejected."""

    added: int
    updated: int
    unchanged: int
    rejected: int
    rejects_path: Path | None

    @property
    def accepted(self) -> int:
        """Rows whose meter is now as the file says."""
        return self.added + self.updated + self.unchanged


async def import_csv(
    dsn: str,
    path: Path,
    *,
    now: datetime,
    on_progress: Callable[[Progress], None],
    country: str = "KE",
) -> ImportResult:
    """Import a meter file and write its rejects beside it as NAME.rejects.csv.

    `country` (ISO 3166) is where phone numbers without a country code are read. Raises
    MeterFileRefused when the file as a whole is no meter file, DatabaseUnavailable, and
    ImportInterrupted when the database goes away.
    """
    with _opened(path) as file:
        header = read_header_line(file)
        rejects_path = path.with_suffix(".rejects.csv")
        with _rejects_file(rejects_path) as rejects_file:
            try:
                async with _staged(dsn, header) as stage:
                    read_rejects = await _read(
                        stage, file, RowChecker(header, country), on_progress, dsn=dsn
                    )
                    merged = await _merge(stage, dsn, now, on_progress)
                    await _write_rejects(stage, path, header, rejects_file)
            except (*LOST, pool.CommitUnknown) as error:
                raise ImportInterrupted(reason=type(error).__name__) from error
    rejected = read_rejects + merged.rejected
    if not rejected:
        rejects_path.unlink(missing_ok=True)
    return ImportResult(
        added=merged.added,
        updated=merged.updated,
        unchanged=stage.rows - merged.added - merged.updated - merged.rejected,
        rejected=rejected,
        rejects_path=rejects_path if rejected else None,
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    # The file is read again for its rejects and measured for its progress: a pipe cannot be.
    if path.exists() and not path.is_file():
        raise MeterFileRefused(reason="unreadable", file=str(path), fault="not a regular file")
    try:
        file = path.open("rb")
    except OSError as error:
        raise MeterFileRefused(reason="unreadable", file=str(path), fault=error.strerror) from None
    with file:
        yield file


@contextlib.contextmanager
def _rejects_file(path: Path) -> Iterator[TextIO]:
    """Open the rejects file, readable by its owner only (phones are in it), kept when all is well.

    It is written under another name first: half a rejects file would pass for a whole one. Each
    run has a name of its own; of two runs of one file, the last to end leaves its rejects.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        # A directory there would be found out only when all is imported.
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise MeterFileRefused(
            reason="rejects_unwritable", file=str(partial), fault=error.strerror
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@asynccontextmanager
async def _staged(dsn: str, header: Header) -> AsyncIterator[Staging]:
    """Hold a run's staging tables and the connection they belong to."""
    async with _connected(dsn) as connection:
        stage = Staging(connection, header.staged, number=secrets.randbelow(2**31))
        await stage.make()
        try:
            yield stage
        finally:
            # What cannot be dropped now is dropped by the next run.
            with contextlib.suppress(*LOST):
                await stage.drop()


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    """Hold one connection; its end is never the error that is told."""
    connection = await pool.connect(dsn)
    try:
        yield connection
    finally:
        with contextlib.suppress(*LOST, TimeoutError):
            await connection.close(timeout=pool.CONNECT_SECONDS_MAX)


async def _read(
    stage: Staging,
    file: BinaryIO,
    checker: RowChecker,
    on_progress: Callable[[Progress], None],
    *,
    dsn: str,
) -> int:
    """Check and stage every row; return how many were rejected."""
    total = os.fstat(file.fileno()).st_size
    rejected = 0

    async def rows(notes: Connection) -> AsyncIterator[bytes]:
        nonlocal rejected
        line = 2
        for chunk in chunks(file):
            # In a thread, so that the last chunk goes down the socket while this one is checked.
            checked = await asyncio.to_thread(checker.check, chunk, first_line=line)
            line += checked.lines
            if checked.rejects:
                rejected += len(checked.rejects)
                await stage.reject(notes, checked.rejects)
            on_progress(Progress(stage="reading", done=file.tell(), total=total))
            if checked.copy_data:
                yield checked.copy_data

    async with _connected(dsn) as notes:
        await stage.fill(rows(notes))
    return rejected


async def _merge(
    stage: Staging, dsn: str, now: datetime, on_progress: Callable[[Progress], None]
) -> Merged:
    """Merge every range, `MERGERS` at a time; return the sum of what they did."""
    merged = Merged()
    done = 0
    in_bulk_rows = stage.rows * IN_BULK_SHARE if await stage.directory_is_empty() else 0
    ranges = stage.ranges()
    turn = asyncio.Lock()

    async def next_range() -> tuple[str, str] | None:
        async with turn:
            return await anext(ranges, None)

    async def work() -> None:
        nonlocal merged, done
        async with _connected(dsn) as connection:
            await staging.settle(connection)
            while (bounds := await next_range()) is not None:
                this = await stage.merge(connection, bounds, now=now, in_bulk=done < in_bulk_rows)
                merged += this
                done = min(done + staging.RANGE_ROWS, stage.rows)
                on_progress(Progress(stage="merging", done=done, total=stage.rows))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(MERGERS):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return merged


async def _write_rejects(stage: Staging, path: Path, header: Header, target: TextIO) -> None:
    """Write every rejected row, in the file's order, with its line number and reason.

    The file's own columns follow, so that rows can be mended in place and imported again.
    """
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(("line", "reason", *header.staged))
    with path.open("rb") as file:
        read_header_line(file)
        lines = enumerate((line for chunk in chunks(file) for line in lines_of(chunk)), 2)
        async for number, reason in stage.rejects():
            line = next(text for at, text in lines if at == number)
            writer.writerow((number, reason, *row_as_written(line, header)))
