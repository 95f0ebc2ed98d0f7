"""The inbox: every authentic notice is stored exactly once before its operator is acknowledged.

Callers of `store` share commits: whatever queued while the last one ran goes into the next, so a
surge makes batches larger instead of slower. One task writes, on one connection of its own.
"""

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from vending import log, metrics
from vending.errors import Unavailable
from vending.numbering import Numbers
from vending.payments import rows
from vending.payments.payment import Payment, PaymentNotice
from vending.payments.rows import Key
from vending.postgres.writer import DatabaseAway, Writer

BATCH_MAX = 500
"""Notices in one commit: beyond this a batch gains nothing and holds its first caller longer."""

WAITING_MAX = 20_000
"""Callers waiting for a commit: two seconds of work at 10 000 stores a second; more is refused."""

STORE_SECONDS = 3.0
"""An operator stops listening after five to eight seconds; by then it must have our refusal."""

WATCH_SECONDS = 0.1
"""How closely that is watched."""

STORE = (
    rows.insert_payments(1)
    + """
on conflict (operator, transaction_id) do nothing
returning payment_id
"""
)

QUARANTINE = """
insert into quarantine (quarantine_id, operator, reason, transaction_id, payload, digest, detail,
                        received_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (operator, digest) do nothing
"""


PROBE = "select 1"


class InboxUnavailable(Unavailable):
    """The notice could not be stored in time; it is not acknowledged.

    The database is away or too slow. The operator may send the notice again, and reconciliation
    finds it if the operator does not.
    """

    code = "inbox_unavailable"


class NoticeUnstorable(InboxUnavailable):
    """PostgreSQL refuses this one notice; its bytes are in quarantine.

    Sending it again changes nothing: look at the quarantined bytes and enter the payment by hand.
    """

    code = "notice_unstorable"


@dataclass(frozen=True, slots=True)
class Stored:
    """The notice was new; it is on disk."""

    payment_id: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """The notice was known with the same facts; nothing has changed."""

    payment_id: int


@dataclass(frozen=True, slots=True)
class Conflicting:
    """The transaction id was known with other facts: the first stands, this one is quarantined."""

    payment_id: int


Found = Stored | Repeated | Conflicting


@dataclass(slots=True)
class _Call:
    payment: Payment
    answer: "asyncio.Future[Found]"
    until: float


