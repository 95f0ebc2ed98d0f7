"""The server as one thing: what starts after what, and how it stops without losing work.

Start: database, inbox, sequencer, sweep, relay, listener. Intake opens at once; vending begins when
the vending keys are open and a tariff is loaded, and until then paid work waits durably (P6).
Stop is the other way round, and bounded by server.drain_seconds.
"""

import asyncio
import os
import random
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from vending import log, numbered
from vending.api import app, listener
from vending.api.doors import Doors
from vending.api.listener import Listener
from vending.clock import Clock, RisingClock, system_clock
from vending.config import Config
from vending.errors import VendingError
from vending.fronts import crew
from vending.fronts.crew import Crew
from vending.lease import Lease
from vending.ledger.accounts import Chart
from vending.notices import wording_of
from vending.numbering import Numbers
from vending.outbox.pacing import Pace
from vending.outbox.relay import Relay
from vending.payments import spool
from vending.payments.inbox import Inbox
from vending.payments.intake import Intake
from vending.payments.outcomes import Outcome
from vending.payments.spool import Spool
from vending.postgres import database, pool
from vending.postgres.database import Database
from vending.postgres.pool import Pool
from vending.postgres.writer import Writer
from vending.sequencer import Sequencer
from vending.sms.gateway import AfricasTalkingGateway, FileGateway, Gateway
from vending.sweep import UNREADABLE, Sweep
from vending.tariffs import catalogue
from vending.tariffs.catalogue import Catalogue
from vending.tokens.issuer import CoreIssuer, Issuer
from vending.tokens.keys import KeyStore
from vending.vend import Office, OfficeClosed
from vending.webhooks import opening as webhooks
from vending.webhooks.relay import Relay as WebhookRelay

INBOX_COMMIT_SECONDS = 2.5
"""Less than an inbox caller waits, so that a frozen database is noticed while it still listens."""

VEND_COMMIT_SECONDS = 10.0
"""A batch of 500 commits in tens of milliseconds; ten seconds is a database that has stopped."""

RELAY_COMMIT_SECONDS = 10.0

REFRESH_SECONDS = 3.0
"""How soon a newly loaded tariff or key store is seen."""

SHARD = 0
"""The one shard of meters; more shards are more sequencers, by meter hash."""


@dataclass(slots=True, kw_only=True)
class Running:
    """A server that runs: where it is reached, and the handles its owner may use."""

    url: str
    database: Database = field(repr=False)
    sequencer: Sequencer
    relay: Relay


class _Opening:
    """What the office needs and may have to wait for: opened keys and loaded tariffs."""

    def __init__(self, config: Config, readers: Pool, numbers: Numbers) -> None:
        self._config = config
        self._readers = readers
        self._numbers = numbers
        self._chart = Chart()
        self._log = log.get("server")
        self._told: str | None = None
        self._versions = 0
        self.issuer: Issuer | None = None
        self.catalogue: Catalogue | None = None

    @property
    def complete(self) -> bool:
        return self.issuer is not None and self.catalogue is not None

    def office(self) -> Office:
        """Return the office; the lane is paused for as long as there is none."""
        if self.issuer is None or self.catalogue is None:
            raise OfficeClosed(keys=self.issuer is not None, tariffs=self.catalogue is not None)
        utility, rules = self._config.utility, self._config.vend
        return Office(
            issuer=self.issuer,
            catalogue=self.catalogue,
            chart=self._chart,
            numbers=self._numbers,
            wording=wording_of(utility),
            paid_at_future=timedelta(seconds=rules.paid_at_future_seconds),
            paid_at_past=timedelta(days=rules.paid_at_past_days),
        )

    async def refresh(self) -> None:
        """Open the keys if they are not, and read the tariffs there are by now."""
        try:
            if self.issuer is None:
                keys = self._config.keys
                store = KeyStore(Path(keys.store))
                ring = await asyncio.to_thread(store.open, passphrase=keys.passphrase)
                self.issuer = CoreIssuer(ring)
            versions = await catalogue.count(self._readers)
            if versions != self._versions:
                # A catalogue that has not changed is kept: it remembers what round sums buy.
                self.catalogue = await catalogue.read(self._readers)
                self._versions = versions
        except VendingError as fault:
            if self._told != fault.code:
                self._told = fault.code
                self._log.error("vending waits for its keys and tariffs", fault=str(fault))
        except UNREADABLE as fault:
            # What is known stays good; a database that is away is no reason to stop.
            self._log.warning("the tariffs cannot be read now", fault=type(fault).__name__)


