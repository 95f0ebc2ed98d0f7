"""One data directory and the PostgreSQL process on it: make it, start it, follow it, stop it.

PostgreSQL is our direct child where we started it, so that its end is seen and collected at once;
a postmaster that outlived the process which started it is taken over by its process number. It is
ready only when ``postmaster.pid`` names that very process and says so. It runs in a session of its
own, because a Ctrl-C meant for us must not stop it before we have finished with it.
"""

import asyncio
import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vending.errors import Unavailable, VendingError
from vending.postgres import postmaster
from vending.postgres.account import ENVIRONMENT, Account, credentials, make_private, run_as
from vending.postgres.binaries import BUILTIN_LOCALE_MAJOR_MIN, Binaries
from vending.postgres.postmaster import Postmaster

OWNER = "stima"
"""The role that owns the cluster and runs the migrations."""

LOG_BYTES_MAX = 10_000_000
"""A log longer than this at a start is set aside as ``.log.1``: months of checkpoints."""

FREE_BYTES_MIN = 1_000_000
"""With less PostgreSQL cannot even write why it fails, when its log is on the same disk."""

LAUNCHES_MAX = 500
"""Tries to start beside what a killed PostgreSQL has left. Each takes a tenth of a second: a minute
for a disk that is slow to let it go, and no more for a socket that is another's for good."""

_POLL_SECONDS = 0.02
_LOG_LINES_TOLD = 12
_PR_SET_PDEATHSIG = 1

_TRY_AGAIN = (
    # Backends of a killed postmaster are still leaving.
    "pre-existing shared memory",
    # A server that was killed while it started PostgreSQL left it starting: it is taken over.
    'lock file "postmaster.pid" already exists',
    # A killed postmaster is not yet collected; the directory of the socket is ours alone.
    '.lock" already exists',
)


class PostgresDidNotStart(Unavailable):
    """PostgreSQL did not start; its last words are given.

    Committed rows are safe on disk. Mend what the log lines name and start again.
    """

    code = "postgres_did_not_start"


class DiskFull(Unavailable):
    """The disk of the data directory is full, so PostgreSQL cannot start.

    Everything acknowledged is still there. Free space on that file system and start again; never
    delete files inside the data directory.
    """

    code = "disk_full"


class DataDirectoryForeign(VendingError):
    """The data directory was written by another major version of PostgreSQL.

    It is never upgraded in silence. Dump it with the programs of the version that wrote it, move
    the directory aside, start, and restore the dump.
    """

    code = "data_directory_foreign"


class DataDirectoryForbidden(VendingError):
    """The data directory holds something that is not ours to start.

    It belongs to another account, cannot be entered by the account PostgreSQL runs as, or is full
    of other files. Start as its owner, or configure another directory.
    """

    code = "data_directory_forbidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything a cluster is started from: where, with what, as whom."""

    data_dir: Path
    socket_dir: Path
    account: Account
    binaries: Binaries
    options: Mapping[str, str]
    durable: bool

    @property
    def log(self) -> Path:
        """Return the file PostgreSQL writes its log to, beside the data directory."""
        return self.data_dir.with_name(f"{self.data_dir.name}.log")


class Cluster:
    """PostgreSQL on one data directory; call its methods only while holding the start lock."""

    def __init__(self, site: Site, say: Callable[[str], None]) -> None:
        self._site = site
        self._say = say
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def started(self) -> bool:
        """Return whether what runs, if anything does, was started here and not joined."""
        return self._child is not None

    @property
    def alive(self) -> bool:
        """Return whether the process that serves this directory still runs; collect ours if not."""
        if self._child is not None:
            return self._child.poll() is None
        return postmaster.running(self._site.data_dir) is not None

    async def ensure(self, *, seconds_max: float) -> Postmaster:
        """Return the running postmaster, taking over or starting one; make the directory if new.

        Raises DataDirectoryForeign, DataDirectoryForbidden, DiskFull and PostgresDidNotStart.
        """
        site = self._site
        if not made(site.data_dir):
            await asyncio.to_thread(_make, site)
        _check_version(site)
        launches = 0
        try:
            async with asyncio.timeout(seconds_max):
                while True:
                    if postmaster.running(site.data_dir):
                        found = await self._settled()
                    else:
                        launches += 1
                        found = await self._launched(last=launches >= LAUNCHES_MAX)
                    if found is not None:
                        return found
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise PostgresDidNotStart(
                data_dir=site.data_dir, seconds=seconds_max, log=_last_words(site.log, 0)
            ) from None

    async def _settled(self) -> Postmaster | None:
        """Wait until a running postmaster is ready or gone; return it when ready."""
        while True:
            found = postmaster.running(self._site.data_dir)
            if found is None or found.ready:
                return found
            await asyncio.sleep(_POLL_SECONDS)

    async def _launched(self, *, last: bool) -> Postmaster | None:
        """Start a child and wait until it is ready; None when it should be tried again.

        The `last` try is not tried again.
        """
        if postmaster.forget_stranger(self._site.data_dir):
            self._say("removed a stale postmaster.pid whose number now belongs to another program")
        log = _open_log(self._site)
        with log:
            said = log.tell()
            child = self._child = _spawn(self._site, log)
        while child.poll() is None:
            said = self._pass_on(said)
            found = postmaster.read(self._site.data_dir)
            if found is not None and found.pid == child.pid and found.ready:
                self._pass_on(said)
                return found
            await asyncio.sleep(_POLL_SECONDS)
        words = _last_words(self._site.log, self._pass_on(said))
        if not last and any(one in words for one in _TRY_AGAIN):
            self._child = None  # what runs next may be another's
            return None
        if _says_full(words) or shutil.disk_usage(self._site.data_dir).free < FREE_BYTES_MIN:
            raise DiskFull(data_dir=self._site.data_dir, log=words)
        raise PostgresDidNotStart(
            data_dir=self._site.data_dir, exit_status=child.returncode, log=words
        )

    def _pass_on(self, said: int) -> int:
        """Hand the log's new whole lines to the caller; return how far the log has been read."""
        with self._site.log.open("rb") as log:
            log.seek(said)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._say(line.decode(errors="replace").rstrip())
                said += len(line)
        return said

    async def stop(self, *, seconds_max: float, quit_seconds_max: float) -> None:
        """Stop PostgreSQL: fast, then at once, then by force; the data is safe in each case."""
        running = postmaster.running(self._site.data_dir)
        pid = self._child.pid if self._child is not None and self.alive else None
        pid = pid or (running.pid if running else None)
        for what, seconds in (
            (signal.SIGINT, seconds_max),
            (signal.SIGQUIT, quit_seconds_max),
            (signal.SIGKILL, quit_seconds_max),
        ):
            if pid is None or not postmaster.tell(pid, what):
                break
            if what is not signal.SIGINT:
                self._say(f"PostgreSQL was slow to stop; sent it {what.name}")
                postmaster.tell(pid, signal.SIGCONT)  # one that was frozen hears nothing else
            if await self._gone(pid, seconds):
                break
        if self._child is not None:
            self._child.poll()
            self._child = None

    def leave_running(self) -> None:
        """Let go of a PostgreSQL that others still use: it is no longer ours to collect."""
        if self._child is not None:
            self._child.returncode = 0  # else Python warns that a child was forgotten
            self._child = None

    async def _gone(self, pid: int, seconds_max: float) -> bool:
        for _ in range(round(seconds_max / _POLL_SECONDS)):
            if self._child is not None:
                self._child.poll()
            if not postmaster.exists(pid):
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False


