"""The front's line to the core: what handlers call the intake and the sequencer, a socket away.

Every call has an answer from the core, or fails within seconds: a core that has gone, is frozen or
cannot keep up is an answer of "later", never a yes. What was asked may have happened all the same,
as behind any lost answer; the operator's repeat finds it.
"""

import asyncio
import functools
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, TypeVar

import msgspec

from vending.api.v1.errand import Carried, Errand
from vending.api.v1.quotas import Shared
from vending.errors import Unavailable, VendingError
from vending.fronts import tally
from vending.fronts.frames import (
    Answer,
    AskPage,
    Brought,
    Bump,
    Call,
    Carry,
    Failed,
    Found,
    FromCore,
    FromFront,
    Kept,
    LetIn,
    LetInElsewhere,
    Page,
    Quarantine,
    Sell,
    Serving,
    Sold,
    State,
    Store,
    Tally,
    Welcome,
    Wire,
)
from vending.payments import inbox
from vending.payments.inbox import InboxUnavailable
from vending.payments.intake import Spooled, Taken
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment, PaymentNotice
from vending.postgres.pool import CommitUnknown
from vending.sequencer import SaleUnavailable

CALLS_MAX = 20_000
"""Calls without an answer: what the inbox holds too. More are refused here."""

CALL_SECONDS = 6.0
"""The core's own deadlines are three seconds; operators listen for eight."""

SALE_SECONDS = 35.0
"""A vendor may let a sale wait for 25 seconds; what is asked of the core besides takes few."""

WATCH_SECONDS = 0.1

STALE_SECONDS = 1.0
"""A core tells its state ten times a second; after this silence it counts as gone."""

UNKNOWN = State(
    running=False,
    waiting=0,
    estimated_wait=math.inf,
    per_second=0.0,
    keys_loaded=False,
    tariffs_loaded=False,
    started=False,
    waits_because=None,
)

TAKEN: dict[str, Callable[[int], Taken]] = {
    "stored": inbox.Stored,
    "repeated": inbox.Repeated,
    "conflicting": inbox.Conflicting,
    "spooled": lambda _number: Spooled(),
}
"""What the intake may find, by its name in a frame."""

T = TypeVar("T")


class CoreAway(Unavailable):
    """The front that took this request cannot reach the server's core.

    It may have happened or not. Fronts are started again with the core; ask again.
    """

    code = "core_away"


@dataclass(slots=True)
class _Asked:
    number: int
    answer: "asyncio.Future[Answer]"
    until: float


class Line:
    """Calls to the core over one wire, until it is lost."""

    def __init__(self, *, body_bytes_max: int, seconds: float = CALL_SECONDS) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._calls: dict[int, _Asked] = {}
        self._oldest: deque[_Asked] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._last = 0
        self._state = UNKNOWN
        self._state_at = -math.inf
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self.lost = asyncio.Event()
        """Set when the core has gone: nothing can be asked any more."""
        self.requests = Shared()
        """Vendors' requests that were let in, here and by other fronts."""
        decoder = msgspec.msgpack.Decoder(FromCore)
        self.wire = Wire(
            decoder.decode,
            body_bytes_max=body_bytes_max,
            on_frame=self._heard,
            on_lost=self._hung_up,
        )

    async def welcomed(self) -> Welcome:
        """Return the core's first words. Raises CoreAway when it goes before it speaks."""
        return await self._welcome

    @property
    def state(self) -> State:
        """What the core last said of itself, as long as that is news."""
        fresh = self._loop.time() - self._state_at < STALE_SECONDS and self.wire.up
        return self._state if fresh else UNKNOWN

    def tell(self, frame: FromFront) -> None:
        """Send what needs no answer; dropped when the core does not keep up."""
        if not self.wire.full:
            self.wire.send(frame)

    async def ask(
        self, make: Callable[[int], Call], kind: type[T], *, seconds: float | None = None
    ) -> T:
        """Send a call and return its answer, which is of a kind.

        `seconds` are more, or less, than a call has by itself. Raises the error the core raised, or
        CoreAway when there is no such answer in time.
        """
        if not self.wire.up or self.wire.full or len(self._calls) >= CALLS_MAX:
            raise CoreAway(calls=len(self._calls))
        self._last += 1
        asked = _Asked(self._last, self._loop.create_future(), self._loop.time() + self._seconds)
        self._calls[asked.number] = asked
        if seconds is None:
            self._oldest.append(asked)
        self.wire.send(make(asked.number))
        if self._watch is None:
            self._watch = self._loop.call_later(WATCH_SECONDS, self._give_up)
        try:
            async with asyncio.timeout(seconds):
                answer = await asked.answer
        except TimeoutError:
            raise CoreAway(seconds=seconds) from None
        finally:
            self._calls.pop(asked.number, None)
        if isinstance(answer, Failed):
            _raise(answer)
        if not isinstance(answer, kind):
            raise CoreAway(answer=type(answer).__name__)
        return answer

    def _heard(self, frame: FromCore) -> None:
        if isinstance(frame, State):
            self._state, self._state_at = frame, self._loop.time()
        elif isinstance(frame, Welcome):
            if not self._welcome.done():
                self._welcome.set_result(frame)
        elif isinstance(frame, LetInElsewhere):
            self.requests.hear(frame.counts)
        else:
            asked = self._calls.get(frame.call)
            # An answer nobody waits for any more is late, and of no use.
            if asked is not None and not asked.answer.done():
                asked.answer.set_result(frame)

    def _give_up(self) -> None:
        """Fail calls whose time has passed: one watch for all, as in the inbox."""
        now, oldest = self._loop.time(), self._oldest
        while oldest and (oldest[0].answer.done() or oldest[0].until <= now):
            _fail(oldest.popleft(), CoreAway(seconds=self._seconds))
        self._watch = self._loop.call_later(WATCH_SECONDS, self._give_up) if oldest else None

    def _hung_up(self) -> None:
        self.lost.set()
        if not self._welcome.done():
            self._welcome.set_exception(CoreAway())
            self._welcome.exception()
        for asked in list(self._calls.values()):
            _fail(asked, CoreAway())


