"""`vending migrate`: bring the database to this version of the server."""

from vending.clock import system_clock
from vending.commands import surroundings
from vending.commands.surroundings import ConfigFile, console
from vending.config import Config
from vending.postgres import database


def migrate(*, config: ConfigFile = None) -> None:
    """Apply the migrations that are missing; the embedded database does so by itself."""
    applied = surroundings.run(_migrate(surroundings.settings(config)))
    for name in applied:
        console.print(f"applied {name}")
    if not applied:
        console.print("nothing to apply")


async def _migrate(config: Config) -> list[str]:
    async with database.opened(config.database) as base:
        return await database.bring_up_to_date(base, now=system_clock())
