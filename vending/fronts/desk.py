"""The core's side: answers what fronts ask, from the one intake and the one sequencer there are.

A front that goes takes its answers along and nothing else: what it had asked for is still done.
"""

import asyncio
import math
import socket
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from vending import config as settings
from vending import log, metrics
from vending.api import problems
from vending.api.doors import Doors
from vending.api.problems import InternalFault
from vending.api.v1 import errands
from vending.api.v1.teller import Teller
from vending.api.xmlvend import errands as messages
from vending.errors import VendingError
from vending.fronts.frames import (
    AskPage,
    Brought,
    Bump,
    Carry,
    Failed,
    Found,
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
from vending.fronts.tally import Sums
from vending.payments.inbox import Conflicting, InboxUnavailable, Repeated, Stored
from vending.payments.intake import Spooled, Taken
from vending.sequencer import SaleUnavailable

STATE_SECONDS = 0.1
"""How often fronts hear how the core is: admission by estimated wait needs recent numbers."""

CALLS_MAX = 25_000
"""Calls of one front in hand: more than an honest one makes, so that one that errs is cut off."""

CLOCKS_APART = timedelta(seconds=10)
"""Longer than any call is on its way; one machine's clocks are the same but for a setting back."""

_HOW: dict[type[Taken], str] = {
    Stored: "stored",
    Repeated: "repeated",
    Conflicting: "conflicting",
    Spooled: "spooled",
}


class Desk:
    """Serves every front of this core."""

    def __init__(self, doors: Doors, *, port: int) -> None:
        self._doors = doors
        self._port = port
        self._seats: dict[int, Seat] = {}
        self._sums = Sums()
        self._teller = Teller(doors)

    async def seat(self, front: int, end: socket.socket) -> "Seat":
        """Greet a front over its end of a pair of sockets, and answer it from now on."""
        seat = Seat(
            self._doors,
            self._teller,
            page=self._page,
            hear=lambda told: self._hear(front, told),
            pass_on=lambda told: self._pass_on(front, told),
        )
        self._seats[front] = seat
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: seat.wire, sock=end)
        config = _for_a_front(self._doors.config)
        seat.wire.send(Welcome(front, config, self._port))
        seat.wire.send(self._state())
        return seat

    def leave(self, front: int) -> None:
        """Forget a front that has ended, but not what it counted."""
        seat = self._seats.pop(front, None)
        if seat is not None:
            seat.wire.close()
        self._sums.gone(front)

    async def run(self) -> None:
        """Tell every front several times a second how the core is, until cancelled."""
        try:
            while True:
                state = self._state()
                for seat in self._seats.values():
                    # One that does not read would only be told the same a thousand times.
                    if not seat.wire.full:
                        seat.wire.send(state)
                await asyncio.sleep(STATE_SECONDS)
        finally:
            self._teller.close()

    def _hear(self, front: int, told: Tally) -> None:
        self._sums.hear(front, told.families)

    def _pass_on(self, front: int, told: LetIn) -> None:
        for number, seat in self._seats.items():
            if number != front and not seat.wire.full:
                seat.wire.send(LetInElsewhere(told.counts))

    def _page(self) -> bytes:
        metrics.fronts.set(sum(seat.serves.is_set() for seat in self._seats.values()))
        return self._sums.page()

    def _state(self) -> State:
        doors, sequencer = self._doors, self._doors.sequencer
        return State(
            running=sequencer.running,
            waiting=sequencer.waiting,
            estimated_wait=sequencer.estimated_wait,
            per_second=sequencer.per_second,
            keys_loaded=doors.keys_loaded(),
            tariffs_loaded=doors.tariffs_loaded(),
            started=doors.started(),
            waits_because=doors.waits_because(),
        )


