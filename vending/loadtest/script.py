"""Turns a scenario into requests: who calls when, drawn from one seed.

The same seed, population, length and scale give the same script, whatever the server answers; with
one exception that people would make too: a payment that validation refuses is not confirmed,
because no money has moved.
"""

import heapq
import random
from collections.abc import Callable, Container, Iterator, Sequence

from vending.loadtest import curve
from vending.loadtest.callbacks import Payment
from vending.loadtest.customers import Customer
from vending.loadtest.generator import Shot
from vending.loadtest.scenarios import Buyers, Scenario, Stream

CHECK, CONFIRM, REPEAT, LATE = range(4)
KINDS = ("check", "confirm", "repeat", "late confirm")
CALLS = ("check", "confirm", "confirm", "confirm")

_REGULAR_SHARE = 10
_REGULAR_PART = 0.5
"""A tenth of the meters makes half of the purchases."""

_Event = tuple[float, int, int, Payment]
"""When, a number that breaks ties, what kind, and whose."""


class Script:
    """One run's requests in order of time; iterate once."""

    def __init__(
        self,
        scenario: Scenario,
        customers: Sequence[Customer],
        *,
        seconds: float,
        scale: float,
        seed: int,
        payer_of: Callable[[Customer], str],
    ) -> None:
        self._scenario = scenario
        self._seconds = seconds
        self._scale = scale
        self._seed = seed
        self._payer_of = payer_of
        chance = random.Random(seed)
        self._customers = list(customers)
        chance.shuffle(self._customers)
        self._once = 0
        self._serial = 0
        self._tie = 0
        self._heap: list[_Event] = []

    def events(self) -> Iterator[_Event]:
        """Yield everything that would happen, in order of time."""
        streams = [
            self._arrivals(stream, random.Random(f"{self._seed}:{place}"))
            for place, stream in enumerate(self._scenario.streams)
        ]
        storms = random.Random(f"{self._seed}:storms")
        for storm in self._scenario.storms:
            payment = self._payment(
                storms.choice(self._customers), storms, storm.at * self._seconds
            )
            for copy in range(max(1, round(storm.copies * min(1.0, self._scale)))):
                self._later(payment.made, REPEAT if copy else CONFIRM, payment)
        for at, stream, chance in heapq.merge(*streams, key=lambda one: one[0]):
            while self._heap and self._heap[0][0] <= at:
                yield heapq.heappop(self._heap)
            self._visit(at, stream, chance)
        while self._heap:
            yield heapq.heappop(self._heap)

    def shots(
        self, request: Callable[[str, Payment], bytes], *, died: Container[int]
    ) -> Iterator[Shot]:
        """Yield requests; confirmations of payments in `died` (their serials) are left out."""
        for due, _tie, kind, payment in self.events():
            if kind == CHECK or payment.serial not in died:
                yield Shot(due, kind, str(payment.serial), request(CALLS[kind], payment))

    def _arrivals(
        self, stream: Stream, chance: random.Random
    ) -> Iterator[tuple[float, Stream, random.Random]]:
        for at in curve.arrivals(
            stream.curve, seconds=self._seconds, scale=self._scale, chance=chance
        ):
            yield at, stream, chance

    def _visit(self, at: float, stream: Stream, chance: random.Random) -> None:
        """Let somebody pay, and do what comes of it."""
        customer = self._buyer(stream.buyers, chance)
        times = 1
        if chance.random() < stream.impatient:
            times += chance.randint(1, stream.again_max)
        for time in range(times):
            # Impatience grows: each new payment comes a little sooner than the one before.
            wait = stream.patience * self._seconds * chance.uniform(0.5, 1.5) / (time + 1)
            at = at + wait if time else at
            self._pay(at, customer, stream, chance)

    def _pay(self, at: float, customer: Customer, stream: Stream, chance: random.Random) -> None:
        late = chance.random() * stream.hours_late_max * 3600
        payment = self._payment(customer, chance, at - late)
        wrong = chance.random() < stream.mistyped
        if wrong:
            payment.account = _mistyped(payment.account, chance)
        confirm = LATE if late else CONFIRM
        if chance.random() < stream.validated:
            self._later(at, CHECK, payment)
            at += 0.2 + chance.expovariate(1 / stream.think_seconds)
        if chance.random() < stream.overtaken:
            at += chance.random() * stream.apart_seconds
        self._later(at, confirm, payment)
        if chance.random() < stream.repeated:
            for _ in range(chance.randint(1, stream.copies_max)):
                self._later(at + chance.random() * stream.apart_seconds, REPEAT, payment)

    def _payment(self, customer: Customer, chance: random.Random, made: float) -> Payment:
        self._serial += 1
        return Payment(
            serial=self._serial,
            account=customer.meter_number,
            payer=self._payer_of(customer),
            amount_minor=chance.choice(customer.sums_minor),
            made=made,
        )

    def _buyer(self, buyers: Buyers, chance: random.Random) -> Customer:
        count = len(self._customers)
        match buyers:
            case Buyers.EACH_ONCE:
                self._once += 1
                return self._customers[self._once % count]
            case Buyers.REGULARS if chance.random() < _REGULAR_PART:
                return self._customers[chance.randrange(max(1, count // _REGULAR_SHARE))]
            case _:
                return self._customers[chance.randrange(count)]

    def _later(self, at: float, kind: int, payment: Payment) -> None:
        self._tie += 1
        heapq.heappush(self._heap, (at, self._tie, kind, payment))


def _mistyped(account: str, chance: random.Random) -> str:
    """Return an account with one digit wrong, which a check digit always finds."""
    place = chance.randrange(len(account))
    return account[:place] + str((int(account[place]) + 1) % 10) + account[place + 1 :]
