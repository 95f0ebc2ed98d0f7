"""What operations work with: reads, a few connections for writing, numbers, a seal.

There is one for each process that carries operations out.
"""

import asyncio
import zoneinfo
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast

import asyncpg

from vending.api.admission import Overloaded
from vending.api.doors import Doors, SequencerView
from vending.config import Config
from vending.numbering import Numbers
from vending.postgres import pool
from vending.postgres.pool import Connection, Session
from vending.sandbox.sandbox import Sandbox
from vending.selling.counter import Counter, Seller
from vending.selling.selling import Selling
from vending.selling.specials import Maker, Rules, Specials
from vending.tariffs.prices import WH_PER_KWH
from vending.tokens.special import Caps
from vending.vendors.register import Caller
from vending.webhooks import opening, sealing
from vending.webhooks.sealing import Seal, WebhookSecretsSealed

WRITERS: Final = 2
"""Acts are few, and each holds the one head of the log of acts to its end."""

WRITE_SECONDS: Final = 4.0
"""Less than a front waits for its core."""

TURN_SECONDS: Final = 1.0
"""How long an act waits for one of the writing connections before it is sent away."""

UNSEAL_INTERVAL: Final = timedelta(minutes=1)
"""How often a passphrase that was wrong is tried again: each try costs a tenth of a second."""

T = TypeVar("T")


class Teller:
    """Holds what operations work with until `close`."""

    def __init__(self, doors: Doors) -> None:
        """Read the settings. Raises ConfigInvalid for networks that are none."""
        self.config: Config = doors.config
        self.clock = doors.clock
        self.reads: Session = doors.readers
        # A front's are no numbers to store anything under, but nothing that stores runs there.
        self.numbers = cast(Numbers, doors.numbers)
        self.sequencer: SequencerView = doors.sequencer
        self.zone = zoneinfo.ZoneInfo(doors.config.utility.time_zone)
        self.reach = opening.reach(doors.config.webhooks)
        self.counter = Counter(
            self.reads,
            _Acts(self),
            seller=cast(Seller, doors.sequencer),
            numbers=self.numbers,
            clock=self.clock,
            zone=self.zone,
            copies_max=doors.config.vendors.copies_max,
        )
        self.specials = Specials(
            self.reads,
            maker=cast(Maker, doors.sequencer),
            numbers=self.numbers,
            clock=self.clock,
            rules=_rules(doors.config, self.zone),
        )
        self.sandbox = Sandbox(
            numbers=self.numbers, clock=self.clock, copies_max=doors.config.vendors.copies_max
        )
        self._dsn = doors.config.database.dsn
        self._turns = asyncio.Semaphore(WRITERS)
        self._idle: list[Connection] = []
        self._seal: Seal | None = None
        self._sealed_at: datetime | None = None
        self._unsealing = asyncio.Lock()

    def selling(self, caller: Caller) -> Selling:
        """Return where a caller is sold to: nobody's credential is for both."""
        return self.sandbox if caller.sandbox else self.counter

    async def write(self, act: Callable[[Connection], Awaitable[T]]) -> T:
        """Carry an act out on a connection of its own; never cancelled in the middle.

        Raises what the act raises, Overloaded when all are busy, DatabaseUnavailable, and
        CommitUnknown when the database did not say whether it happened.
        """
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded(why="writers", retry_after_seconds=2) from None
        try:
            db = await self._connection()
            try:
                return await pool.within(WRITE_SECONDS, act(db), connection=db)
            finally:
                if db.is_closed() or db.is_in_transaction():
                    db.terminate()
                else:
                    self._idle.append(db)
        finally:
            self._turns.release()

    async def unsealed(self) -> Seal:
        """Return what opens and seals webhooks' secrets. Raises WebhookSecretsSealed."""
        async with self._unsealing:
            if self._seal is not None:
                return self._seal
            now = self.clock()
            if self._sealed_at is not None and now < self._sealed_at + UNSEAL_INTERVAL:
                raise WebhookSecretsSealed(fault="as a moment ago")
            passphrase = opening.passphrase(self.config)
            try:
                self._seal = await self.write(
                    lambda db: sealing.opened(db, passphrase=passphrase, now=now)
                )
            except WebhookSecretsSealed:
                self._sealed_at = now
                raise
            return self._seal

    def close(self) -> None:
        """Let go of the connections for writing, and wait for no sale."""
        self.counter.close()
        self.specials.close()
        for db in self._idle:
            db.terminate()
        self._idle.clear()

    async def _connection(self) -> Connection:
        while self._idle:
            db = self._idle.pop()
            if not db.is_closed():
                return db
        return await pool.connect(self._dsn, look_ups=True)


def _rules(config: Config, zone: zoneinfo.ZoneInfo) -> Rules:
    """Return what a vendor may have of tokens without money."""
    told = config.vendors
    return Rules(
        caps=Caps(tokens=told.day_tokens, energy_wh=told.day_free_kwh * WH_PER_KWH),
        free_issue_wh=told.free_issue_kwh * WH_PER_KWH,
        zone=zone,
    )


class _Acts:
    """What the counter writes beside sales, as acts."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller

    async def fetch(self, query: str, /, *args: Any) -> list[asyncpg.Record]:
        """Run one statement and return its rows, committed."""
        return await self._teller.write(lambda db: db.fetch(query, *args))
