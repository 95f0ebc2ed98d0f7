"""Carries waiting messages to whoever sends them: at least once, at the contracted rate.

A relay owns some buckets. It claims due rows by moving their next attempt into the future, so a
relay that dies gives its rows back by itself; it sends with bounded concurrency and writes down
what became of many in one statement. It wakes when it is told to and looks by itself every second.
It knows nothing of what it carries: `send` is handed in.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import asyncpg

from vending import log, metrics
from vending.clock import Clock
from vending.outbox import delivery
from vending.outbox.delivery import Claimed, MessageState, Settlement
from vending.outbox.message import BUCKETS, Answer, Message, SendResult
from vending.outbox.pacing import Carrier, Pace, RateWindow
from vending.postgres.writer import DatabaseAway, Writer

Send = Callable[[Message], Awaitable[SendResult]]

POLL_SECONDS = 1.0
"""How often to look when nobody has called: the wait of a retry is seconds at the least."""

COUNT_INTERVAL = timedelta(seconds=10)
"""How often the waiting messages are counted for the metric; the count reads them all."""

_log = log.get(__name__)


class Relay:
    """Sends the waiting messages of its buckets until stopped."""

    def __init__(
        self,
        writer: Writer,
        *,
        send: Send,
        clock: Clock,
        chance: random.Random,
        pace: Pace,
        buckets: Sequence[int] = range(BUCKETS),
    ) -> None:
        self._writer = writer
        self._send = send
        self._clock = clock
        self._chance = chance
        self._pace = pace
        self._buckets = buckets
        self._window = RateWindow(pace.per_second_max)
        self._carrier = Carrier(
            failures_max=pace.in_flight_max, probe_seconds_max=pace.probe_seconds_max
        )
        self._in_flight: set[asyncio.Task[None]] = set()
        self._settled: list[Settlement] = []
        self._woken = asyncio.Event()
        self._quiet = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._stopping = False
        self._database_away = False
        self._oldest_gets_more = True
        self._counted_at: datetime | None = None

    def wake(self) -> None:
        """Say that something may be due: a message was staged, or the clock moved."""
        self._quiet.clear()
        self._woken.set()

    async def quiet(self) -> None:
        """Wait until nothing is due, in the air or unwritten now, or until the relay has ended."""
        await self._quiet.wait()

    async def run(self) -> None:
        """Send until stopped. What was in the air at a cancellation is claimed again later."""
        self._ended.clear()
        try:
            while True:
                self._woken.clear()
                claimed = await self._turn()
                if self._stopping and not (self._in_flight or self._settled):
                    return
                if self._stopping and self._database_away:
                    return  # what is unwritten comes back when its claim lapses
                if not claimed:
                    await self._pause()
        finally:
            for task in self._in_flight:
                task.cancel()
            await asyncio.gather(*self._in_flight, return_exceptions=True)
            self._writer.drop()
            self._ended.set()
            self._quiet.set()

    async def stop(self, *, seconds: float) -> None:
        """Claim no more, wait so long for what is in the air, give the rest back, and end."""
        self._stopping = True
        self.wake()
        if self._in_flight:
            _, late = await asyncio.wait(self._in_flight, timeout=seconds)
            for task in late:
                task.cancel()
        await self._ended.wait()

    async def _turn(self) -> int:
        """Write down what is known and claim what may be sent; return how much was claimed."""
        claimed = 0
        try:
            await self._mark()
            claimed = await self._claim()
            await self._count()
        except (DatabaseAway, asyncpg.PostgresError) as fault:
            # Whatever the database says against it, a message is no reason to stop taking money.
            if not self._database_away:
                _log.error("outbox.database_away", fault=str(fault))
            self._database_away = True
            return 0
        if self._database_away:
            _log.info("outbox.database_back")
        self._database_away = False
        if not (claimed or self._in_flight or self._settled or self._woken.is_set()):
            self._quiet.set()
        return claimed

    async def _pause(self) -> None:
        now = self._clock()
        wait = max(self._window.opens_in(now), self._carrier.probes_in(now)).total_seconds()
        try:
            async with asyncio.timeout(min(wait, POLL_SECONDS) or POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _mark(self) -> None:
        if self._settled:
            told = list(self._settled)
            await delivery.mark(self._writer, told)
            del self._settled[: len(told)]

    async def _claim(self) -> int:
        now = self._clock()
        room = self._room(now)
        if room <= 0:
            return 0
        share, extra = divmod(room, 2)
        self._oldest_gets_more = not self._oldest_gets_more
        claimed = await delivery.claim(
            self._writer,
            buckets=self._buckets,
            now=now,
            until=now + timedelta(seconds=self._pace.claim_seconds),
            newest=share + (extra if not self._oldest_gets_more else 0),
            oldest=share + (extra if self._oldest_gets_more else 0),
        )
        self._window.leave(self._clock(), len(claimed))
        for one in claimed:
            if self._stopping:
                self._settled.append(delivery.returned(one, at=now, counted=False))
            else:
                task = asyncio.create_task(self._deliver(one))
                self._in_flight.add(task)
                task.add_done_callback(self._in_flight.discard)
        return len(claimed)

    def _room(self, now: datetime) -> int:
        """Return how many may be claimed: each is on its way at once, none waits claimed."""
        if self._stopping:
            return 0
        # What is not yet written down keeps its place, so that an absent database stops sending.
        busy = len(self._in_flight) + len(self._settled)
        room = min(self._pace.in_flight_max - busy, self._window.allowance(now))
        probes = self._carrier.allowance(now, in_flight=busy)
        return room if probes is None else min(room, probes)

    async def _count(self) -> None:
        now = self._clock()
        if self._counted_at is None or not now - COUNT_INTERVAL < self._counted_at <= now:
            metrics.messages_waiting.set(await delivery.waiting(self._writer, self._buckets))
            self._counted_at = now

    async def _deliver(self, claimed: Claimed) -> None:
        try:
            result = await self._send(claimed.message)
        except asyncio.CancelledError:
            # Stopped in mid-air: it may have left, so the try counts.
            told = delivery.returned(claimed, at=self._clock(), counted=True, failure="stopped")
            self._settled.append(told)
            self.wake()
            return
        except Exception as fault:  # noqa: BLE001 -- a sender's bug must not end the relay
            result = SendResult(answer=Answer.RETRY, failure=type(fault).__name__)
        self._settle(claimed, result)
        self.wake()

    def _settle(self, claimed: Claimed, result: SendResult) -> None:
        now = self._clock()
        told = delivery.settlement(claimed, result, now=now, pace=self._pace, chance=self._chance)
        self._settled.append(told)
        message = claimed.message
        given_up = told.state is MessageState.GIVEN_UP
        metrics.messages.labels(message.kind, "given_up" if given_up else result.answer).inc()
        if told.state in {MessageState.GIVEN_UP, MessageState.FAILED}:
            _log.error(
                "outbox.message_undelivered",
                message_id=message.message_id,
                payment_id=message.payment_id,
                kind=message.kind,
                state=told.state.value,
                attempts=told.attempts,
                failure=told.failure,
            )
        if self._carrier.heard(result.answer, now):
            if self._carrier.away:
                _log.error("outbox.carrier_away", failure=told.failure)
            else:
                _log.info("outbox.carrier_back")
