"""PostgreSQL for a benchmark: the product's own embedded cluster, durable, with room to work.

The same cluster serves pgbench and the product. Where a C compiler is at hand, its disk can be
made slower while it runs.
"""

import asyncio
import re
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg

from vending.postgres import account, binaries, embedded, postmaster
from vending.postgres.binaries import Binaries
from vending.postgres.embedded import EmbeddedSettings

SETTINGS = {
    "max_wal_size": "12GB",
    "min_wal_size": "2GB",
    "checkpoint_timeout": "30min",
    # When a row was committed: the only way to time a token without asking while it is measured.
    "track_commit_timestamp": "on",
    "max_connections": "120",
    "autovacuum_naptime": "10min",
    "log_checkpoints": "off",
}
"""Beside the product's own: no checkpoint and no vacuum by the clock within one measurement."""

SHARED_BUFFERS_MB = 2048
TPCB_SCALE = 50
TPCB_CLIENTS = 16
SHIM = Path(__file__).with_name("slow_fdatasync.c")

_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running cluster: `slow_file` is there when its disk can be slowed."""

    owner_dsn: str
    pid: int
    programs: Binaries
    slow_file: Path | None

    def dsn(self, database: str) -> str:
        """Return a database's address, as its owner."""
        return urlunsplit(urlsplit(self.owner_dsn)._replace(path=f"/{database}"))

    def application_dsn(self, database: str) -> str:
        """Return a database's address, as the server's role."""
        return embedded.application_dsn(self.dsn(database))

    async def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run a statement on a connection of its own."""
        db = await asyncpg.connect(self.dsn(database))
        try:
            await db.execute(statement, timeout=3600)
        finally:
            await db.close()

    async def fetch(self, query: str, *values: Any, database: str) -> list[asyncpg.Record]:
        """Run a query on a connection of its own."""
        db = await asyncpg.connect(self.dsn(database))
        try:
            return await db.fetch(query, *values, timeout=3600)
        finally:
            await db.close()

    async def make(self, database: str, *, template: str | None = None) -> None:
        """Make a database, as a copy of another one where that is named."""
        copied = f" template {template} strategy file_copy" if template else ""
        await self.execute(f"create database {database}{copied}")

    def slow_down(self, milliseconds: int) -> None:
        """Make every fdatasync take so much longer from now on; raises RuntimeError."""
        if self.slow_file is None:
            raise RuntimeError(SHIM)
        with self.slow_file.open("r+b") as file:
            file.write(struct.pack("=I", milliseconds * 1000))

    def pgbench(self, *options: str) -> list[str]:
        """Return the command line of a pgbench run."""
        query = parse_qs(urlsplit(self.owner_dsn).query)
        return [
            str(self.programs.bin_dir / "pgbench"), "--host", query["host"][0],
            "--port", query["port"][0], "--username", urlsplit(self.owner_dsn).username or "",
            *options, "tpcb",
        ]  # fmt: skip

    async def fill_tpcb(self) -> None:
        """Make TPC-B's tables."""
        await self.make("tpcb")
        await _run(self.pgbench("--initialize", "--quiet", "--scale", str(TPCB_SCALE)))

    async def tpcb(self, seconds: float) -> float:
        """Run TPC-B for so long and return its transactions a second."""
        said = await _run(
            self.pgbench(
                "--client", str(TPCB_CLIENTS), "--jobs", "2", "--protocol", "prepared",
                "--no-vacuum", "--time", str(max(1, round(seconds))),
            )
        )  # fmt: skip
        return tps(said)


def tps(said: str) -> float:
    """Return what pgbench says it reached; raises ValueError when it says nothing."""
    found = _TPS.search(said)
    if found is None:
        raise ValueError(said)
    return float(found[1])


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Cluster]:
    """Run a new cluster in a directory until the context is left."""
    data = directory / "data"
    who = account.account_for(data)
    found = binaries.find(None, who, Path("/var/lib/stima/programs"))
    slow_file, bin_dir = _slowable(directory, found.bin_dir)
    settings = EmbeddedSettings(
        data_dir=data, bin_dir=bin_dir, shared_buffers_mb=SHARED_BUFFERS_MB, options=SETTINGS
    )
    async with embedded.running(settings) as owner_dsn:
        claim = postmaster.running(data)
        if claim is None:
            raise RuntimeError(data)
        yield Cluster(
            owner_dsn=owner_dsn, pid=claim.pid, programs=found, slow_file=slow_file
        )  # fmt: skip


def _slowable(directory: Path, bin_dir: Path) -> tuple[Path | None, Path]:
    """Return the file that slows the disk, and programs that heed it; without cc none and as is.

    PostgreSQL's environment is the product's affair, so the programs are stood in for by links,
    and `postgres` by a script that preloads the library and becomes the real one.
    """
    compiler = shutil.which("cc")
    library = directory / "slow_fdatasync.so"
    if compiler is None or subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=False
    ).returncode:  # fmt: skip
        return None, bin_dir
    slow_file = directory / "slow_microseconds"
    slow_file.write_bytes(bytes(4))
    programs = directory / "programs"
    programs.mkdir()
    for program in bin_dir.iterdir():
        if program.name != "postgres":
            (programs / program.name).symlink_to(program)
    script = programs / "postgres"
    script.write_text(
        f"#!/bin/sh\nLD_PRELOAD={library} STIMA_SLOW_FILE={slow_file} "
        f'exec {bin_dir / "postgres"} "$@"\n'
    )
    script.chmod(0o755)
    return slow_file, programs


async def _run(command: Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(said.decode())
    return said.decode()
