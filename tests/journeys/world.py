"""The whole product on a real socket and a real database, in the simulated world."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from msgspec.structs import replace

from tests import database as databases
from vending import config, server
from vending.audit import auditor
from vending.audit.rule import Terms
from vending.clock import Clock, system_clock
from vending.commands import demo_utility
from vending.postgres.database import Database
from vending.server import Running
from vending.simulation.history import History
from vending.simulation.meter import Street
from vending.simulation.operator import Line, Operator
from vending.simulation.pay_bill import PayerShown
from vending.simulation.seed import Home
from vending.simulation.sms_carrier import SmsCarrier
from vending.simulation.town import Town


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A running server, the operator that calls it, and the town it serves."""

    server: Running
    operator: Operator
    town: Town
    base: Database
    spool: Path
    ussd_url: str

    @property
    def homes(self) -> list[Home]:
        return list(self.town.street.homes.values())

    def home(self, tariff: str = "KE-DC", **but: Any) -> Home:
        """Return the first home on a tariff, and with other attributes as given."""
        return next(
            home
            for home in self.homes
            if home.tariff == tariff and all(getattr(home, name) == but[name] for name in but)
        )

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Look into the database, as a person with psql would."""
        connection = await asyncpg.connect(self.base.dsn)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        finally:
            await connection.close()
        return rows

    async def value(self, query: str, *arguments: object) -> Any:
        """Return the one value a query returns."""
        (row,) = await self.rows(query, *arguments)
        return row[0]

    async def broken_promises(self) -> list[str]:
        """Audit the database as it stands now; return the names of the rules that do not hold."""
        terms = Terms(
            decided_before=system_clock(),
            paid_at_future=timedelta(seconds=300),
            paid_at_past=timedelta(days=30),
        )
        connection = await asyncpg.connect(self.base.owner_dsn)
        try:
            found = [one async for one in auditor.examine(connection, terms)]
        finally:
            await connection.close()
        assert found
        return [f"{one.rule.name} {one.count} {one.fault or ''}" for one in found if not one.holds]

    async def owner_does(self, statement: str, *arguments: object) -> None:
        """Change something as the utility's own staff would, with the owner's rights."""
        connection = await asyncpg.connect(self.base.owner_dsn)
        try:
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()


@asynccontextmanager
async def running(
    directory: Path,
    database: databases.Database,
    *,
    validates: bool = True,
    clock: Clock = system_clock,
    spool: Path | None = None,
    sales: config.Sales | None = None,
) -> AsyncIterator[World]:
    """Open a demo utility with all its meters on a test's database, and run everything.

    `clock` is the server's own; the world around it keeps the right time. `sales` lets tills in.
    """
    utility = demo_utility.opened(directory)
    spool = spool or directory / "spool"
    base = Database(database.dsn, database.owner_dsn, embedded=False)
    await demo_utility.furnish(utility, base, clock=system_clock, say=lambda _topic, _news: None)
    ring = utility.key_store.open(passphrase=utility.secrets.key_passphrase)
    street = Street(directory / "street.db", utility.homes, ring=ring, clock=system_clock)
    with closing(street), History(directory / "operator.jsonl") as history:
        carrier = SmsCarrier(clock=system_clock, api_key=utility.secrets.sms_api_key)
        town = Town(carrier, street)
        async with town.serving() as town_url:
            settings = replace(
                utility.settings(port=0, town_url=town_url),
                database=config.Database(dsn=base.dsn, owner_dsn=base.owner_dsn),
                intake=config.Intake(spool_dir=str(spool)),
                sales=sales or config.Sales(),
            )
            async with server.running(settings, clock=clock) as serving:
                line = Line(
                    base_url=serving.url,
                    secret=utility.secrets.callback_path,
                    shown=PayerShown.CLEAR,
                    validates=validates,
                )
                async with Operator(
                    line, history=history, clock=system_clock, randomness=random.Random(2026)
                ) as operator:
                    yield World(
                        server=serving,
                        operator=operator,
                        town=town,
                        base=base,
                        spool=spool,
                        ussd_url=f"{serving.url}/ussd/{utility.secrets.sms_callback_path}",
                    )
