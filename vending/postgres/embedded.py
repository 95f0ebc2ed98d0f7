"""PostgreSQL as part of the server: one call, and there is a durable database to connect to.

`running` finds PostgreSQL's programs, makes the data directory the first time, starts the server on
it as an ordinary child process, restarts it if it dies, and stops it when the last user leaves. A
second process on the same directory joins what runs; a PostgreSQL that outlived a killed server is
taken over by the next one. It listens only on a Unix socket in a directory nobody else may enter.

Durability is on, always: `durable=False` exists for test suites that claim nothing about it.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from vending.errors import VendingError
from vending.postgres import binaries, cluster, pool, postmaster
from vending.postgres.account import Account, account_for, make_directory, make_private, reaches
from vending.postgres.cluster import OWNER, Cluster, DataDirectoryForbidden, DiskFull, Site
from vending.postgres.occupancy import DataDirectoryBusy, Occupancy

APPLICATION_ROLE = "stima_app"
"""The role the server works as: it may add to the ledger and never change or delete there."""

SOCKET_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
"""A Unix socket's address has room for 108 bytes (104 elsewhere), the last of them zero."""

SHARED_BUFFERS_MB_MAX = 1024
"""The default's ceiling: beyond this the hot rows of a few million meters already fit."""

_PORT = "5432"
_SOCKET_NAME = f".s.PGSQL.{_PORT}"
_WATCH_SECONDS = 0.2
_RETRY_SECONDS_MAX = 10.0
_CONNECT_SECONDS = 10.0


class SocketPathTooLong(VendingError):
    """The socket's directory has too long a path for a Unix socket.

    Configure a shorter one; a socket's whole path may have 107 bytes.
    """

    code = "socket_path_too_long"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """Where the embedded PostgreSQL lives and how much it may take.

    `system_home` is used only as root, for what PostgreSQL's own account cannot reach otherwise:
    a copy of the programs, and the data when `data_dir` lies in a private home; `data_dir` is then
    a symbolic link to it. `options` are further PostgreSQL settings; they win over ours, except
    that nothing turns durability off. A stop that takes longer than `stop_seconds_max` becomes an
    immediate one; PostgreSQL then ends what hangs within 5 s, so `quit_seconds_max` is above that.
    """

    data_dir: Path
    bin_dir: Path | None = None
    socket_dir: Path | None = None
    system_home: Path = Path("/var/lib/stima")
    database: str = "stima"
    shared_buffers_mb: int | None = None
    durable: bool = True
    start_seconds_max: float = 600.0
    stop_seconds_max: float = 60.0
    quit_seconds_max: float = 10.0
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an embedded PostgreSQL lives, whether it runs or not; made by `located`."""

    settings: EmbeddedSettings
    site: Site
    dsn: str = field(repr=False)
    """The address its owner will have."""

    @property
    def made(self) -> bool:
        """Whether there is a data directory, which may hold somebody's money."""
        return cluster.made(self.site.data_dir)


@asynccontextmanager
async def running(
    settings: EmbeddedSettings, *, on_line: Callable[[str], None] | None = None
) -> AsyncIterator[str]:
    """Yield the address of a running PostgreSQL, as its owner, with the database made.

    `on_line` gets PostgreSQL's log lines while it starts (a recovery can take minutes) and a line
    for each restart. Raises what `located` and `started` do.
    """
    async with started(await located(settings, on_line=on_line), on_line=on_line) as dsn:
        yield dsn


async def located(
    settings: EmbeddedSettings, *, on_line: Callable[[str], None] | None = None
) -> Place:
    """Return where PostgreSQL lives, with its directories made and its programs found.

    Raises PostgresNotFound, NoUnprivilegedAccount, DataDirectoryForbidden, SocketPathTooLong,
    DiskFull.
    """
    site = await asyncio.to_thread(_site, settings, on_line or _say_nothing)
    found = postmaster.running(site.data_dir)
    socket_dir, port = str(site.socket_dir), int(_PORT)
    if found is not None and found.socket_dir:
        socket_dir, port = found.socket_dir, found.port
    return Place(settings, site, _dsn(socket_dir, port, settings.database))


@asynccontextmanager
async def started(
    place: Place, *, on_line: Callable[[str], None] | None = None
) -> AsyncIterator[str]:
    """Yield the address of the PostgreSQL of a place, which runs for as long as anybody holds it.

    Raises DataDirectoryForeign, DataDirectoryForbidden, DataDirectoryBusy, DiskFull,
    PostgresDidNotStart; and may then be tried again.
    """
    say = on_line or _say_nothing
    settings, site = place.settings, place.site
    ours = Cluster(site, say)
    occupancy = Occupancy(site.data_dir)
    limit = settings.start_seconds_max
    stop = partial(
        ours.stop,
        seconds_max=settings.stop_seconds_max,
        quit_seconds_max=settings.quit_seconds_max,
    )
    async with occupancy.starting(seconds_max=limit):
        occupancy.enter()
        try:
            found = await ours.ensure(seconds_max=limit)
            if not found.socket_dir:
                raise DataDirectoryBusy(
                    data_dir=site.data_dir, pid=found.pid, reason="it has no socket"
                )
            dsn = _dsn(found.socket_dir, found.port, settings.database)
            await _make_database(dsn, settings.database)
        except BaseException:
            if occupancy.leave() and ours.started:
                await stop()
            raise
    watch = asyncio.create_task(_watch(ours, occupancy, limit, say))
    try:
        yield dsn
    finally:
        watch.cancel()
        await asyncio.wait({watch})
        async with occupancy.starting(seconds_max=settings.stop_seconds_max):
            if occupancy.leave():
                await stop()
            else:
                ours.leave_running()


