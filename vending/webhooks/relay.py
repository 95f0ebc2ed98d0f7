"""Carries events to vendors' endpoints: at least once, in no promised order, for three days.

It spreads new events into deliveries, claims what is due, signs it at the moment it leaves, and
writes down what became of many in one statement. Each endpoint has a few places in the air, one
that fails has one and rests after every failure, so that nobody waits for another's endpoint.
Nothing is kept in memory but what is in the air. It looks every second, or when it is woken.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import asyncpg

from vending import log, metrics
from vending.clock import Clock
from vending.numbering import Numbers, first_at
from vending.postgres.writer import DatabaseAway, Writer
from vending.values import Value
from vending.webhooks import due, signing, verdicts
from vending.webhooks.calls import Call, Failure, Heard
from vending.webhooks.due import Due, Verdict
from vending.webhooks.endpoint import DisabledReason, endpoint_name
from vending.webhooks.event import Event, EventType, body_of, webhook_id
from vending.webhooks.sealing import Seal, WebhookSecretsSealed
from vending.webhooks.signing import Secret

POLL_SECONDS = 1.0
"""How often to look when nobody has called: the shortest wait of a retry is five seconds."""

COUNT_INTERVAL = timedelta(seconds=10)
"""How often the waiting deliveries are counted for the metric; the count reads them all."""

PRUNE_INTERVAL = timedelta(minutes=1)
"""How often old events are looked for; a full portion is followed by the next one at once."""

UNSEAL_INTERVAL = timedelta(minutes=1)
"""How often a passphrase that was wrong is tried again: each try costs a tenth of a second."""

_log = log.get(__name__)


class Bounds(Value, frozen=True, kw_only=True):
    """The bounds of a relay, as [webhooks] has them; `attempt_seconds` is the caller's deadline."""

    in_flight_max: int = 64
    per_endpoint_max: int = 4
    attempt_seconds: int = 15
    disable_after: timedelta = timedelta(days=5)
    keep: timedelta = timedelta(days=30)


