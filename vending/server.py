"""The server as one thing: what starts after what, and how it stops without losing work.

Start: spool, intake, database, sequencer, sweep, relay, listener. A database that is not there in
seconds is waited for with the door open: money is taken in by the spool (P1). Vending begins when
the vending keys are open and a tariff is loaded, and until then paid work waits durably (P6); see
`vending.opening`. Stop is the other way round, and bounded by server.drain_seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from vending.api import app, listener
from vending.api.doors import Doors
from vending.api.listener import Listener
from vending.clock import Clock, RisingClock, system_clock
from vending.config import Config
from vending.fronts import crew
from vending.fronts.crew import Crew
from vending.opening import Opening
from vending.outbox.relay import Relay
from vending.parts import Parts, put_together
from vending.postgres.database import Database
from vending.sequencer import Sequencer

REFRESH_SECONDS = 3.0
"""How soon a newly loaded tariff or key store is seen."""


@dataclass(slots=True, kw_only=True)
class Running:
    """A server that runs: where it is reached, and the handles its owner may use."""

    url: str
    database: Database = field(repr=False)
    sequencer: Sequencer
    relay: Relay
    opened: "asyncio.Task[None]" = field(repr=False)
    """Done when the database is there and vending may begin; fails when waiting is of no use."""


@asynccontextmanager
async def running(
    config: Config,
    *,
    clock: Clock = system_clock,
    on_line: Callable[[str], None] | None = None,
) -> AsyncIterator[Running]:
    """Run the server while the context is open; leaving it drains and stops everything.

    The embedded database is migrated; one given by DSN must have been (`vending migrate`). Raises
    ConfigInvalid, AddressUnusable, and the errors of the embedded PostgreSQL and of migrations that
    waiting cannot mend; found after the door was opened, they are those of `Running.opened`.
    """
    clock = RisingClock(clock)
    async with put_together(config, clock=clock, on_line=on_line) as parts:
        parts.lanes.take_in(parts.work)
        opened = asyncio.create_task(_go_on(parts), name="opening")
        try:
            await parts.arrival.patience(opened)
            started = asyncio.Event()
            door = await _opened(_doors(parts, config, clock=clock, started=started.is_set))
            started.set()
            try:
                yield Running(
                    url=f"http://{listener.authority(config.server.host, door.port)}",
                    database=parts.base,
                    sequencer=parts.lanes.sequencer,
                    relay=parts.lanes.relay,
                    opened=opened,
                )
            finally:
                # From the street inwards: no new callers, then what they brought, then what it
                # sends. A server that still waits for its database does so no longer.
                await _given_up(opened)
                await door.close()
                await parts.lanes.drain(parts.work)
        finally:
            await _given_up(opened)


async def _go_on(parts: Parts) -> None:
    """Store and vend from the moment the database is there. Raises what waiting cannot mend."""
    opening, lanes, work = parts.opening, parts.lanes, parts.work
    await asyncio.gather(parts.arrival.here(), opening.open_keys())
    await opening.refresh()
    work.start(_refresh(opening, lanes.sequencer), name="refresh")
    lanes.vend(work)


def _doors(parts: Parts, config: Config, *, clock: Clock, started: Callable[[], bool]) -> Doors:
    opening = parts.opening
    return Doors(
        # Fronts read for themselves, and are told where.
        config=replace(config, database=replace(config.database, dsn=parts.base.dsn)),
        clock=clock,
        intake=parts.lanes.intake,
        readers=parts.readers,
        numbers=parts.numbers,
        sequencer=parts.lanes.sequencer,
        keys_loaded=lambda: opening.issuer is not None,
        tariffs_loaded=lambda: opening.catalogue is not None,
        started=started,
        waits_because=lambda: parts.arrival.because,
    )


async def _given_up(task: "asyncio.Task[None]") -> None:
    """End a task, done or not; its fault was told to whoever awaited it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _refresh(opening: Opening, sequencer: Sequencer) -> None:
    """Let the lane run once keys and tariffs are there, and look for new ones now and then."""
    while True:
        if opening.complete:
            sequencer.resume()
        await asyncio.sleep(REFRESH_SECONDS)
        await opening.refresh()


async def _opened(doors: Doors) -> Listener | Crew:
    """Let callers in: by this process itself, or by fronts where workers are configured."""
    if doors.config.server.workers:
        return await crew.start(doors)
    return await listener.listen(app.build(doors), doors.config.server)