def made(data_dir: Path) -> bool:
    """Return whether a cluster was once made in a directory."""
    return (data_dir / "PG_VERSION").exists()


def _check_version(site: Site) -> None:
    found = (site.data_dir / "PG_VERSION").read_text().strip()
    if found == str(site.binaries.major):
        return
    raise DataDirectoryForeign(
        data_dir=site.data_dir,
        written_by=found,
        installed=site.binaries.version,
        dump=f"with PostgreSQL {found}: pg_dumpall --host={site.socket_dir} "
        f"--username={OWNER} --file=stima.sql",
        restore=f"psql --host={site.socket_dir} --username={OWNER} "
        "--dbname=postgres --file=stima.sql",
    )


def _make(site: Site) -> None:
    """Run initdb beside the place and move the result in, so that a crash leaves no half of it."""
    target = site.data_dir
    if target.exists() and any(path.name != "lost+found" for path in target.iterdir()):
        raise DataDirectoryForbidden(data_dir=target, reason="not empty and not PostgreSQL's")
    fresh = target if target.is_mount() else target.with_name(f"{target.name}.new")
    if fresh != target and fresh.exists():
        shutil.rmtree(fresh)
    try:
        if fresh == target:
            os.chown(fresh, site.account.uid, site.account.gid)
        else:
            make_private(fresh, site.account)
        made = run_as(
            site.account, [site.binaries.bin_dir / "initdb", *_initdb_options(site, fresh)]
        )
        if made.returncode != 0:
            kind = DiskFull if _says_full(made.stdout) else PostgresDidNotStart
            raise kind(data_dir=target, log=made.stdout.strip())
        if fresh != target:
            fresh.rename(target)
            _sync(target.parent)
    finally:
        if fresh != target and fresh.exists():
            shutil.rmtree(fresh)


def _initdb_options(site: Site, fresh: Path) -> list[str]:
    locale = ["--locale=C"]
    if site.binaries.major >= BUILTIN_LOCALE_MAJOR_MIN:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [
        f"--pgdata={fresh}",
        f"--username={OWNER}",
        "--encoding=UTF8",
        *locale,
        "--data-checksums",
        "--auth-local=trust",
        "--auth-host=reject",
        *([] if site.durable else ["--no-sync"]),
    ]


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_log(site: Site) -> IO[bytes]:
    log = site.log
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_name(f"{log.name}.1"))
    opened = log.open("ab")
    log.chmod(0o600)
    return opened


def _spawn(site: Site, log: IO[bytes]) -> subprocess.Popen[bytes]:
    argv: list[str | Path] = [site.binaries.bin_dir / "postgres", "-D", site.data_dir]
    for name, value in site.options.items():
        argv += ["-c", f"{name}={value}"]
    user, group, groups = credentials(site.account)
    return subprocess.Popen(  # noqa: S603 - programs we found, arguments we made
        argv,
        user=user,
        group=group,
        extra_groups=groups,
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=None if site.durable else _die_with_starter,  # noqa: PLW1509 - tests only
    )


def _die_with_starter() -> None:
    """Ask the kernel to end a throw-away cluster with the process that made it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _says_full(words: str) -> bool:
    return os.strerror(errno.ENOSPC) in words


def _last_words(log: Path, since: int) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as opened:
        opened.seek(max(since - 4000, 0))
        lines = opened.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_LINES_TOLD:])
