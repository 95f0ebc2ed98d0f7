"""What request handlers need from the rest of the server, handed to them in one frozen value."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import prometheus_client
from aiohttp import web

from vending.api.v1.errand import Carried, Errand
from vending.api.v1.quotas import Shared
from vending.clock import Clock
from vending.config import Config
from vending.payments.intake import Taken
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment, PaymentNotice
from vending.postgres.pool import Pool


class SequencerView(Protocol):
    """What handlers may know of the sequencer: whether it works here, and how much waits."""

    @property
    def running(self) -> bool:
        """Whether this server owns the lease and is vending."""
        ...

    @property
    def waiting(self) -> int:
        """How many payments were handed over and are not yet decided."""
        ...

    @property
    def estimated_wait(self) -> float:
        """In how many seconds a payment that comes now has its outcome; infinity when unknown."""
        ...

    @property
    def per_second(self) -> float:
        """How many payments are decided in a second while there is work."""
        ...

    def bump(self, payment_id: int) -> None:
        """Put a waiting payment first: its customer has asked for it."""
        ...

    async def sell(self, payment: Payment) -> Outcome:
        """Vend a payment that is not stored yet; see `vending.sequencer.Sequencer.sell`."""
        ...


class IntakeView(Protocol):
    """What handlers may ask of the intake; see `vending.payments.intake.Intake`."""

    async def store(self, notice: PaymentNotice, *, product: str, received_at: datetime) -> Taken:
        """Return when a notice is on disk (P1). Raises InboxUnavailable."""
        ...

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
        """Keep bytes for a person. Raises InboxUnavailable."""
        ...


class NumbersView(Protocol):
    """Where handlers get numbers from."""

    def next(self) -> int:
        """Return a number nobody else has."""
        ...


async def own_page() -> bytes:
    """Return the metrics of this process in Prometheus' text format."""
    return prometheus_client.generate_latest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The doors from the API into the server.

    `readers` is a pool for reads only. `keys_loaded` says whether the key ring is open,
    `tariffs_loaded` whether there is a tariff to price by, and
    `started` whether the door is open; all are asked anew for every health probe. `waits_because`
    is the code of what keeps a server that has just started from its database; None once it is
    there. `page` is the whole server's metrics. A front has `errands`, by
    which the core carries out what vendors ask to be written, and `requests`, which are what all
    fronts let in. A server that is a `sandbox` has
    nothing behind its other doors.
    """

    config: Config
    clock: Clock
    intake: IntakeView
    readers: Pool = field(repr=False)
    numbers: NumbersView
    sequencer: SequencerView
    keys_loaded: Callable[[], bool]
    tariffs_loaded: Callable[[], bool]
    started: Callable[[], bool]
    waits_because: Callable[[], str | None] = lambda: None
    page: Callable[[], Awaitable[bytes]] = own_page
    errands: Callable[[Errand], Awaitable[Carried]] | None = None
    requests: Shared | None = None
    sandbox: bool = False


DOORS: web.AppKey[Doors] = web.AppKey("doors", Doors)
