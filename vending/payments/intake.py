"""The intake: money is acknowledged from PostgreSQL, or from the local spool while it is away.

The inbox is asked first and given a part of a second. When it does not answer, what was to be
stored goes to the spool instead, and so does everything after it, until the task that replays the
spool finds the database back. A store that timed out may commit after all; its copy from the spool
is then a repeat like any other. What both refuse is refused to the operator.

A replayed notice keeps the time at which it was received, and gets the number of the moment at
which it enters the database: by those numbers a sweep on any server finds it if we die then.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from vending import log, metrics
from vending.clock import Clock
from vending.payments.inbox import (
    Conflicting,
    Found,
    Inbox,
    InboxUnavailable,
    NoticeUnstorable,
    Repeated,
    Stored,
)
from vending.payments.payment import PaymentNotice
from vending.payments.segment import Damage, Segment
from vending.payments.spool import Spool, SpoolUnavailable

SPOOL_SECONDS = 2.0
"""A sync takes milliseconds; with the inbox's part the operator hears within three seconds."""

REPLAY_MAX = 200
"""Notices replayed in one go: with live ones they share a commit, which holds 500."""

REPLAYED_PER_SECOND_AT_FIRST = 2_000.0
"""Assumed before any replay is measured: what a small machine stores."""

REST_SECONDS = (0.05, 1.0)
"""Between two looks whether the database is back: soon at first, then every second."""

COMPLAIN_EVERY = timedelta(seconds=10)
"""How often one line says that payments are being turned away."""

_HOW: dict[type[Found], str] = {
    Stored: "stored",
    Repeated: "repeated",
    Conflicting: "conflicting",
}


@dataclass(frozen=True, slots=True)
class Spooled:
    """The notice is on this server's disk; the database has it when it is back."""


Taken = Found | Spooled


class _Notice(msgspec.Struct, frozen=True, kw_only=True, tag="notice"):
    notice: PaymentNotice
    product: str
    received_at: datetime


class _Bytes(msgspec.Struct, frozen=True, kw_only=True, tag="bytes"):
    operator: str
    reason: str
    payload: bytes
    detail: str
    transaction_id: str | None
    received_at: datetime