@asynccontextmanager
async def running(
    config: Config,
    *,
    clock: Clock = system_clock,
    on_line: Callable[[str], None] | None = None,
) -> AsyncIterator[Running]:
    """Run the server while the context is open; leaving it drains and stops everything.

    The embedded database is migrated; one given by DSN must have been (`vending migrate`). Raises
    ConfigInvalid, AddressUnusable, and the errors of the embedded PostgreSQL and of migrations.
    """
    clock = RisingClock(clock)
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(
            spool.opened(Path(config.intake.spool_dir), bytes_max=config.intake.spool_bytes_max)
        )
        base = await stack.enter_async_context(database.opened(config.database, on_line=on_line))
        await database.make_ready(base, now=clock())
        readers = await stack.enter_async_context(
            pool.create(base.dsn, size=config.database.readers)
        )
        numbers = await numbered.numbers(readers, clock, node=config.server.node)
        opening = _Opening(config, readers, numbers)
        await opening.refresh()

        relay, gateway = _relay(config, base, clock)
        stack.push_async_callback(gateway.close)
        lanes = _lanes(config, base, opening, relay, readers, kept, clock=clock, numbers=numbers)
        lanes.teller = await _teller(stack, config, base, clock=clock, numbers=numbers)
        work = _Work(config.server.drain_seconds)
        stack.push_async_callback(work.end)
        work.start(_refresh(opening, lanes.sequencer), name="refresh")
        lanes.start(work)
        started = False
        doors = Doors(
            config=config,
            clock=clock,
            intake=lanes.intake,
            readers=readers,
            numbers=numbers,
            sequencer=lanes.sequencer,
            keys_loaded=lambda: opening.issuer is not None,
            tariffs_loaded=lambda: opening.catalogue is not None,
            started=lambda: started,
        )
        door = await _opened(doors)
        started = True
        try:
            yield Running(
                url=f"http://{_authority(config.server.host, door.port)}",
                database=base,
                sequencer=lanes.sequencer,
                relay=relay,
            )
        finally:
            # From the street inwards: no new callers, then what they brought, then what it sends.
            await door.close()
            await lanes.drain(work)


@dataclass(slots=True, kw_only=True)
class _Lanes:
    """What a payment passes through on its way from the door to the phone."""

    intake: Intake
    inbox: Inbox
    sweep: Sweep
    sequencer: Sequencer
    relay: Relay
    teller: WebhookRelay | None = None

    def start(self, work: "_Work") -> None:
        work.start(self.relay.run(), name="relay")
        if self.teller is not None:
            work.start(self.teller.run(), name="webhooks")
        work.start(self.sequencer.run(), name="sequencer")
        work.start(self.sweep.run(), name="sweep")
        work.start(self.inbox.run(), name="inbox")
        work.start(self.intake.run(), name="intake")

    async def drain(self, work: "_Work") -> None:
        """Let each finish what the one before it has handed over."""
        self.intake.stop()
        await work.ended("intake")
        self.inbox.stop()
        await work.ended("inbox")
        self.sweep.stop()
        self.sequencer.stop()
        await work.ended("sequencer")
        await self.relay.stop(seconds=1.0)
        if self.teller is not None:
            await self.teller.stop(seconds=1.0)


