"""What a server is made of, put together: each part with its connection and its settings.

Nothing here sets a part going or needs the database to be there; `vending.server` does the one
and waits for the other.
"""

import asyncio
import os
import random
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from vending import log, numbered
from vending.clock import Clock
from vending.config import Config
from vending.lease import Lease
from vending.notices import wording_of
from vending.numbering import Numbers
from vending.opening import Arrival, Opening
from vending.outbox.pacing import Pace
from vending.outbox.relay import Relay
from vending.payments import spool
from vending.payments.inbox import Inbox
from vending.payments.intake import Intake
from vending.payments.outcomes import Outcome
from vending.payments.spool import Spool
from vending.postgres import database, pool
from vending.postgres.database import Attended, Database
from vending.postgres.pool import Pool
from vending.postgres.writer import Writer
from vending.sequencer import Sequencer
from vending.sms.gateway import AfricasTalkingGateway, FileGateway, Gateway
from vending.sweep import Sweep
from vending.tokens.requests import caps_of
from vending.webhooks import opening as webhooks
from vending.webhooks.relay import Relay as WebhookRelay

INBOX_COMMIT_SECONDS = 2.5
"""Less than an inbox caller waits, so that a frozen database is noticed while it still listens."""

VEND_COMMIT_SECONDS = 10.0
"""A batch of 500 commits in tens of milliseconds; ten seconds is a database that has stopped."""

RELAY_COMMIT_SECONDS = 10.0

NUMBERED_SECONDS = 5.0
"""Three reads of an index's end."""


SHARD = 0
"""The one shard of meters; more shards are more sequencers, by meter hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a server."""

    base: Database
    arrival: Arrival
    numbers: Numbers
    readers: Pool
    opening: Opening
    lanes: "Lanes"
    work: "Work"


@asynccontextmanager
async def put_together(
    config: Config, *, clock: Clock, on_line: Callable[[str], None] | None
) -> AsyncIterator[Parts]:
    """Yield the parts of a server; what they hold is let go of at the end.

    Raises SpoolBusy, SpoolUnusable, and the errors of `vending.postgres.database.attended`.
    """
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(
            spool.opened(Path(config.intake.spool_dir), bytes_max=config.intake.spool_bytes_max)
        )
        attended = await stack.enter_async_context(
            database.attended(config.database, on_line=on_line)
        )
        base = attended.base
        numbers = Numbers(clock, node=config.server.node)
        arrival = Arrival(_attempt(attended, numbers, clock), new=attended.new)
        readers = await stack.enter_async_context(
            pool.create(
                base.dsn, size=config.database.readers, shut=lambda: arrival.because is not None
            )
        )
        opening = Opening(config, readers, numbers)
        relay, gateway = _relay(config, base, clock)
        stack.push_async_callback(gateway.close)
        lanes = _lanes(config, base, opening, relay, readers, kept, clock=clock, numbers=numbers)
        lanes.teller = await _teller(stack, config, base, clock=clock, numbers=numbers)
        work = Work(config.server.drain_seconds)
        stack.push_async_callback(work.end)
        yield Parts(
            base=base, arrival=arrival, numbers=numbers, readers=readers, opening=opening,
            lanes=lanes, work=work,
        )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Lanes:
    """What a payment passes through on its way from the door to the phone."""

    intake: Intake
    inbox: Inbox
    sweep: Sweep
    sequencer: Sequencer
    relay: Relay
    teller: WebhookRelay | None = None

    def take_in(self, work: "Work") -> None:
        """Take money in; it goes to the spool until `vend`."""
        self.inbox.pause()
        work.start(self.inbox.run(), name="inbox")
        work.start(self.intake.run(), name="intake")

    def vend(self, work: "Work") -> None:
        """Store and vend what comes and what has come: the database is there."""
        work.start(self.relay.run(), name="relay")
        if self.teller is not None:
            work.start(self.teller.run(), name="webhooks")
        work.start(self.sequencer.run(), name="sequencer")
        work.start(self.sweep.run(), name="sweep")
        self.inbox.resume()

    async def drain(self, work: "Work") -> None:
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


class Work:
    """The server's long-running tasks; one that fails takes the server down with a reason."""

    def __init__(self, drain_seconds: int) -> None:
        self._drain_seconds = drain_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._log = log.get("server")

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Begin a task."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._over)
        self._tasks[name] = task

    async def ended(self, name: str) -> None:
        """Wait for a task to end by itself, if it began, as long as draining may take."""
        task = self._tasks.get(name)
        if task is not None and (await asyncio.wait({task}, timeout=self._drain_seconds))[1]:
            self._log.warning("work in hand is left for the next start", work=name)

    async def end(self) -> None:
        """Cancel what has not ended by itself."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _over(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log.error("a part of the server has failed", exc_info=task.exception())
            # A server that takes money and cannot vend must be restarted, not limp on unseen.
            os.kill(os.getpid(), signal.SIGTERM)


def _attempt(
    attended: Attended, numbers: Numbers, clock: Clock
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return one attempt to reach the database and to go on where this server's numbers ended."""

    async def attempt() -> None:
        await attended.reach(now=clock())
        reader = Writer(attended.base.dsn, seconds=NUMBERED_SECONDS)
        try:
            numbers.go_on_after(await numbered.last(reader, clock, node=numbers.node))
        finally:
            reader.drop()

    return attempt


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
    opening: Opening,
    relay: Relay,
    readers: Pool,
    kept: Spool,
    *,
    clock: Clock,
    numbers: Numbers,
) -> Lanes:
    sequencer = _sequencer(config, base, opening, relay, clock=clock, numbers=numbers)
    inbox = Inbox(
        Writer(base.dsn, seconds=INBOX_COMMIT_SECONDS),
        numbers=numbers,
        on_stored=sequencer.offer,
        patience=config.intake.inbox_milliseconds / 1000,
    )
    intake = Intake(
        inbox,
        kept,
        clock=clock,
        patience=config.intake.inbox_milliseconds / 1000,
        on_left=sequencer.know_spooled,
    )
    sweep = Sweep(
        readers,
        sequencer,
        writer=Writer(base.dsn, seconds=RELAY_COMMIT_SECONDS),
        wording=wording_of(config.utility),
        clock=clock,
        numbers=numbers,
        every=timedelta(seconds=config.vend.sweep_seconds),
        caps=caps_of(config.tokens),
    )
    return Lanes(intake=intake, inbox=inbox, sweep=sweep, sequencer=sequencer, relay=relay)


def _sequencer(
    config: Config,
    base: Database,
    opening: Opening,
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
