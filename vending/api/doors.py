"""What request handlers need from the rest of the server, handed to them in one frozen value."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from vending.clock import Clock
from vending.config import Config
from vending.numbering import Numbers
from vending.payments.intake import Intake
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The doors from the API into the server.

    `readers` is a pool for reads only. `keys_loaded` says whether the key ring is open,
    `tariffs_loaded` whether there is a tariff to price by, and
    `started` whether start-up has finished; both are asked anew for every health probe.
    """

    config: Config
    clock: Clock
    intake: Intake
    readers: Pool = field(repr=False)
    numbers: Numbers
    sequencer: SequencerView
    keys_loaded: Callable[[], bool]
    tariffs_loaded: Callable[[], bool]
    started: Callable[[], bool]


DOORS: web.AppKey[Doors] = web.AppKey("doors", Doors)