class _Work:
    """The server's long-running tasks; one that fails takes the server down with a reason."""

    def __init__(self, drain_seconds: int) -> None:
        self._drain_seconds = drain_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._log = log.get("server")

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._over)
        self._tasks[name] = task

    async def ended(self, name: str) -> None:
        """Wait for a task to end by itself, as long as draining may take."""
        _, late = await asyncio.wait({self._tasks[name]}, timeout=self._drain_seconds)
        if late:
            self._log.warning("work in hand is left for the next start", work=name)

    async def end(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _over(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log.error("a part of the server has failed", exc_info=task.exception())
            # A server that takes money and cannot vend must be restarted, not limp on unseen.
            os.kill(os.getpid(), signal.SIGTERM)


async def _refresh(opening: _Opening, sequencer: Sequencer) -> None:
    """Let the lane run once keys and tariffs are there, and look for new ones now and then."""
    while True:
        if opening.complete:
            sequencer.resume()
        await asyncio.sleep(REFRESH_SECONDS)
        await opening.refresh()


def _relay(config: Config, base: Database, clock: Clock) -> tuple[Relay, Gateway]:
    sms = config.sms
    gateway: Gateway = (
        AfricasTalkingGateway(sms)
        if sms.gateway == "africastalking"
        else FileGateway(Path(sms.file), clock=clock)
    )
    relay = Relay(
        Writer(base.dsn, seconds=RELAY_COMMIT_SECONDS),
        send=gateway.send,
        clock=clock,
        chance=_chance(),
        pace=Pace(per_second_max=sms.per_second_max, attempts_max=sms.attempts_max),
    )
    return relay, gateway


def _chance() -> random.Random:
    return random.Random(secrets.randbits(64))  # noqa: S311 -- jitter, not a secret


async def _teller(
    stack: AsyncExitStack, config: Config, base: Database, *, clock: Clock, numbers: Numbers
) -> WebhookRelay | None:
    opened = webhooks.opened(config, dsn=base.dsn, numbers=numbers, clock=clock, chance=_chance())
    return await stack.enter_async_context(opened)


def _lanes(
    config: Config,
    base: Database,
    opening: _Opening,
    relay: Relay,
    readers: Pool,
    kept: Spool,
    *,
    clock: Clock,
    numbers: Numbers,
) -> _Lanes:
    sequencer = _sequencer(config, base, opening, relay, clock=clock, numbers=numbers)
    inbox = Inbox(
        Writer(base.dsn, seconds=INBOX_COMMIT_SECONDS),
        numbers=numbers,
        on_stored=sequencer.offer,
        patience=config.intake.inbox_milliseconds / 1000,
    )
    intake = Intake(inbox, kept, clock=clock, patience=config.intake.inbox_milliseconds / 1000)
    sweep = Sweep(
        readers,
        sequencer,
        writer=Writer(base.dsn, seconds=RELAY_COMMIT_SECONDS),
        wording=wording_of(config.utility),
        clock=clock,
        numbers=numbers,
        every=timedelta(seconds=config.vend.sweep_seconds),
    )
    return _Lanes(intake=intake, inbox=inbox, sweep=sweep, sequencer=sequencer, relay=relay)


def _sequencer(
    config: Config,
    base: Database,
    opening: _Opening,
    relay: Relay,
    *,
    clock: Clock,
    numbers: Numbers,
) -> Sequencer:
    def on_committed(_decided: Sequence[Outcome]) -> None:
        relay.wake()

    sequencer = Sequencer(
        Writer(base.dsn, seconds=VEND_COMMIT_SECONDS),
        lease_wanted=Lease(
            shard=SHARD,
            owner=f"{socket.gethostname()}:{config.server.node}",
            seconds=config.vend.lease_seconds,
        ),
        batch_max=config.vend.batch_max,
        open_office=opening.office,
        clock=clock,
        numbers=numbers,
        on_committed=on_committed,
    )
    if not opening.complete:
        sequencer.pause()
    return sequencer


async def _opened(doors: Doors) -> Listener | Crew:
    """Let callers in: by this process itself, or by fronts where workers are configured."""
    if doors.config.server.workers:
        return await crew.start(doors)
    return await listener.listen(app.build(doors), doors.config.server)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
