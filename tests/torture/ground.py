"""A utility on disk, made as an operator would make it: settings, keys, tariffs and meters."""

import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import sts_core

from vending import config
from vending.clock import system_clock
from vending.meters import imports
from vending.postgres import database, migrate, pool
from vending.simulation import seed
from vending.simulation.seed import Home
from vending.tariffs import catalogue
from vending.tokens.keys import Description, KeyStore

SECRET = "torture-0123456789abcdef"
PASSPHRASE = "torture"
HOMES = 2_000
"""So many that no meter buys more often in a run than the fifty identifiers it remembers, however
fast the server and long the run: ten thousand payments in fifty cycles are five a meter."""

LAST_WORDS = 9_000

SETTINGS = """
[server]
port = {port}
drain_seconds = 5

[database]
data_dir = "{home}/pg"
shared_buffers_mb = 32
readers = 2

[mpesa]
secret = "{secret}"
allowed_addresses = ["127.0.0.1"]

[[route]]
short_code = "888880"

[vend]
lease_seconds = 2
sweep_seconds = 1

[intake]
spool_dir = "{home}/spool"

[keys]
store = "{home}/keys.sealed"

[sms]
file = "{home}/sms.jsonl"
per_second_max = 2000

[log]
level = "warning"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One utility's directory, and what the outside world knows of it.

    The database is durable: fsync is on, as it is for everybody who does not ask for less.
    """

    home: Path
    port: int
    homes: tuple[Home, ...] = field(repr=False)

    @property
    def settings(self) -> Path:
        return self.home / "stima.toml"

    @property
    def data_dir(self) -> Path:
        return self.home / "pg"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"STIMA_KEYS__PASSPHRASE": PASSPHRASE}

    @property
    def dsn(self) -> str:
        """Where whoever checks afterwards looks in, as the server's own role."""
        return f"postgresql://stima_app@/stima?host={quote(str(self.home / 'pg.socket'), safe='/')}"

    @property
    def log(self) -> Path:
        """What every server of a run has said, one after the other."""
        return self.home / "server.log"

    def last_words(self) -> str:
        """Return the end of the servers' log, for whoever must find out what went wrong."""
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"the server's last words:\n{said[-LAST_WORDS:]}"

    def ring(self) -> sts_core.KeyRing:
        """Return the vending keys, for the factory that makes the virtual meters."""
        return KeyStore(self.home / "keys.sealed").open(passphrase=PASSPHRASE)


@contextmanager
def staked() -> Iterator[Ground]:
    """Yield the directory of a utility with settings and keys, on a real disk; removed after."""
    home = Path(tempfile.mkdtemp(prefix="stima-torture-", dir="/tmp"))
    home.chmod(0o755)  # PostgreSQL's own account passes through
    try:
        ground = Ground(home=home, port=_free_port(), homes=seed.homes(HOMES))
        ground.settings.write_text(SETTINGS.format(port=ground.port, home=home, secret=SECRET))
        store = KeyStore(home / "keys.sealed")
        for key in seed.demo_keys():
            store.add(
                Description(
                    sgc=key.sgc, krn=key.krn, key_type=key.key_type,
                    dkga=key.dkga, base_date=key.base_date, ken=key.ken,
                ),
                bytearray(key.key_bytes),
                passphrase=PASSPHRASE,
            )  # fmt: skip
        seed.write_csv(home / "meters.csv", ground.homes)
        yield ground
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def furnish(ground: Ground) -> None:
    """Bring in tables, tariffs and meters."""
    settings = config.read(ground.settings, ground.environment)
    async with database.opened(settings.database) as base:
        await migrate.migrate(base.owner_dsn, now=system_clock())
        db = await pool.connect(base.owner_dsn)
        try:
            for text in catalogue.shipped().values():
                await catalogue.load(db, text, now=system_clock())
        finally:
            await db.close()
        await imports.import_csv(
            base.owner_dsn,
            ground.home / "meters.csv",
            now=system_clock(),
            on_progress=lambda _progress: None,
        )


def new_seed() -> int:
    """Return a seed for a run nobody asked to repeat."""
    return secrets.randbits(32)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
