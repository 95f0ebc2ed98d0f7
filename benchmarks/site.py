"""What is measured, set up as production would be: utility, meters, keys, and servers of their own.

Meters come in by the product's import, keys by its key store, tariffs by its catalogue, and each
server is the product's own command in its own process, with its own database in the one cluster.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import asyncpg
import msgspec

from benchmarks import import_meters
from benchmarks.cluster import Cluster
from benchmarks.gun import Fired, Load, Phase
from benchmarks.requests import Order, prefix_at
from vending.meters import imports
from vending.postgres import migrate
from vending.tariffs import catalogue
from vending.tokens.keys import Description, KeyStore

METERS = 100_000
TEMPLATE = "furnished"
HOST = "127.0.0.1"
SHORT_CODE = "888880"
SCHEDULES = ("kenya-2023", "kenya-2024", "kenya-2025")
GROUPS = ("201457", "201458")
"""The supply groups of the generated meters, half of them EA07 and half EA11."""

START_SECONDS = 60.0
STOP_SECONDS = 60.0


@dataclass(slots=True)
class Shots:
    """The loads of one kind that a server got: what the books are checked against at the end."""

    operator: str
    answered: dict[str, set[int]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Server:
    """A server that runs in a process of its own, on a database of its own."""

    name: str
    database: str
    pid: int
    port: int
    config_file: Path | None = None
    confirm: Shots = field(default_factory=lambda: Shots("mpesa"))
    sale: Shots = field(default_factory=lambda: Shots("internal"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """A load that was thrown: under which prefix, and what became of it."""

    prefix: str
    fired: Fired

    @property
    def answered(self) -> int:
        """How many requests were answered with a 2xx."""
        return sum(200 <= status < 300 for status in self.fired.columns()[2])


class Site:
    """The benchmark's world: the cluster, the utility's files, and how to load its servers."""

    def __init__(self, directory: Path, cluster: Cluster) -> None:
        self.directory = directory
        self.cluster = cluster
        self.meters: list[str] = []
        self._callback_secret = secrets.token_urlsafe(18)
        self._sales_secret = secrets.token_urlsafe(24)
        self._passphrase = secrets.token_urlsafe(24)
        self._loads = 0
        self._starts = 0

    async def furnish(self) -> None:
        """Make keys, and the database with tariffs and meters that the servers' own are copies of.

        The import of the meters is not timed here: the directory is small.
        """
        _make_keys(self.directory / "keys.sealed", self._passphrase)
        await self.make_database(TEMPLATE)
        path = self.directory / "meters.csv"
        import_meters.generate(path, METERS)
        self.meters = numbers_of(path)
        await imports.import_csv(
            self.cluster.application_dsn(TEMPLATE), path, now=datetime.now(UTC),
            on_progress=lambda _progress: None,
        )  # fmt: skip
        await self.cluster.execute("vacuum (analyze)", database=TEMPLATE)

    async def make_database(self, name: str) -> None:
        """Make a database with tables and tariffs and nothing else."""
        await self.cluster.make(name)
        await migrate.migrate(self.cluster.dsn(name), now=datetime.now(UTC))
        db = await asyncpg.connect(self.cluster.dsn(name))
        try:
            for schedule in SCHEDULES:
                text = resources.files("vending.tariffs").joinpath("schedules", f"{schedule}.toml")
                await catalogue.load(db, text.read_text("utf-8"), now=datetime.now(UTC))
        finally:
            await db.close()

    @asynccontextmanager
    async def server(
        self, database: str, *, with_keys: bool = True, workers: int = 0
    ) -> AsyncIterator[Server]:
        """Run `vending serve` on a database; without keys it takes money and vends nothing."""
        config = self.directory / f"{database}.toml"
        config.write_text(self._settings(database, with_keys=with_keys))
        self._starts += 1
        log = self.directory / f"{database}-{self._starts}.log"
        environment = {
            **os.environ, "STIMA_KEYS__PASSPHRASE": self._passphrase, "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vending", "serve", "--config", str(config),
                "--workers", str(workers),
                stdout=output, stderr=output, env=environment, start_new_session=True,
            )  # fmt: skip
        try:
            port = await _listening(log, process)
            yield Server(
                name=database, database=database, pid=process.pid, port=port, config_file=config
            )
        finally:
            await _end(process)

    @asynccontextmanager
    async def echo(self) -> AsyncIterator[Server]:
        """Run the empty aiohttp server."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-m", "benchmarks.echo",
            stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            if process.stdout is None:
                raise RuntimeError
            port = int(await asyncio.wait_for(process.stdout.readline(), START_SECONDS))
            yield Server(name="echo", database="", pid=process.pid, port=port)
        finally:
            await _end(process)

    async def fire(
        self, server: Server, kind: str, *, connections: int, seconds: float = 0.0,
        phases: Sequence[Phase] = (), patience_seconds: float = 10.0, grain_seconds: float = 0.0,
    ) -> Fire:  # fmt: skip
        """Throw a load at a server from a process of its own, and remember what was answered."""
        self._loads += 1
        prefix = prefix_at(datetime.now(UTC))
        load = Load(
            host=HOST, port=server.port, connections=connections, seconds=seconds,
            phases=list(phases), patience_seconds=patience_seconds, grain_seconds=grain_seconds,
            seed=self._loads,
            order=Order(
                kind=kind, prefix=prefix, meters=self.meters, path=self._path(kind),
                headers=self._headers(kind), short_code=SHORT_CODE, seed=self._loads,
            ),
        )  # fmt: skip
        spec, result = self.directory / "load.json", self.directory / "load.result"
        spec.write_bytes(msgspec.json.encode(load))
        generator = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.gun", str(spec), str(result)
        )
        try:
            if await generator.wait():
                raise RuntimeError(load.order.kind)
        finally:
            await _end(generator)
        fired = msgspec.msgpack.decode(result.read_bytes(), type=Fired)
        fire = Fire(prefix=prefix, fired=fired)
        status = fired.columns()[2]
        good = {number for number, code in enumerate(status) if 200 <= code < 300}
        if kind == "confirm":
            server.confirm.answered[prefix] = good
        elif kind == "sale":
            server.sale.answered[prefix] = good
        return fire

    def _path(self, kind: str) -> str:
        if kind == "sale":
            return "/internal/sales"
        return f"/op/saf/{self._callback_secret}/v1/confirm"

    def _headers(self, kind: str) -> list[tuple[str, str]]:
        return [("Authorization", f"Bearer {self._sales_secret}")] if kind == "sale" else []

    def _settings(self, database: str, *, with_keys: bool) -> str:
        store = self.directory / ("keys.sealed" if with_keys else "no-keys")
        return f"""
[server]
host = "{HOST}"
port = 0
connections_max = 8192

[database]
dsn = "{self.cluster.application_dsn(database)}"

[mpesa]
secret = "{self._callback_secret}"
allowed_addresses = ["{HOST}"]

[[route]]
short_code = "{SHORT_CODE}"

[sales]
secret = "{self._sales_secret}"
allowed_addresses = ["{HOST}"]

[intake]
spool_dir = "{self.directory / database}.spool"

[keys]
store = "{store}"

[sms]
gateway = "file"
file = "{self.directory / database}.sms"
"""


def numbers_of(path: Path) -> list[str]:
    """Return the meter numbers of an import file: its first column."""
    with path.open(encoding="ascii") as file:
        next(file)
        return [line.partition(",")[0] for line in file]


def port_in(log: Path) -> int | None:
    """Return the port that a server's log says it listens on, None while it does not."""
    for line in log.read_bytes().splitlines():
        if b'"listening"' in line:
            url = msgspec.json.decode(line, type=dict[str, object])["url"]
            return int(str(url).rpartition(":")[2])
    return None


def last_words(log: Path) -> str:
    """Return the end of a log, for an error to carry."""
    return log.read_text(errors="replace")[-2000:]


def _make_keys(path: Path, passphrase: str) -> None:
    for group in GROUPS:
        KeyStore(path).add(
            Description(sgc=group, krn=1, key_type=2, dkga="04", base_date="14", ken=255),
            bytearray(secrets.token_bytes(20)),
            passphrase=passphrase,
        )


async def _listening(log: Path, process: asyncio.subprocess.Process) -> int:
    """Wait until a server says where it listens, and return the port."""
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            port = port_in(log)
            if port is not None:
                return port
            await asyncio.sleep(0.05)
    raise RuntimeError(last_words(log))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Stop a process that was started here: it is asked first."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
