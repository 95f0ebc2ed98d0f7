"""Two vendors sell at a server that is killed again and again, and every cent is counted after.

The suite sells a few hundred; `python -m tests.client.acceptance --sales 20000` sells what is asked
for, `--workers 2` behind fronts. The vendors use their client and nothing else. What they try hangs
up, is lost on the way, meets itself, is barred in mid-sale, and comes again with other facts.
"""

import argparse
import asyncio
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, repeat
from pathlib import Path
from typing import Final

import uvloop

from tests import database as databases
from tests.api.v1.conftest import SECRET, a_deposit
from tests.client.between import Between, Loss, between
from tests.commands.demo_process import DemoProcess, ran, served
from tests.commands.offices import (
    PASSPHRASE,
    load_tariff,
    on,
    seal_key,
    settings_file,
    url_of,
)
from tests.conftest import SettableClock
from tests.database import Database
from tests.meters.files import a_row, write
from tests.processes import family
from vending.client import ApiKey, AsyncClient, DisputedSale, NotDone, Patience, Refused, Sale
from vending.clock import system_clock
from vending.ledger.journal import trial_balance
from vending.numbering import Numbers
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.selling import disputes
from vending.vendors import accounts, credentials, floats
from vending.vendors.credentials import Grant
from vending.vendors.seals import Seals

SERVER: Mapping[str, str] = {
    **PASSPHRASE,
    "STIMA_VENDORS__SECRET": SECRET,
    # What is asked here in minutes is asked in a day elsewhere.
    "STIMA_VENDORS__BURST_QUOTA": "1000000",
    "STIMA_VENDORS__DAY_QUOTA": "100000000",
}
VENDORS: Final = ("acme", "bolt")
PRICE: Final = 50_000
METERS: Final = 100
TENDERS: Final = 12
"""Who sell at one time, for each vendor."""

RETURNS: Final = 3
"""Sales of each vendor that its customers bring back."""

CONTESTED: Final = 20
"""One sale in so many is barred by another till while it is made."""

PATIENT = Patience(total=900, rest=0.05, rest_most=0.5)
HASTY = Patience(total=1.0, rest=0.05, rest_most=0.2)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How much is sold, of both vendors together, and how often somebody is killed meanwhile."""

    sales: int
    kills: int
    workers: int = 0
    seed: int = 20261122

    @property
    def options(self) -> tuple[str, ...]:
        """What the server is started with."""
        return ("--workers", str(self.workers)) if self.workers else ()


@dataclass(slots=True)
class Vendor:
    """One vendor's till program, what it has still to sell, and what it holds to be sold."""

    vendor_id: str
    client: AsyncClient
    waiting: list[int]
    meters: list[str]
    made: dict[str, Sale] = field(default_factory=dict)
    barred: set[str] = field(default_factory=set)
    told: Counter[str] = field(default_factory=Counter)

    async def sells(self, chance: random.Random) -> None:
        """Sell what is left, as a program that hangs up and forgets, but keeps references."""
        while self.waiting:
            place = self.waiting.pop()
            if place % CONTESTED == 0:
                await self._contests(place)
                continue
            await self._hurries(place, chance=chance)
            sale = await self._sells(place, twice=chance.randrange(10) == 0)
            assert sale.reference not in self.made
            self.made[sale.reference] = sale
            if chance.randrange(20) == 0:
                await self._errs(place)

    async def _sells(self, place: int, *, twice: bool) -> Sale:
        sale, *twins = await asyncio.gather(
            *(self._sell(place, patience=PATIENT) for _ in range(1 + twice))
        )
        assert all(twin.token == sale.token for twin in twins)
        self.told["sold by two at once"] += len(twins)
        return sale

    async def _hurries(self, place: int, *, chance: random.Random) -> None:
        for _ in range(chance.randrange(3)):
            hasty = asyncio.create_task(self._sell(place, patience=HASTY))
            done, _late = await asyncio.wait({hasty}, timeout=chance.random() / 10)
            hasty.cancel()
            await asyncio.wait({hasty})
            assert hasty.cancelled() or isinstance(hasty.exception(), NotDone | None)
            self.told["answered a hasty try" if done else "hung up on"] += 1

    async def _errs(self, place: int) -> None:
        """Send a reference that is sold, with another sum."""
        try:
            await self._sell(place, patience=PATIENT, more=1)
        except Refused as refused:
            self.told[refused.code] += 1
        else:
            raise AssertionError(f"T{place} is sold for two sums")

    async def _contests(self, place: int) -> None:
        """Sell while another till asks what became of it, and bars it if nobody knows."""
        sold: Sale | BaseException
        settled: Sale | BaseException
        sold, settled = await asyncio.gather(
            self._sell(place, patience=PATIENT),
            self.client.settle(f"T{place}", patience=PATIENT),
            return_exceptions=True,
        )
        if isinstance(sold, Sale):
            assert isinstance(settled, Sale), settled
            assert settled.token == sold.token
            self.made[sold.reference] = sold
            self.told["sold before it was barred"] += 1
        else:
            assert isinstance(sold, Refused), sold
            assert isinstance(settled, Refused), settled
            self.barred.add(f"T{place}")
            self.told[f"{sold.code} / {settled.code}"] += 1

    async def _sell(self, place: int, *, patience: Patience, more: int = 0) -> Sale:
        wanted: dict[str, int] = (
            {"energy_wh": 10_000 + 100 * more}
            if place % 10 == 1
            else {"amount_minor": PRICE + place % 3 + more}
        )
        sale = await self.client.sell(
            f"T{place}", meter=self.meters[place % len(self.meters)], confirm=True,
            patience=patience, **wanted,  # type: ignore[arg-type]
        )  # fmt: skip
        assert sale.amount_minor == wanted.get("amount_minor", sale.amount_minor)
        assert sale.energy_wh >= wanted.get("energy_wh", 1)
        return sale

    async def agrees(self) -> None:
        """Every reference has the digits it was sold with, and the statement every sale once."""
        places = asyncio.Semaphore(TENDERS)

        async def finds(sale: Sale) -> None:
            async with places:
                assert (await self.client.find(sale.reference)).token == sale.token

        await asyncio.gather(*map(finds, self.made.values()))
        lines = [line async for line in self.client.statement()]
        sold = Counter({line.reference: line.amount_minor for line in lines if line.kind == "sale"})
        assert sold == {reference: -sale.amount_minor for reference, sale in self.made.items()}
        assert sum(line.kind == "sale" for line in lines) == len(self.made)
        balance = (await self.client.read_float()).balance_minor
        assert sum(line.amount_minor for line in lines) == balance

    @property
    def took(self) -> int:
        """What its sales cost, in cents."""
        return sum(sale.amount_minor for sale in self.made.values())


