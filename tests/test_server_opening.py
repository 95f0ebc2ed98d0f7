"""What the server needs before it vends, looked for again and again while it runs."""

from pathlib import Path

from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import a_ring, shipped_tariffs
from vending import server
from vending.config import Config
from vending.numbering import Numbers
from vending.postgres import pool
from vending.tokens.issuer import CoreIssuer


async def test_a_database_that_is_away_ends_no_server_and_loses_no_tariffs(
    tmp_path: Path, clock: SettableClock
) -> None:
    async with pool.create(f"postgresql://nobody@/none?host={tmp_path}", size=1) as readers:
        opening = server._Opening(Config(), readers, Numbers(clock, node=1))
        opening.issuer = CoreIssuer(a_ring())
        opening.catalogue = shipped_tariffs()
        await opening.refresh()
        assert opening.complete


async def test_without_a_tariff_the_lane_stays_shut(
    database: Database, clock: SettableClock
) -> None:
    async with pool.create(database.dsn, size=1) as readers:
        opening = server._Opening(Config(), readers, Numbers(clock, node=1))
        opening.issuer = CoreIssuer(a_ring())
        await opening.refresh()
        assert not opening.complete
