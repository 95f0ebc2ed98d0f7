"""Vendors with endpoints, events that happen to them, and a relay that tells."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from tests.conftest import SettableClock
from tests.database import Database
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.webhooks import endpoints, sealing
from vending.webhooks.addresses import Reach
from vending.webhooks.calls import Call, Caller, Heard
from vending.webhooks.endpoint import Draft, Endpoint, NewKey
from vending.webhooks.event import INSERT_EVENTS, Event, EventType, body_of, columns
from vending.webhooks.relay import Bounds, Relay
from vending.webhooks.sealing import Seal

PASSPHRASE = "correct horse battery staple"
LOCAL = Reach(loopback=True)
PUBLIC = Reach()
BOUNDS = Bounds()


class World:
    """One database of vendors and their endpoints."""

    def __init__(self, db: Connection, clock: SettableClock, seal: Seal) -> None:
        self.db = db
        self.clock = clock
        self.seal = seal
        self.numbers = Numbers(clock, node=0)

    async def endpoint(
        self, url: str = "https://vendor.example/", *, vendor_id: str = "kiosk", **more: Any
    ) -> tuple[Endpoint, list[NewKey]]:
        return await endpoints.create(
            self.db,
            self.seal,
            Draft(url=url, **more),
            vendor_id=vendor_id,
            numbers=self.numbers,
            now=self.clock.now,
            reach=LOCAL,
            endpoints_max=10,
        )

    async def happen(
        self,
        count: int = 1,
        *,
        vendor_id: str = "kiosk",
        event_type: EventType = EventType.SALE_COMPLETED,
    ) -> list[Event]:
        events = [
            Event(
                event_id=self.numbers.next(),
                vendor_id=vendor_id,
                type=event_type,
                body=body_of(event_type, at=self.clock.now, data={"reference": f"T-{place}"}),
            )
            for place in range(count)
        ]
        await self.db.execute(INSERT_EVENTS, *columns(events, at=self.clock.now))
        return events

    async def deliveries(self) -> list[asyncpg.Record]:
        return await self.db.fetch("select * from webhook_delivery order by event_id, endpoint_id")

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.deliveries()]

    async def attempts(self) -> list[asyncpg.Record]:
        return await self.db.fetch(
            "select * from webhook_attempt order by event_id, endpoint_id, attempt"
        )

    async def find(self, endpoint: Endpoint) -> Endpoint:
        return await endpoints.find(
            self.db,
            vendor_id=endpoint.vendor_id,
            endpoint_id=endpoint.endpoint_id,
            now=self.clock.now,
        )


async def world(db: Connection, clock: SettableClock) -> World:
    return World(db, clock, await sealing.opened(db, passphrase=PASSPHRASE, now=clock.now))


def unsealing(database: Database, passphrase: str, now: datetime) -> Callable[[], Awaitable[Seal]]:
    async def unseal() -> Seal:
        writer = Writer(database.dsn, seconds=5)
        try:
            return await sealing.opened(writer, passphrase=passphrase, now=now)
        finally:
            writer.drop()

    return unseal


@asynccontextmanager
async def relaying(
    database: Database,
    clock: SettableClock,
    *,
    call: Callable[[Call], Awaitable[Heard]] | None = None,
    bounds: Bounds = BOUNDS,
    passphrase: str = PASSPHRASE,
    seconds_max: float = 30,
    **more: Any,
) -> AsyncIterator[Relay]:
    """Run a relay against this machine, and end it the hard way unless the test has stopped it."""
    caller = Caller(LOCAL, clock=clock, seconds_max=seconds_max, **more)
    relay = Relay(
        Writer(database.dsn, seconds=5),
        call=call or caller.call,
        unseal=unsealing(database, passphrase, clock.now),
        numbers=Numbers(clock, node=1),
        clock=clock,
        chance=random.Random(1),
        bounds=bounds,
    )
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await caller.close()


async def onward(relay: Relay, clock: SettableClock, **by: float) -> None:
    """Let time pass, and the relay do what is due by then."""
    clock.advance(**by)
    relay.wake()
    await asyncio.wait_for(relay.quiet(), 60)


async def reached(condition: Callable[[], bool], event: asyncio.Event) -> None:
    """Wait until something is so; `event` is set whenever it may have become so."""
    async with asyncio.timeout(30):
        while not condition():
            event.clear()
            await event.wait()


DAY = timedelta(days=1)
