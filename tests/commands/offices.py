"""What a utility has before it starts a server: settings, a vending key, a tariff, meters."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.builders import VENDING_KEY
from tests.commands.demo_process import DemoProcess, ran
from tests.database import Database
from tests.meters.files import a_row, write
from vending.clock import system_clock
from vending.simulation.history import History
from vending.simulation.operator import Line, Operator

SECRET = "0123456789abcdef-office"
PASSPHRASE = {"STIMA_KEYS__PASSPHRASE": "a long phrase from the safe"}
TARIFF = Path(__file__).parents[2] / "vending" / "tariffs" / "schedules" / "kenya-2025.toml"

SETTINGS = """
[server]
port = {port}
drain_seconds = 5
[database]
{database}
[intake]
spool_dir = "{home}/spool"
[mpesa]
secret = "{secret}"
allowed_addresses = ["127.0.0.1"]
[[route]]
short_code = "888880"
[keys]
store = "{home}/keys.sealed"
[sms]
file = "{home}/sms.jsonl"
"""


def settings_file(home: Path, *, database: str, port: int = 0) -> Path:
    """Write the settings of an office in a directory; `database` is the lines of that section."""
    path = home / "stima.toml"
    path.write_text(SETTINGS.format(port=port, database=database, home=home, secret=SECRET))
    return path


def on(database: Database) -> str:
    """Return the lines of settings that name a test's database."""
    return f'dsn = "{database.dsn}"\nowner_dsn = "{database.owner_dsn}"\nreaders = 2'


async def url_of(running: DemoProcess) -> str:
    """Wait until a server listens, and return where."""
    line = await running.line('"listening"')
    url: str = json.loads(line)["url"]
    return url


async def health(url: str) -> tuple[int, dict[str, object]]:
    """Ask a server whether it is ready."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/health/ready") as answer:
        return answer.status, await answer.json()


@asynccontextmanager
async def m_pesa(url: str, directory: Path) -> AsyncIterator[Operator]:
    """Be an M-PESA that does not validate, towards a server."""
    line = Line(base_url=url, secret=SECRET, validates=False)
    with History(directory / "operator.jsonl") as history:
        async with Operator(
            line, history=history, clock=system_clock, randomness=random.Random(2026)
        ) as operator:
            yield operator


async def seal_key(settings: Path) -> None:
    """Seal the association's published test key by the command."""
    told = await ran(
        "keys", "add", "201457", "1", "--config", settings,
        environment=PASSPHRASE, typed=VENDING_KEY.encode() + b"\n",
    )  # fmt: skip
    assert told[0] == 0, told[1]


async def load_tariff(settings: Path) -> None:
    """Load the tariff the meters are on."""
    code, told = await ran("tariffs", "load", TARIFF, "--config", settings)
    assert code == 0, told


async def import_a_meter(settings: Path) -> str:
    """Import one meter and return its number."""
    row = a_row()
    path = write(settings.parent / "meters.csv", [",".join(row.values())])
    code, told = await ran("meters", "import", path, "--config", settings)
    assert code == 0, told
    return row["meter_number"]