class Intake:
    """Takes notices in for as long as its process lives; `run` brings the spool's into the inbox.

    `patience` is how long a quarantine may take before the spool is used; the inbox has its own.
    `on_left` hears how many payments are in the spool, whenever that is counted.
    """

    def __init__(
        self,
        inbox: Inbox,
        spool: Spool,
        *,
        clock: Clock,
        patience: float,
        seconds: Callable[[], float] = time.monotonic,
        on_left: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._on_left = on_left
        self._inbox = inbox
        self._spool = spool
        self._clock = clock
        self._patience = patience
        self._seconds = seconds
        self._away = False
        self._work = asyncio.Event()
        self._stop_asked = asyncio.Event()
        self._segment: Segment | None = None
        self._replayed = 0
        self._rest = REST_SECONDS[0]
        self._complained_at: datetime | None = None
        self._oldest: datetime | None = None
        self._per_second = REPLAYED_PER_SECOND_AT_FIRST
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Notice | _Bytes).decode
        self._log = log.get("payments.intake")

    @property
    def spooling(self) -> bool:
        """Whether the database is known to be away, so that money goes to the spool."""
        return self._away

    async def store(self, notice: PaymentNotice, *, product: str, received_at: datetime) -> Taken:
        """Return when a notice is on disk, in the inbox or in the spool (P1).

        Raises InboxUnavailable when neither took it: then nothing may be acknowledged.
        """
        if not self._away:
            try:
                return await self._inbox.store(notice, product=product, received_at=received_at)
            except NoticeUnstorable:
                raise
            except InboxUnavailable as fault:
                self._turn_away(fault)
        kept = _Notice(notice=notice, product=product, received_at=received_at)
        await self._keep(kept, operator=notice.operator, what="payment")
        return Spooled()

    async def quarantine(
        self,
        *,
        operator: str,
        reason: str,
        payload: bytes,
        detail: str,
        transaction_id: str | None,
        received_at: datetime,
    ) -> None:
        """Keep bytes for a person, in the database's quarantine or in the spool on the way there.

        Raises InboxUnavailable when neither took them.
        """
        kept = _Bytes(
            operator=operator,
            reason=reason,
            payload=payload,
            detail=detail,
            transaction_id=transaction_id,
            received_at=received_at,
        )
        if not self._away:
            try:
                await asyncio.wait_for(
                    asyncio.shield(asyncio.ensure_future(self._put_aside(kept))),
                    self._patience,
                )
            except (InboxUnavailable, TimeoutError) as fault:
                self._turn_away(fault)
            else:
                return
        await self._keep(kept, operator=operator, what="bytes")

    async def run(self) -> None:
        """Replay what the spool holds, now and whenever the database is back, until `stop`."""
        try:
            while not self._stop_asked.is_set():
                self._work.clear()
                if self._away or not self._spool.empty:
                    await self._catch_up()
                else:
                    await self._work.wait()
        finally:
            await self._spool.close()

    def stop(self) -> None:
        """End `run`; what the spool still holds is replayed at the next start."""
        self._stop_asked.set()
        self._work.set()

    async def _keep(self, kept: _Notice | _Bytes, *, operator: str, what: str) -> None:
        try:
            await asyncio.wait_for(self._spool.append(self._encode(kept)), SPOOL_SECONDS)
        except SpoolUnavailable as fault:
            raise self._refusal(operator, str(fault.facts.get("why"))) from fault
        except TimeoutError as fault:
            raise self._refusal(operator, "slow") from fault
        metrics.spooled.labels(what).inc()
        self._oldest = self._oldest or kept.received_at
        self._work.set()

    def _refusal(self, operator: str, why: str) -> InboxUnavailable:
        metrics.spool_refused.labels(why).inc()
        now = self._clock()
        if self._complained_at is None or abs(now - self._complained_at) > COMPLAIN_EVERY:
            self._complained_at = now
            self._log.error("payments are turned away: no database, and no spool", spool=why)
        return InboxUnavailable(operator=operator, spool=why)

    def _turn_away(self, fault: Exception) -> None:
        if not self._away:
            self._away = True
            metrics.intake_spooling.set(1)
            self._log.warning("confirmations go to the spool", fault=type(fault).__name__)
        self._work.set()

    def _turn_back(self) -> None:
        self._rest = REST_SECONDS[0]
        if self._away:
            self._away = False
            metrics.intake_spooling.set(0)
            self._log.info("confirmations go to the database again", spool_bytes=self._spool.size)

    async def _catch_up(self) -> None:
        """Replay a segment, or merely ask whether the database is back; rest when it is not."""
        try:
            await self._replay()
        except InboxUnavailable as fault:
            self._turn_away(fault)
        except Exception as fault:  # noqa: BLE001 -- what cannot be replayed must not stop intake
            self._log.error(
                "the spool cannot be replayed", fault=type(fault).__name__, detail=str(fault)
            )
        else:
            self._tell()
            return
        self._tell()
        self._rest = min(self._rest * 2, REST_SECONDS[1])
        try:
            await asyncio.wait_for(self._stop_asked.wait(), self._rest)
        except TimeoutError:
            return

    def _tell(self) -> None:
        """Publish how much waits in the spool, for how long it has, and how long it still will."""
        if self._spool.empty:
            self._oldest = None
        left = max(0, self._spool.count - self._replayed)
        metrics.spool_payments.set(left)
        self._on_left(left)
        eta = math.inf if self._away else left / self._per_second
        metrics.spool_eta_seconds.set(eta if left else 0.0)
        age = self._clock() - self._oldest if self._oldest is not None else timedelta(0)
        metrics.spool_oldest_seconds.set(max(0.0, age.total_seconds()))

    async def _replay(self) -> None:
        if self._segment is None:
            self._segment, self._replayed = await self._spool.oldest(), 0
            if self._segment is not None and self._oldest is None:
                self._oldest = self._first_received(self._segment)
        if self._segment is None:
            await self._inbox.probe()
            self._turn_back()
            return
        entries = self._segment.entries
        while self._replayed < len(entries) and not self._stop_asked.is_set():
            some = entries[self._replayed : self._replayed + REPLAY_MAX]
            began = self._seconds()
            await self._replay_some(some, self._segment.path.name)
            self._note(len(some), seconds=self._seconds() - began)
            self._replayed += len(some)
            self._turn_back()
            self._tell()
        if self._replayed == len(entries):
            await self._spool.discard(self._segment)
            self._segment, self._replayed = None, 0

    def _note(self, count: int, *, seconds: float) -> None:
        """Measure how quickly the database takes what was spooled; a handful says little."""
        weight = 0.3 * count / REPLAY_MAX
        self._per_second += weight * (count / max(seconds, 1e-6) - self._per_second)

    def _first_received(self, segment: Segment) -> datetime | None:
        """Return when the first of a segment that a former process left was received."""
        for entry in segment.entries:
            if not isinstance(entry, Damage):
                with suppress(msgspec.DecodeError, ValueError):
                    first: _Notice | _Bytes = self._decode(entry)
                    return first.received_at
        return None

    async def _replay_some(self, entries: Sequence[bytes | Damage], segment: str) -> None:
        """Return when each of these entries is in the database. Raises InboxUnavailable."""
        told = await asyncio.gather(
            *(self._bring(entry, segment) for entry in entries), return_exceptions=True
        )
        for how in told:
            if isinstance(how, BaseException):
                raise how
        for how in told:
            metrics.spool_replayed.labels(how).inc()

    async def _bring(self, entry: bytes | Damage, segment: str) -> str:
        """Bring one entry into the database and return what became of it."""
        if isinstance(entry, Damage):
            return await self._report(entry, segment)
        try:
            kept = self._decode(entry)
        except (msgspec.DecodeError, ValueError):
            return await self._report(Damage(offset=0, torn=False, found=entry), segment)
        if isinstance(kept, _Bytes):
            await self._put_aside(kept)
            return "quarantined"
        try:
            found = await self._inbox.store(
                kept.notice, product=kept.product, received_at=kept.received_at
            )
        except NoticeUnstorable:
            return "quarantined"
        return _HOW[type(found)]

    async def _report(self, damage: Damage, segment: str) -> str:
        """Say that a part of the spool is unreadable, and keep its bytes for a person."""
        facts = {"file": segment, "offset": damage.offset, "bytes": len(damage.found)}
        if damage.torn:
            self._log.warning("the spool ends in a write that a crash cut short", **facts)
            metrics.spool_damaged.labels("torn").inc()
            return "torn"
        self._log.error("a part of the spool is damaged; its bytes are put aside", **facts)
        kept = _Bytes(
            operator="spool",
            reason="spool_damaged",
            payload=damage.found,
            detail=f"{segment} at {damage.offset}",
            transaction_id=None,
            received_at=self._clock(),
        )
        await self._put_aside(kept)
        metrics.spool_damaged.labels("damaged").inc()
        return "damaged"

    async def _put_aside(self, kept: _Bytes) -> None:
        await self._inbox.quarantine(
            operator=kept.operator,
            reason=kept.reason,
            payload=kept.payload,
            detail=kept.detail,
            transaction_id=kept.transaction_id,
            received_at=kept.received_at,
        )
