"""The demo utility on disk: its settings, its secrets, and what its first start brings in.

Everything enters as a real utility's data would: tariffs through the catalogue, keys through the
key store, meters through the import. Secrets are made at the first start and kept in the demo's
own directory, readable by its owner alone.
"""

import asyncio
import fcntl
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import msgspec

from vending import config
from vending.clock import Clock
from vending.config import Config
from vending.errors import Unavailable
from vending.meters import imports
from vending.postgres import migrate, pool
from vending.postgres.database import Database
from vending.simulation import seed
from vending.tariffs import catalogue
from vending.tokens.keys import Description, KeyStore

SHORT_CODE = "888880"
SCHEDULES = ("kenya-2023", "kenya-2024", "kenya-2025", "three-step", "uganda-2021")
"""The published schedules the demo sells by: three tariffs, one of them in three versions."""

SETTINGS = "stima.toml"
"""In the demo's directory: the settings by which other commands find it."""

COUNT_METERS = "select count(*) from meter"


class DemoPortBusy(Unavailable):
    """Another program listens on the demo's port.

    Stop that program, or choose another port: `make run PORT=8090`, or `vending demo --port 8090`.
    """

    code = "demo_port_busy"


class DemoRunningAlready(Unavailable):
    """A demo is running in this directory already.

    Use that one, or give this one a directory and a port of its own:
    `vending demo --home OTHER --port 8090`.
    """

    code = "demo_running_already"


class DemoSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo keeps to itself between two starts."""

    callback_path: str
    sms_api_key: str
    sms_callback_path: str
    key_passphrase: str
    vendors: str

    def __repr__(self) -> str:
        return "DemoSecrets(...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoUtility:
    """One demo: the directory it lives in, its secrets, and its homes."""

    home: Path
    secrets: DemoSecrets = field(repr=False)
    homes: tuple[seed.Home, ...] = field(repr=False)

    @property
    def key_store(self) -> KeyStore:
        """Where the demo's vending keys are sealed."""
        return KeyStore(self.home / "keys.sealed")

    def settings(self, *, port: int, town_url: str) -> Config:
        """Return the server's settings, as a settings file would give them."""
        return Config(
            server=config.Server(port=port),
            database=config.Database(data_dir=str(self.home / "postgres")),
            vendors=config.Vendors(
                secret=self.secrets.vendors, public_url=f"http://127.0.0.1:{port}"
            ),
            webhooks=config.Webhooks(loopback=True),
            mpesa=config.Mpesa(secret=self.secrets.callback_path, allowed_addresses=["127.0.0.1"]),
            route=[config.Route(short_code=SHORT_CODE)],
            intake=config.Intake(spool_dir=str(self.home / "spool")),
            keys=config.Keys(
                store=str(self.key_store.path), passphrase=self.secrets.key_passphrase
            ),
            sms=config.Sms(
                gateway="africastalking",
                url=f"{town_url}/version1/messaging",
                username="utility",
                api_key=self.secrets.sms_api_key,
                sender="STIMA",
                per_second_max=2_000,
                callback_secret=self.secrets.sms_callback_path,
                callback_addresses=["127.0.0.1"],
            ),
            log=config.Log(level="warning", format="console"),
        )


def opened(home: Path) -> DemoUtility:
    """Return the demo of a directory, with secrets made if it has none yet."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "demo-secrets.json"
    made = {
        "callback_path": secrets.token_urlsafe(18),
        "sms_api_key": secrets.token_urlsafe(24),
        "sms_callback_path": secrets.token_urlsafe(18),
        "key_passphrase": secrets.token_urlsafe(24),
        "vendors": secrets.token_urlsafe(32),
    }
    earlier: dict[str, str] = {}
    if path.exists():
        earlier = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    kept = msgspec.convert(made | earlier, DemoSecrets)
    if earlier.keys() != made.keys():
        write_private(path, msgspec.json.encode(kept))
    write_private(home / SETTINGS, _for_commands(home, kept).encode())
    return DemoUtility(home=home, secrets=kept, homes=seed.homes())


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold a demo's directory against a second demo; raises DemoRunningAlready."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoRunningAlready(home=str(home)) from None
        yield


def require_free(port: int) -> None:
    """Raise DemoPortBusy when somebody listens on a port already; 0 is always free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise DemoPortBusy(port=port) from None


async def furnish(
    utility: DemoUtility, database: Database, *, clock: Clock, say: Callable[[str, str], None]
) -> None:
    """Bring in what is missing: tables, tariffs, keys and meters. `say` gets a topic and news."""
    applied = await migrate.migrate(database.owner_dsn, now=clock())
    say("tables", f"{len(applied)} migrations applied" if applied else "up to date")
    if await asyncio.to_thread(make_keys, utility):
        say("keys", f"{len(seed.GROUPS)} demo vending keys made and sealed; for play only")
    connection = await pool.connect(database.owner_dsn)
    try:
        for name in SCHEDULES:
            text = resources.files("vending.tariffs").joinpath("schedules", f"{name}.toml")
            await catalogue.load(connection, text.read_text(encoding="utf-8"), now=clock())
        loaded = await catalogue.read(connection)
        say("tariffs", ", ".join(loaded.codes()))
        meters = await connection.fetchval(COUNT_METERS)
    finally:
        await connection.close()
    if meters < len(utility.homes):
        path = utility.home / "meters.csv"
        await asyncio.to_thread(seed.write_csv, path, utility.homes)
        result = await imports.import_csv(
            database.owner_dsn, path, now=clock(), on_progress=lambda _progress: None
        )
        meters = result.accepted
    say("meters", f"{meters:,}")


def make_keys(utility: DemoUtility) -> bool:
    """Make and seal the demo's vending keys unless it has some; say whether it made them."""
    store = utility.key_store
    if store.path.exists():
        return False
    for key in seed.demo_keys():
        store.add(
            Description(
                sgc=key.sgc, krn=key.krn, key_type=key.key_type,
                dkga=key.dkga, base_date=key.base_date, ken=key.ken,
            ),
            bytearray(key.key_bytes),
            passphrase=utility.secrets.key_passphrase,
        )  # fmt: skip
    return True


def _for_commands(home: Path, kept: DemoSecrets) -> str:
    return (
        "# Written by every start of the demo, for `vending ... --config` beside it.\n"
        f"[database]\ndata_dir = {_quoted(str((home / 'postgres').resolve()))}\n"
        f"[vendors]\nsecret = {_quoted(kept.vendors)}\n"
    )


def _quoted(text: str) -> str:
    """Return a string as TOML writes it, which is as JSON does."""
    return msgspec.json.encode(text).decode()


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole that its owner alone may read."""
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