@dataclass(slots=True)
class Office:
    """The utility: takes vendors on, pays in for them, and pays back."""

    db: Connection
    now: SettableClock
    numbers: Numbers
    paid: Counter[str] = field(default_factory=Counter)

    async def takes_on(self, vendor_id: str) -> ApiKey:
        """Return a new vendor's key."""
        await accounts.add(self.db, vendor_id, name=vendor_id, who="Jane", now=self.now())
        issued = await credentials.issue_key(
            self.db, vendor_id, Grant(), seals=Seals(SECRET), who="Jane", now=self.now()
        )
        return ApiKey(issued.secret)

    async def pays_in(self, vendor_id: str, minor: int) -> None:
        """Deposit money, or what a sale cost that was brought back."""
        self.now.now = system_clock()
        await a_deposit(
            self.db, vendor_id, next_number=self.numbers.next, clock=self.now, amount_minor=minor
        )
        self.paid[vendor_id] += minor

    async def takes_back(self, vendor: Vendor) -> None:
        """Let customers bring sales back: the vendor asks, a person agrees, the money returns."""
        for reference in sorted(vendor.made)[:RETURNS]:
            case = await vendor.client.reverse(reference, reason="wrong meter")
            assert isinstance(case, DisputedSale)
        for one in await disputes.unsettled(self.db):
            await disputes.settle(
                self.db, one.dispute_id, resolution="paid back", who="Jane", now=system_clock()
            )
            assert one.amount_minor == vendor.made[one.reference].amount_minor
            await self.pays_in(one.vendor_id, one.amount_minor)

    async def agrees(self, vendor: Vendor) -> None:
        """Hold the float and the ledger against deposits, sales and returns."""
        held = await floats.find(self.db, vendor.vendor_id)
        assert held.balance_minor == self.paid[vendor.vendor_id] - vendor.took
        ledger = await trial_balance(self.db)
        assert ledger[f"float:{vendor.vendor_id}"] == -held.balance_minor
        rows = await self.db.fetch(
            "select transaction_id as reference from payment join outcome using (payment_id) "
            "where operator = $1 and token is not null",
            f"vendor:{vendor.vendor_id}",
        )
        references = [row["reference"] for row in rows]
        assert sorted(references) == sorted(vendor.made)


