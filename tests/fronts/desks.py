"""A front's line and a core's desk on a pair of sockets, and the core's doors as a test wants."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from tests.builders import a_payment
from vending.api.doors import Doors
from vending.config import Config, Keys, Server, Sms, Webhooks
from vending.fronts.desk import Desk
from vending.fronts.line import Line
from vending.numbering import Numbers
from vending.payments.inbox import Stored
from vending.payments.intake import Taken
from vending.payments.outcomes import Outcome
from vending.payments.payment import OutcomeKind, Payment, PaymentNotice
from vending.postgres.pool import Pool

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
NOTICE = a_payment().notice


@dataclass(slots=True)
class Till:
    """Intake and sequencer of a core that answers what it was told to, and keeps what it heard."""

    taken: Taken = field(default_factory=lambda: Stored(7))
    fault: Exception | None = None
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    heard: list[object] = field(default_factory=list)
    running: bool = True
    waiting: int = 3
    estimated_wait: float = 0.5
    per_second: float = 100.0

    async def store(self, notice: PaymentNotice, *, product: str, received_at: datetime) -> Taken:
        self.heard.append((notice, product, received_at))
        await self._answered()
        return self.taken

    async def quarantine(self, **kept: object) -> None:
        self.heard.append(kept)
        await self._answered()

    async def sell(self, payment: Payment) -> Outcome:
        self.heard.append(payment)
        await self._answered()
        return Outcome(
            payment_id=payment.payment_id, kind=OutcomeKind.TOKEN_ISSUED, decided_at=NOW,
            meter_number="01000000008", token="1" * 20, lines=(("energy", 100),),
        )  # fmt: skip

    def bump(self, payment_id: int) -> None:
        self.heard.append(payment_id)

    async def _answered(self) -> None:
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault


def doors_of(till: Till, *, server: Server | None = None) -> Doors:
    return Doors(
        config=Config(
            server=server or Server(workers=2),
            keys=Keys(passphrase="of the core"),
            sms=Sms(api_key="of the core"),
            webhooks=Webhooks(passphrase="of the core"),
        ),
        clock=lambda: NOW,
        intake=till,
        readers=cast(Pool, None),
        numbers=Numbers(lambda: NOW, node=9),
        sequencer=till,
        keys_loaded=lambda: True,
        tariffs_loaded=lambda: True,
        started=lambda: True,
    )


def answering(**but: object) -> Till:
    """Give a till that answers at once."""
    till = Till(**but)  # type: ignore[arg-type]
    till.answers.set()
    return till


@dataclass(slots=True, kw_only=True)
class Connected:
    """Both ends."""

    line: Line
    desk: Desk
    till: Till


@asynccontextmanager
async def connected(till: Till, *, seconds: float = 20.0) -> AsyncIterator[Connected]:
    """Connect a front's line to a desk."""
    ours, theirs = socket.socketpair()
    line = Line(body_bytes_max=65_536, seconds=seconds)
    await asyncio.get_running_loop().create_unix_connection(lambda: line.wire, sock=theirs)
    desk = Desk(doors_of(till), port=8080)
    await desk.seat(1, ours)
    telling = asyncio.create_task(desk.run())
    try:
        yield Connected(line=line, desk=desk, till=till)
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
        desk.leave(1)
        line.wire.close()
        await line.lost.wait()
