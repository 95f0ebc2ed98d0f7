"""A server that is a sandbox: vendors' test credentials from the database, and nothing else of it.

It has no sequencer, no intake and no keys; it takes no lease, so it may run beside the live servers
of the same database, and knows the credentials they know.
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from msgspec.structs import replace

from vending.answers import SaleUnavailable
from vending.api import app, listener
from vending.api.doors import Doors
from vending.clock import Clock, system_clock
from vending.config import Config
from vending.numbering import Numbers
from vending.payments.inbox import InboxUnavailable
from vending.payments.payment import Payment
from vending.postgres import database, pool


@asynccontextmanager
async def running(config: Config, *, clock: Clock = system_clock) -> AsyncIterator[str]:
    """Run the sandbox while the context is open, from this process alone; yield its address.

    The embedded database is migrated; one given by DSN must have been (`vending migrate`). Raises
    VendorsClosed, ConfigInvalid, AddressUnusable, and what keeps the database away.
    """
    async with database.opened(config.database) as base:
        await database.make_ready(base, now=clock())
        config = replace(config, database=replace(config.database, dsn=base.dsn))
        async with pool.create(base.dsn, size=config.database.readers) as readers:
            doors = Doors(
                config=config,
                clock=clock,
                intake=NoIntake(),
                readers=readers,
                numbers=Numbers(clock, node=config.server.node),
                sequencer=NoSequencer(),
                keys_loaded=lambda: True,
                tariffs_loaded=lambda: True,
                started=lambda: True,
                sandbox=True,
            )
            door = await listener.listen(app.build_sandbox(doors), config.server)
            try:
                yield f"http://{listener.authority(config.server.host, door.port)}"
            finally:
                await door.close()


class NoSequencer:
    """Stands where a server has its sequencer: nothing waits here and nothing is sold."""

    running = False
    waiting = 0
    estimated_wait = math.inf
    per_second = 0.0

    def bump(self, payment_id: int) -> None:
        """Nobody waits."""

    async def sell(self, payment: Payment) -> NoReturn:
        """Raise SaleUnavailable."""
        raise SaleUnavailable(reference=payment.notice.transaction_id)


class NoIntake:
    """Stands where a server takes money in: no address here leads to it."""

    async def store(self, *_notice: object, **_more: object) -> NoReturn:
        """Raise InboxUnavailable."""
        raise InboxUnavailable

    async def quarantine(self, **_bytes: object) -> NoReturn:
        """Raise InboxUnavailable."""
        raise InboxUnavailable