class Inbox:
    """Stores notices for as long as `run` runs, and hands new payments over for vending.

    `on_stored` takes each batch of new payments after their commit, and must not block. A caller
    waits for `patience` seconds (STORE_SECONDS), give or take a watch.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        numbers: Numbers,
        on_stored: Callable[[Sequence[Payment]], None],
        patience: float | None = None,
    ) -> None:
        self._writer = writer
        self._patience = STORE_SECONDS if patience is None else patience
        self._numbers = numbers
        self._on_stored = on_stored
        self._waiting: list[_Call] = []
        self._unanswered: deque[_Call] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._work = asyncio.Event()
        self._stopping = False
        self._paused = False
        self._log = log.get("payments.inbox")

    def pause(self) -> None:
        """Take nothing until `resume`, and say so at once: the database has not been checked."""
        self._paused = True

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False

    async def store(self, notice: PaymentNotice, *, product: str, received_at: datetime) -> Found:
        """Store a notice and return what the inbox found, after the commit that holds it (P1).

        `product` is what the short code sells, empty when no route names it. Raises
        InboxUnavailable when that commit cannot be had in time: then nothing may be acknowledged,
        and the commit may still come. NoticeUnstorable is about this notice alone. A caller that
        goes away does not take its notice along.
        """
        if self._paused or self._stopping or len(self._waiting) >= WAITING_MAX:
            raise InboxUnavailable(waiting=len(self._waiting))
        payment = Payment(
            payment_id=self._numbers.next(),
            notice=notice,
            product=product,
            received_at=received_at,
        )
        loop = asyncio.get_running_loop()
        call = _Call(payment, loop.create_future(), loop.time() + self._patience)
        self._waiting.append(call)
        self._unanswered.append(call)
        self._work.set()
        if self._watch is None:
            self._watch = loop.call_later(WATCH_SECONDS, self._give_up)
        # Cancelling the caller cancels this answer and nothing else: the call stays in its batch.
        return await call.answer

    def _give_up(self) -> None:
        """Tell callers whose time has passed that nothing is acknowledged, and look again later.

        One watch for all: a timer for each caller would cost as much as its commit.
        """
        loop = asyncio.get_running_loop()
        unanswered = self._unanswered
        while unanswered and (unanswered[0].answer.done() or unanswered[0].until <= loop.time()):
            call = unanswered.popleft()
            _fail(call, InboxUnavailable(operator=call.payment.notice.operator))
        self._watch = loop.call_later(WATCH_SECONDS, self._give_up) if unanswered else None

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
        """Keep bytes that could not be stored as a payment, once per content, for a person.

        Raises InboxUnavailable when the database is away.
        """
        if self._paused:
            raise InboxUnavailable(operator=operator)
        digest = hashlib.sha256(payload).digest()
        kept = (operator, reason, transaction_id, payload, digest, detail, received_at)
        try:
            await self._writer.fetch(QUARANTINE, self._numbers.next(), *kept)
        except DatabaseAway as fault:
            raise InboxUnavailable(operator=operator) from fault
        metrics.quarantined.labels(reason=reason).inc()

    async def probe(self) -> None:
        """Return when the database answers. Raises InboxUnavailable when it does not."""
        if self._paused:
            raise InboxUnavailable
        try:
            await self._writer.fetch(PROBE)
        except DatabaseAway as fault:
            raise InboxUnavailable from fault

    async def run(self) -> None:
        """Store what callers bring until `stop` is called and all of it is answered."""
        try:
            while self._waiting or not self._stopping:
                if not self._waiting:
                    self._work.clear()
                    await self._work.wait()
                    continue
                batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                await self._commit(batch)
        finally:
            self._writer.drop()

    def stop(self) -> None:
        """Take no more notices; `run` ends when those in hand are answered."""
        self._stopping = True
        self._work.set()

    async def _commit(self, batch: list[_Call]) -> None:
        try:
            found = await self._found(batch)
        except (DatabaseAway, InboxUnavailable) as fault:
            # What did commit is found by the sweep; nobody was told that it had.
            self._log.warning("the inbox cannot reach the database", fault=str(fault))
            for call in batch:
                _fail(call, InboxUnavailable(operator=call.payment.notice.operator))
            await asyncio.sleep(0.05)
        except asyncpg.PostgresError as fault:
            await self._halve(batch, fault)
        else:
            for call, one in zip(batch, found, strict=True):
                if not call.answer.done():
                    call.answer.set_result(one)
            fresh = [
                call.payment
                for call, one in zip(batch, found, strict=True)
                if isinstance(one, Stored)
            ]
            if fresh:
                self._on_stored(fresh)

    async def _halve(self, batch: list[_Call], fault: asyncpg.PostgresError) -> None:
        """Find the one notice that PostgreSQL refuses, so that it fails alone."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
            return
        notice = batch[0].payment.notice
        self._log.error("a notice cannot be stored", operator=notice.operator, fault=str(fault))
        try:
            await self.quarantine(
                operator=notice.operator,
                reason="cannot_be_stored",
                payload=notice.raw,
                detail=type(fault).__name__,
                transaction_id=None,
                received_at=batch[0].payment.received_at,
            )
        except InboxUnavailable as away:
            _fail(batch[0], away)
        else:
            _fail(batch[0], NoticeUnstorable(operator=notice.operator))

    async def _found(self, batch: list[_Call]) -> list[Found]:
        payments = [call.payment for call in batch]
        returned = await self._writer.fetch(STORE, *rows.columns(payments))
        stored = {row["payment_id"] for row in returned}
        known = {rows.key_of(p.notice): p for p in payments if p.payment_id in stored}
        repeats = [payment for payment in payments if payment.payment_id not in stored]
        before = await self._known(repeats, known) if repeats else {}
        found: list[Found] = []
        counts: Counter[tuple[str, str]] = Counter()
        for payment in payments:
            notice = payment.notice
            if payment.payment_id in stored:
                found.append(Stored(payment.payment_id))
                counts[notice.operator, "stored"] += 1
                continue
            first_id, first = before[rows.key_of(notice)]
            if first.same_facts(notice):
                found.append(Repeated(first_id))
                counts[notice.operator, "repeated"] += 1
            else:
                await self._put_aside(payment, first_id)
                found.append(Conflicting(first_id))
        for labels, count in counts.items():
            metrics.payments_stored.labels(*labels).inc(count)
        return found

    async def _known(
        self, repeats: list[Payment], fresh: dict[Key, Payment]
    ) -> dict[Key, tuple[int, PaymentNotice]]:
        """Return, for each repeated transaction, the number and facts of its first notice."""
        asked = {rows.key_of(payment.notice) for payment in repeats}
        before = {key: (fresh[key].payment_id, fresh[key].notice) for key in asked if key in fresh}
        return before | await rows.known(self._writer, asked.difference(fresh))

    async def _put_aside(self, payment: Payment, first_id: int) -> None:
        notice = payment.notice
        await self.quarantine(
            operator=notice.operator,
            reason="notice_conflicts",
            payload=notice.raw,
            detail=f"differs from payment {first_id}",
            transaction_id=notice.transaction_id,
            received_at=payment.received_at,
        )
        metrics.payments_stored.labels(notice.operator, "conflicting").inc()
        self._log.error(
            "a transaction id came again with other facts; the first notice stands",
            operator=notice.operator,
            transaction_id=notice.transaction_id,
            payment_id=first_id,
        )


def _fail(call: _Call, fault: Exception) -> None:
    if not call.answer.done():
        call.answer.set_exception(fault)
        # The caller may have stopped listening; an unread exception is not news.
        call.answer.exception()