class FarIntake:
    """The core's intake, as handlers know it."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def store(self, notice: PaymentNotice, *, product: str, received_at: datetime) -> Taken:
        """Return when the core has a notice on disk; see `vending.payments.intake.Intake.store`."""
        try:
            found = await self._line.ask(
                lambda call: Store(call, notice, product, received_at), Found
            )
        except CoreAway as fault:
            raise InboxUnavailable(operator=notice.operator, why=fault.code) from fault
        return TAKEN[found.how](found.payment_id)

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
        """Return when the core has kept bytes for a person."""
        try:
            await self._line.ask(
                lambda call: Quarantine(
                    call, operator, reason, payload, detail, transaction_id, received_at
                ),
                Kept,
            )
        except CoreAway as fault:
            raise InboxUnavailable(operator=operator, why=fault.code) from fault


class FarSequencer:
    """The core's sequencer, as handlers know it."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @property
    def running(self) -> bool:
        """Whether the core owns the lease and is vending."""
        return self._line.state.running

    @property
    def waiting(self) -> int:
        """How many payments were handed over and are not yet decided."""
        return self._line.state.waiting

    @property
    def estimated_wait(self) -> float:
        """In how many seconds a payment that comes now has its outcome; infinity when unknown."""
        return self._line.state.estimated_wait

    @property
    def per_second(self) -> float:
        """How many payments are decided in a second while there is work."""
        return self._line.state.per_second

    def bump(self, payment_id: int) -> None:
        """Put a waiting payment first: its customer has asked for it."""
        self._line.tell(Bump(payment_id))

    async def sell(self, payment: Payment) -> Outcome:
        """Vend a payment that is not stored yet; the core gives it its number."""
        try:
            sold = await self._line.ask(lambda call: Sell(call, payment), Sold)
        except CoreAway as fault:
            raise SaleUnavailable(why=fault.code) from fault
        return sold.outcome


async def carried(line: Line, errand: Errand) -> Carried:
    """Return what the core has carried out for a vendor.

    Raises what the operation raises, and CommitUnknown when the core did not say.
    """
    try:
        brought = await line.ask(
            lambda call: Carry(call, errand),
            Brought,
            seconds=SALE_SECONDS if errand.waits else None,
        )
    except CoreAway as fault:
        raise CommitUnknown(why=fault.code) from fault
    return brought.carried


async def page(line: Line) -> bytes:
    """Return the whole server's metrics, this front's latest included. Raises CoreAway."""
    count(line)
    return (await line.ask(AskPage, Page)).text


def count(line: Line) -> None:
    """Tell the core what this front has counted."""
    line.tell(Tally(tally.counted()))


def share(line: Line) -> None:
    """Tell the core, for the other fronts, which vendors' requests this one has let in."""
    counts = line.requests.untold()
    if counts:
        line.tell(LetIn(counts))


def serving(line: Line) -> None:
    """Tell the core that this front listens."""
    line.wire.send(Serving())


def _raise(failed: Failed) -> NoReturn:
    raise _kinds().get(failed.code, CoreAway)(**failed.facts)


@functools.cache
def _kinds() -> dict[str, type[VendingError]]:
    return {kind.code: kind for kind in _below(VendingError)}


def _below(kind: type[VendingError]) -> Iterator[type[VendingError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _fail(asked: _Asked, fault: CoreAway) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(fault)
        # The caller may have stopped listening; an unread exception is not news.
        asked.answer.exception()