class Seat:
    """One front's place at the desk."""

    def __init__(
        self,
        doors: Doors,
        teller: Teller,
        *,
        page: Callable[[], bytes],
        hear: Callable[[Tally], None],
        pass_on: Callable[[LetIn], None],
    ) -> None:
        self._doors = doors
        self._teller = teller
        self._page = page
        self._hear = hear
        self._pass_on = pass_on
        self._calls: set[asyncio.Task[None]] = set()
        self._log = log.get("fronts")
        self.serves = asyncio.Event()
        """Set when the front listens."""
        self.wire = Wire(
            msgspec.msgpack.Decoder(FromFront).decode,
            body_bytes_max=doors.config.server.body_bytes_max,
            on_frame=self._heard,
            on_lost=lambda: None,
        )

    def _heard(self, frame: FromFront) -> None:
        match frame:
            case Store():
                self._begin(self._store(frame))
            case Quarantine():
                self._begin(self._quarantine(frame))
            case Sell():
                self._begin(self._sell(frame))
            case Carry():
                self._begin(self._carry(frame))
            case Bump():
                self._doors.sequencer.bump(frame.payment_id)
            case AskPage():
                self.wire.send(Page(frame.call, self._page()))
            case Tally():
                self._hear(frame)
            case LetIn():
                self._pass_on(frame)
            case Serving():
                self.serves.set()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._calls) >= CALLS_MAX:
            work.close()
            self._log.error("a front asks for more than it may", calls=CALLS_MAX)
            self.wire.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _store(self, asked: Store) -> None:
        try:
            taken = await self._doors.intake.store(
                asked.notice, product=asked.product, received_at=self._at(asked.received_at)
            )
        except Exception as fault:  # noqa: BLE001 -- every call has an answer, and no yes by mistake
            self._fail(asked.call, fault, unforeseen=InboxUnavailable)
            return
        number = 0 if isinstance(taken, Spooled) else taken.payment_id
        self.wire.send(Found(asked.call, _HOW[type(taken)], number))

    async def _quarantine(self, asked: Quarantine) -> None:
        try:
            await self._doors.intake.quarantine(
                operator=asked.operator,
                reason=asked.reason,
                payload=asked.payload,
                detail=asked.detail,
                transaction_id=asked.transaction_id,
                received_at=self._at(asked.received_at),
            )
        except Exception as fault:  # noqa: BLE001
            self._fail(asked.call, fault, unforeseen=InboxUnavailable)
            return
        self.wire.send(Kept(asked.call))

    async def _sell(self, asked: Sell) -> None:
        payment = replace(
            asked.payment,
            payment_id=self._doors.numbers.next(),
            received_at=self._at(asked.payment.received_at),
        )
        try:
            outcome = await self._doors.sequencer.sell(payment)
        except Exception as fault:  # noqa: BLE001
            self._fail(asked.call, fault, unforeseen=SaleUnavailable)
            return
        self.wire.send(Sold(asked.call, outcome))

    async def _carry(self, asked: Carry) -> None:
        try:
            carry = (
                messages.carry if asked.errand.operation == messages.OPERATION else errands.carry
            )
            carried = await carry(self._teller, asked.errand)
        except Exception as fault:  # noqa: BLE001
            told = problems.error_of(fault)
            unforeseen = isinstance(told, InternalFault)
            self._fail(asked.call, fault if unforeseen else told, unforeseen=InternalFault)
            return
        self.wire.send(Brought(asked.call, carried))

    def _at(self, told: datetime) -> datetime:
        """Return when something came: as the front says, or now where its clock is not ours.

        A core whose machine was set back runs slowly until the time has come again; a front that
        was started since does not know.
        """
        now = self._doors.clock()
        return told if abs(now - told) <= CLOCKS_APART else now

    def _fail(self, call: int, fault: Exception, *, unforeseen: type[VendingError]) -> None:
        if not isinstance(fault, VendingError):
            self._log.error("a front's call has failed", fault=type(fault).__name__, exc_info=fault)
            fault = unforeseen(why=type(fault).__name__)
        facts = {name: str(value) for name, value in fault.facts.items()}
        self.wire.send(Failed(call, fault.code, facts))


def _for_a_front(whole: settings.Config) -> settings.Config:
    """Return the settings without what only the core may know: keys, and the carrier's password.

    Connections are shared out between the fronts.
    """
    server = whole.server
    each = max(8, math.ceil(server.connections_max / server.workers))
    return replace(
        whole,
        server=replace(server, connections_max=each),
        keys=settings.Keys(),
        database=replace(whole.database, owner_dsn=""),
        sms=replace(whole.sms, api_key=""),
        webhooks=replace(whole.webhooks, passphrase=""),
    )
