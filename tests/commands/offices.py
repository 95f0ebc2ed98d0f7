"""What a utility has before it starts a server: settings, a vending key, a tariff, meters."""

from pathlib import Path

from tests.builders import VENDING_KEY
from tests.commands.demo_process import ran
from tests.meters.files import a_row, write

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