class Relay:
    """Delivers events until stopped."""

    def __init__(
        self,
        writer: Writer,
        *,
        call: Callable[[Call], Awaitable[Heard]],
        unseal: Callable[[], Awaitable[Seal]],
        numbers: Numbers,
        clock: Clock,
        chance: random.Random,
        bounds: Bounds,
    ) -> None:
        self._writer = writer
        self._call = call
        self._unseal = unseal
        self._numbers = numbers
        self._clock = clock
        self._chance = chance
        self._bounds = bounds
        self._seal: Seal | None = None
        self._in_flight: dict[asyncio.Task[None], int] = {}
        self._settled: list[Verdict] = []
        self._woken = asyncio.Event()
        self._quiet = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._stopping = False
        self._database_away = False
        self._sealed_told = False
        self._unseal_at: datetime | None = None
        self._counted_at: datetime | None = None
        self._pruned_at: datetime | None = None

    def wake(self) -> None:
        """Say that something may be due: an event was staged, or the clock moved."""
        self._quiet.clear()
        self._woken.set()

    async def quiet(self) -> None:
        """Wait until nothing is due, in the air or unwritten now, or until the relay has ended."""
        await self._quiet.wait()

    async def run(self) -> None:
        """Deliver until stopped. What was in the air at a cancellation is claimed again later."""
        self._ended.clear()
        try:
            while True:
                self._woken.clear()
                busy = await self._turn()
                if self._stopping and not (self._in_flight or self._settled):
                    return
                if self._stopping and self._database_away:
                    return  # what is unwritten comes back when its claim lapses
                if not busy:
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
        """Write down what is known, spread, claim; return how much there was to spread or claim."""
        found = 0
        try:
            await self._mark()
            if not self._stopping:
                found = await due.spread(self._writer, now=self._clock())
                found += await self._claim()
                await self._tidy()
        except (DatabaseAway, asyncpg.PostgresError) as fault:
            # Whatever the database says against it, an event is no reason to stop taking money.
            if not self._database_away:
                _log.error("webhooks.database_away", fault=str(fault))
            self._database_away = True
            return 0
        if self._database_away:
            _log.info("webhooks.database_back")
        self._database_away = False
        if not (found or self._in_flight or self._settled or self._woken.is_set()):
            self._quiet.set()
        return found

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _mark(self) -> None:
        """Write down tries, and disable the endpoints they say should be."""
        if not self._settled:
            return
        told = list(self._settled)
        for endpoint_id in {one.due.endpoint_id for one in told if verdicts.gone(one)}:
            await self._disable(endpoint_id, DisabledReason.GONE)
        now = self._clock()
        for row in await due.mark(self._writer, told, verdicts.fares(told)):
            since = row["failing_since"]
            lasting = since is not None and since <= now - self._bounds.disable_after
            if lasting and row["state"] == "enabled":
                await self._disable(row["endpoint_id"], DisabledReason.FAILING)
        del self._settled[: len(told)]

    async def _disable(self, endpoint_id: int, reason: DisabledReason) -> None:
        now = self._clock()
        data = {"endpoint": endpoint_name(endpoint_id), "reason": reason.value}
        event = Event(
            event_id=self._numbers.next(),
            vendor_id="",
            type=EventType.ENDPOINT_DISABLED,
            body=body_of(EventType.ENDPOINT_DISABLED, at=now, data=data),
        )
        vendor_id = await due.disable(self._writer, endpoint_id, reason, event=event, now=now)
        if vendor_id is not None:
            metrics.webhook_endpoints_disabled.labels(reason.value).inc()
            _log.error(
                "webhooks.endpoint_disabled",
                vendor_id=vendor_id,
                endpoint_id=endpoint_id,
                reason=reason.value,
            )

    async def _claim(self) -> int:
        # What is not yet written down keeps its place, so that an absent database stops sending.
        room = self._bounds.in_flight_max - len(self._in_flight) - len(self._settled)
        seal = await self._unsealed() if room > 0 else None
        if seal is None:
            return 0
        now = self._clock()
        unwritten = [one.due.endpoint_id for one in self._settled]
        claimed = await due.claim(
            self._writer,
            now=now,
            until=now + due.claim_length(self._bounds.attempt_seconds),
            busy=Counter([*self._in_flight.values(), *unwritten]),
            per_endpoint=self._bounds.per_endpoint_max,
            room=room,
        )
        if not claimed:
            return 0
        ids = {one.endpoint_id for one in claimed}
        signers = await due.signers(self._writer, seal, ids, now=now)
        for one in claimed:
            task = asyncio.create_task(self._deliver(one, signers.get(one.endpoint_id, [])))
            self._in_flight[task] = one.endpoint_id
            task.add_done_callback(self._in_flight.pop)
        return len(claimed)

    async def _unsealed(self) -> Seal | None:
        """Return what opens secrets; only where there is an endpoint is it tried."""
        if self._seal is not None:
            return self._seal
        now = self._clock()
        if not _over(self._unseal_at, now, UNSEAL_INTERVAL):
            return None
        if not await due.any_endpoint(self._writer):
            return None
        self._unseal_at = now
        try:
            self._seal = await self._unseal()
        except WebhookSecretsSealed as fault:
            if not self._sealed_told:
                _log.error("webhooks.secrets_sealed", fault=str(fault))
            self._sealed_told = True
        return self._seal

    async def _tidy(self) -> None:
        """Count what waits, and forget what is too old to be replayed."""
        now = self._clock()
        if _over(self._counted_at, now, COUNT_INTERVAL):
            metrics.webhooks_waiting.set(await due.waiting(self._writer))
            self._counted_at = now
        if _over(self._pruned_at, now, PRUNE_INTERVAL):
            before = first_at(now - self._bounds.keep)
            if await due.prune(self._writer, before=before) < due.PRUNE_MAX:
                self._pruned_at = now

    async def _deliver(self, one: Due, signers: list[Secret]) -> None:
        loop = asyncio.get_running_loop()
        at, began = self._clock(), loop.time()
        body = one.body.encode()
        name = webhook_id(one.event_id)
        try:
            if not signers:  # nothing leaves unsigned
                raise WebhookSecretsSealed(endpoint_id=one.endpoint_id)
            headers = signing.headers(signers, webhook_id=name, at=at, body=body)
            heard = await self._call(Call(url=one.url, headers=headers, body=body))
        except asyncio.CancelledError:
            # Stopped in mid-air: it may have arrived, so the try counts.
            heard = Heard(failure=Failure.STOPPED)
        except Exception as fault:  # noqa: BLE001 -- a caller's bug must not end the relay
            _log.error(
                "webhooks.call_failed", endpoint_id=one.endpoint_id, fault=type(fault).__name__
            )
            heard = Heard(failure=Failure.INTERNAL)
        seconds = loop.time() - began
        told = verdicts.verdict(
            one, heard, at=at, now=self._clock(), seconds=seconds, chance=self._chance
        )
        self._settled.append(told)
        metrics.webhook_attempts.labels(one.event_type, heard.failure or "delivered").inc()
        metrics.webhook_seconds.observe(seconds)
        if told.state == verdicts.GIVEN_UP:
            metrics.webhooks_given_up.labels(one.event_type).inc()
            _log.warning(
                "webhooks.given_up",
                vendor_id=one.vendor_id,
                endpoint_id=one.endpoint_id,
                webhook_id=name,
                attempts=one.attempt,
                failure=heard.failure,
            )
        self.wake()


def _over(last: datetime | None, now: datetime, interval: timedelta) -> bool:
    # A clock that was set back starts the interval again.
    return last is None or not now - interval < last <= now
