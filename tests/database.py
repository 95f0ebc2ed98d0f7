"""A throw-away PostgreSQL for one test process, and a fresh migrated database for each test.

The cluster belongs to the test process (one for each xdist worker) and dies with it. It runs
without fsync, so nothing tested on it may claim durability: tests that do start their own with
`cluster_directory` and `embedded.running`. Directories are in memory where there is room: a killed
process loses nothing there, and making and dropping databases takes a tenth of the time.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from vending.postgres import embedded, migrate, postmaster
from vending.postgres.embedded import EmbeddedSettings

TEMPLATE = "stima_template"

PREFIX = "stima-cluster-"
STALE_SECONDS = 3600
DISK = Path("/tmp")
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 * 1024**3
"""A cluster with a test database or two is 100 MB; a busy test may write a few hundred more."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated, empty database: as the server's role, and as its owner."""

    dsn: str
    owner_dsn: str


@contextmanager
def cluster_directory() -> Iterator[Path]:
    """Yield a new short directory that PostgreSQL's account can enter, removed at the end."""
    parent = _quickest()
    _sweep(parent, now=time.time())
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def throwaway_cluster() -> Iterator[str]:
    """Yield the owner's address of a running cluster that holds the migrated template."""
    with cluster_directory() as directory, asyncio.Runner() as runner:
        settings = EmbeddedSettings(
            data_dir=directory / "data",
            database=TEMPLATE,
            durable=False,
            shared_buffers_mb=64,
            options={
                "wal_buffers": "4MB",
                "wal_level": "minimal",
                "max_wal_senders": "0",
                "dynamic_shared_memory_type": "mmap",
            },
        )
        cluster = embedded.running(settings)
        dsn = runner.run(cluster.__aenter__())
        try:
            runner.run(_migrate(dsn))
            yield dsn
        finally:
            runner.run(cluster.__aexit__(None, None, None))


def _sweep(parent: Path, *, now: float) -> None:
    """Remove what killed test runs left behind: old directories on which nothing runs."""
    for left in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another run was quicker, or it is another user's
            if left.stat().st_mtime < now - STALE_SECONDS and not postmaster.running(left / "data"):
                shutil.rmtree(left, ignore_errors=True)


def _quickest() -> Path:
    """Return memory where there is plenty: cloning a database there takes a tenth of the time."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN:
        return MEMORY
    return DISK


async def _migrate(dsn: str) -> None:
    await migrate.migrate(dsn, now=datetime(2026, 1, 1, tzinfo=UTC))


async def clone(cluster_dsn: str) -> Database:
    """Copy the template and return the copy's addresses."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await _execute(cluster_dsn, f"create database {name} template {TEMPLATE} strategy file_copy")
    owner_dsn = urlunsplit(urlsplit(cluster_dsn)._replace(path=f"/{name}"))
    return Database(embedded.application_dsn(owner_dsn), owner_dsn)


async def drop(cluster_dsn: str, database: Database) -> None:
    """Drop a copy, whoever is still connected to it."""
    name = urlsplit(database.owner_dsn).path.strip("/")
    await _execute(cluster_dsn, f"drop database {name} with (force)")


async def _execute(cluster_dsn: str, statement: str) -> None:
    maintenance = urlunsplit(urlsplit(cluster_dsn)._replace(path="/postgres"))
    connection = await asyncpg.connect(maintenance)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