async def sell_and_count(database: Database, home: Path, run: Run, *, say: Say) -> None:
    """Sell, kill and count. Raises AssertionError for what does not agree."""
    chance = random.Random(run.seed)
    settings = settings_file(home, database=on(database))
    await seal_key(settings)
    await load_tariff(settings)
    meters = [a_row() for _ in range(METERS)]
    file = write(home / "meters.csv", [",".join(row.values()) for row in meters])
    code, told = await ran("meters", "import", file, "--config", settings)
    assert code == 0, told
    now = SettableClock(system_clock())
    db = await pool.connect(database.dsn)
    office = Office(db, now, Numbers(now, node=200))
    try:
        async with between("http://127.0.0.1:1") as path:
            path.weather = _weather(chance)
            vendors = []
            for vendor_id in VENDORS:
                key = await office.takes_on(vendor_id)
                await office.pays_in(vendor_id, run.sales * PRICE)
                client = AsyncClient(path.url, key, chance=chance.random)
                numbers = [row["meter_number"] for row in meters]
                places = list(range(run.sales // len(VENDORS)))
                vendors.append(Vendor(vendor_id, client, places, numbers))
            await _through(run, settings, vendors, office, path=path, chance=chance, say=say)
    finally:
        await db.close()
    code, told = await ran("audit", "--config", settings, "--older-than", "0", environment=SERVER)
    assert code == 0, told
    say("the audit is clean")


async def _through(
    run: Run, settings: Path, vendors: list[Vendor], office: Office,
    *, path: Between, chance: random.Random, say: Say,
) -> None:  # fmt: skip
    """Sell everything through all the kills, and hold all accounts against each other."""
    tasks = [
        asyncio.create_task(vendor.sells(chance)) for vendor in vendors for _ in range(TENDERS)
    ]
    victims = cycle(("the server", "a front") if run.workers else ("the server",))
    marks = [run.sales * (run.kills - kill) // (run.kills + 1) for kill in range(run.kills)]
    try:
        while marks:
            async with served(settings, SERVER, *run.options) as running:
                path.server = await url_of(running)
                async with _drained(running):
                    victim = ""
                    while marks and victim != "the server":
                        await _left(marks.pop(0), vendors, tasks)
                        victim = next(victims)
                        say(f"{sum(len(one.made) for one in vendors):>6} sold, and {victim} killed")
                        await _killed(running, victim, chance=chance)
        async with served(settings, SERVER, *run.options) as running:
            path.server = await url_of(running)
            async with _drained(running):
                await office.pays_in(VENDORS[0], PRICE)
                await asyncio.gather(*tasks)
                path.weather = repeat(None)
                for vendor in vendors:
                    await _counted(vendor, office, say=say)
    finally:
        for task in tasks:
            task.cancel()
    tokens = {sale.token for vendor in vendors for sale in vendor.made.values()}
    assert len(tokens) == sum(len(vendor.made) for vendor in vendors)
    assert sum(len(one.made) + len(one.barred) for one in vendors) == run.sales


async def _counted(vendor: Vendor, office: Office, *, say: Say) -> None:
    say(f"{vendor.vendor_id}: {len(vendor.made)} sold, {len(vendor.barred)} barred")
    for what, times in vendor.told.most_common():
        say(f"{times:>8}  {what}")
    await office.takes_back(vendor)
    await vendor.agrees()
    await office.agrees(vendor)
    await vendor.client.close()
    say(f"{vendor.vendor_id}: float, statement and ledger agree")


async def _left(mark: int, vendors: list[Vendor], tasks: list["asyncio.Task[None]"]) -> None:
    """Wait until no more than so many sales have not begun."""
    while sum(len(vendor.waiting) for vendor in vendors) > mark:
        await asyncio.wait(tasks, timeout=0.02, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()


async def _killed(running: DemoProcess, victim: str, *, chance: random.Random) -> None:
    server, *fronts = family(running.process.pid)
    if victim == "a front":
        os.kill(chance.choice(fronts), signal.SIGKILL)
        return
    os.kill(server, signal.SIGKILL)
    await running.process.wait()
    async with asyncio.timeout(30):
        while family(server):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _drained(running: DemoProcess) -> AsyncIterator[None]:
    """Read what a server says of all that, so that it can go on saying it."""

    async def drain() -> None:
        assert running.process.stdout is not None
        while await running.process.stdout.read(2**16):
            pass

    draining = asyncio.create_task(drain())
    try:
        yield
    finally:
        draining.cancel()
        await asyncio.wait({draining})


def _weather(chance: random.Random) -> Iterator[Loss | None]:
    """Lose a fifth of all requests, or of the answers."""
    while True:
        yield chance.choice([Loss.ANSWER, Loss.REQUEST, *[None] * 8])


@contextmanager
def _ground() -> Iterator[tuple[str, Path]]:
    with databases.throwaway_cluster() as dsn, tempfile.TemporaryDirectory() as home:
        yield dsn, Path(home)


async def _whole(dsn: str, home: Path, run: Run) -> None:
    database, began = await databases.clone(dsn), time.monotonic()
    await sell_and_count(
        database, home, run,
        say=lambda line: print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True),
    )  # fmt: skip


def main() -> None:
    """Sell as much as is asked for; an AssertionError is what did not agree."""
    options = argparse.ArgumentParser(prog="python -m tests.client.acceptance", description=__doc__)
    options.add_argument("--sales", type=int, default=20_000, help="of both vendors together")
    options.add_argument("--kills", type=int, default=6)
    options.add_argument("--workers", type=int, default=0)
    options.add_argument("--seed", type=int, default=20261122)
    run = Run(**vars(options.parse_args()))
    with _ground() as (dsn, home):
        uvloop.run(_whole(dsn, home, run))


if __name__ == "__main__":
    main()
