"""`vending tariffs`: load and list tariff versions."""

from pathlib import Path

import asyncpg
import cyclopts
from rich.table import Table

from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.surroundings import ConfigFile, console
from vending.config import Config
from vending.errors import Rejected
from vending.tariffs import catalogue
from vending.tariffs.catalogue import TariffVersion

app = cyclopts.App(name="tariffs", help="Tariff versions.")

LIST = """
select code, version, effective_from, loaded_at, sha256
  from tariff_version order by code, effective_from
"""


class TariffFileUnreadable(Rejected):
    """The tariff file cannot be read as UTF-8 text.

    Check the path and the encoding.
    """

    code = "tariff_file_unreadable"


@app.command
def load(*files: Path, config: ConfigFile = None) -> None:
    """Load tariff files; each is activated only if its own examples come out.

    Loading the same file again changes nothing. A running server prices by a new version within
    seconds, from its effective instant on.
    """
    for version in surroundings.run(_load(surroundings.settings(config), files)):
        begins = f"{version.effective_from:%Y-%m-%d %H:%M} UTC"
        console.print(f"{version.code} {version.version}, in force from {begins}")


@app.command(name="list")
def show(*, config: ConfigFile = None) -> None:
    """List the loaded versions, oldest first."""
    table = Table("tariff", "version", "in force from (UTC)", "loaded", "sha256")
    for row in surroundings.run(_rows(surroundings.settings(config))):
        table.add_row(
            row["code"],
            row["version"],
            f"{row['effective_from']:%Y-%m-%d %H:%M}",
            f"{row['loaded_at']:%Y-%m-%d %H:%M}",
            row["sha256"][:12],
        )
    console.print(table)


async def _load(config: Config, files: tuple[Path, ...]) -> list[TariffVersion]:
    texts = [_text(file) for file in files]
    async with surroundings.connected(config) as db:
        return [await catalogue.load(db, text, now=system_clock()) for text in texts]


async def _rows(config: Config) -> list[asyncpg.Record]:
    async with surroundings.connected(config) as db:
        return await db.fetch(LIST)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise TariffFileUnreadable(file=str(file), fault=str(fault)) from None