def application_dsn(owner_dsn: str) -> str:
    """Return the same database's address for the role the server works as."""
    parts = urlsplit(owner_dsn)
    credentials, at, host = parts.netloc.rpartition("@")
    _, colon, password = credentials.partition(":")
    netloc = f"{APPLICATION_ROLE}{colon}{password}{at or '@'}{host}"
    return urlunsplit(parts._replace(netloc=netloc))


async def _watch(
    ours: Cluster, occupancy: Occupancy, limit: float, say: Callable[[str], None]
) -> None:
    """Start PostgreSQL again whenever it has died, for as long as it takes."""
    pause = _WATCH_SECONDS
    while True:
        await asyncio.sleep(pause)
        if ours.alive:
            pause = _WATCH_SECONDS
            continue
        say("PostgreSQL has died; starting it again")
        try:
            async with occupancy.starting(seconds_max=limit):
                await ours.ensure(seconds_max=limit)
        except (VendingError, OSError) as error:
            say(f"PostgreSQL did not come back, trying again: {error}")
            pause = min(pause * 2, _RETRY_SECONDS_MAX)


def _say_nothing(_line: str) -> None:
    """Take a log line nobody asked for."""


def _site(settings: EmbeddedSettings, say: Callable[[str], None]) -> Site:
    try:
        data_dir = settings.data_dir.resolve()
        make_directory(data_dir.parent)
        account = account_for(data_dir)
        if not reaches(account, data_dir.parent):
            data_dir = _moved_home(settings, data_dir, say)
        _check_owner(data_dir, account)
        found = binaries.find(settings.bin_dir, account, settings.system_home / "programs")
        socket_dir = _socket_dir(settings.socket_dir, data_dir, account)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(data_dir=settings.data_dir) from error
        raise DataDirectoryForbidden(data_dir=settings.data_dir, reason=error) from error
    return Site(
        data_dir=data_dir,
        socket_dir=socket_dir,
        account=account,
        binaries=found,
        options=_options(settings, socket_dir),
        durable=settings.durable,
    )


def _moved_home(settings: EmbeddedSettings, data_dir: Path, say: Callable[[str], None]) -> Path:
    """Put the data where PostgreSQL's account can reach it and leave a symbolic link in its place.

    A private home stays private: no parent directory's mode is changed.
    """
    if data_dir.exists():
        raise DataDirectoryForbidden(
            data_dir=data_dir, reason="PostgreSQL's account cannot enter its parent directory"
        )
    home = settings.system_home / "clusters" / secrets.token_hex(6) / "data"
    make_directory(home.parent)
    data_dir.symlink_to(home)
    say(f"PostgreSQL's account cannot enter {data_dir.parent}, so its data is kept in {home}")
    return home


def _check_owner(data_dir: Path, account: Account) -> None:
    if data_dir.exists() and data_dir.stat().st_uid not in {account.uid, os.geteuid()}:
        raise DataDirectoryForbidden(data_dir=data_dir, reason=f"not owned by {account.name}")


def _socket_dir(configured: Path | None, data_dir: Path, account: Account) -> Path:
    """Return a private directory whose socket's path fits, made if it was not there."""
    if configured is not None:
        candidates = [configured]
    else:
        short = f"stima-{account.uid}-{_digest(data_dir)}"
        candidates = [
            data_dir.with_name(f"{data_dir.name}.socket"),
            Path("/run/user") / str(account.uid) / short,
            Path("/tmp") / short,  # noqa: S108 - private, and refused when anyone else's
        ]
    for directory in candidates:
        path = os.fsencode(directory / _SOCKET_NAME)
        if len(path) > SOCKET_PATH_BYTES_MAX or not directory.parent.is_dir():
            continue
        make_private(directory, account)
        return directory
    raise SocketPathTooLong(socket_dir=configured, bytes_max=SOCKET_PATH_BYTES_MAX)


def _options(settings: EmbeddedSettings, socket_dir: Path) -> dict[str, str]:
    """Return PostgreSQL's settings: those its own defaults are too small or too wordy for."""
    megabytes = settings.shared_buffers_mb or _shared_buffers_mb()
    safe = "on" if settings.durable else "off"
    return {
        "shared_buffers": f"{megabytes}MB",
        "max_wal_size": "4GB",
        # A file of the log that is made anew stops every commit for 20 ms; so many are used again.
        "min_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "wal_buffers": "64MB",
        "jit": "off",
        # Batches are prepared once and run for ever; planning each anew costs more than it finds.
        "plan_cache_mode": "force_generic_plan",
        # A failed statement's values are money, phones and tokens: they stay out of the log.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        **settings.options,
        "listen_addresses": "",
        "port": _PORT,
        "unix_socket_directories": '"' + str(socket_dir).replace('"', '""') + '"',
        "logging_collector": "off",
        "fsync": safe,
        "synchronous_commit": safe,
        "full_page_writes": safe,
    }


def _shared_buffers_mb() -> int:
    """Return a quarter of the memory we may use, between 32 MB and the ceiling."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no control group, or one without a limit
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return max(32, min(SHARED_BUFFERS_MB_MAX, memory // 4 // 1024**2))


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _dsn(socket_dir: str, port: int, database: str) -> str:
    return f"postgresql://{OWNER}@/{quote(database)}?host={quote(socket_dir, safe='/')}&port={port}"


async def _make_database(dsn: str, database: str) -> None:
    maintenance = urlunsplit(urlsplit(dsn)._replace(path="/postgres"))
    connection = await asyncpg.connect(maintenance, timeout=_CONNECT_SECONDS)
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", database):
            name = '"' + database.replace('"', '""') + '"'
            await connection.execute(f"create database {name}")
    finally:
        await pool.part(connection)
