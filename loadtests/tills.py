"""Tills as locust plays them: each sells with `vending_client`, as a vendor's own program would.

A till looks up, asks the price, thinks, sells; sometimes its patience ends before the answer, and
then it asks for the truth. What it does is drawn from the seed and its number. loadtests/README.md
tells how it is started.
"""

import contextlib
import itertools
import random
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import gevent
from locust import User, constant, events, task
from locust.env import Environment
from vending_client import ApiKey, Client, NotDone, OutcomeUnknown, Patience, Refused, Sale

from vending import config
from vending.errors import VendingError
from vending.loadtest import callbacks, customers, secrets_file, target
from vending.loadtest.customers import Customer

IMPATIENT = Patience(total=0.05, answer=0.02, held=0)
"""A till whose customer walks away: it does not wait for what a server needs on a good day."""

IMPATIENT_SHARE = 0.05
REPRINT_SHARE = 0.1
QUOTED_SHARE = 0.5


class Differs(Exception):
    """A promise of the API is broken: another token than before, or lines that do not sum."""


@events.init_command_line_parser.add_listener
def options(parser: ArgumentParser) -> None:
    """Add what tills need to locust's own options."""
    group = parser.add_argument_group("Stima")
    group.add_argument("--seed", type=int, default=1)
    group.add_argument("--meters", default="", help="CSV file with a meter_number column")
    group.add_argument("--think", type=float, default=3.0, help="seconds between calls, mean")
    group.add_argument("--key-variable", default="STIMA_VENDOR_KEY")
    group.add_argument("--key-file", default="", help="file of NAME=VALUE lines")
    group.add_argument("--i-own-this-target", action="store_true")


class World:
    """What every till of one locust process shares."""

    url: str
    keys: list[str]
    town: list[Customer]
    seed: int
    think: float
    prefix: str
    numbers: ClassVar["itertools.count[int]"] = itertools.count()


@events.init.add_listener
def prepare(environment: Environment, **_more: Any) -> None:
    """Read the options once; a foreign target or a missing key ends it before the start."""
    chosen = environment.parsed_options
    try:
        World.url = target.parse(environment.host or "", owned=chosen.i_own_this_target).url
        told = secrets_file.read(Path(chosen.key_file)) if chosen.key_file else None
        World.keys = config.variable(chosen.key_variable, told).split()
        World.town = (
            customers.read(Path(chosen.meters), chance=random.Random(chosen.seed))
            if chosen.meters
            else customers.of_the_demo()
        )
    except VendingError as fault:
        sys.exit(f"{fault} {fault.advice()}")
    World.seed, World.think = chosen.seed, chosen.think
    World.prefix = callbacks.prefix_at(datetime.now(UTC))


class Till(User):
    """One till: a clerk, a queue of customers, and the client of the vendor."""

    wait_time: ClassVar[Any] = constant(0)  # a till thinks by its own seed

    def on_start(self) -> None:
        """Open the till."""
        self.number = next(World.numbers)
        self.chance = random.Random(f"{World.seed}:{self.number}")
        key = World.keys[self.number % len(World.keys)]
        # Plain HTTP is for tests: prepare() has made sure that the target is the caller's own.
        self.client = Client(World.url, ApiKey(key), plain=True)
        self.sales = 0
        self.think()

    def on_stop(self) -> None:
        """Close the till."""
        self.client.close()

    def think(self) -> None:
        """Let the clerk type, and the customer count."""
        gevent.sleep(self.chance.expovariate(1 / World.think))

    @task
    def serve(self) -> None:
        """Serve one customer."""
        chance, client = self.chance, self.client
        customer = chance.choice(World.town)
        meter, amount_minor = customer.meter_number, chance.choice(customer.sums_minor)
        can_vend = False
        with self.told("look-up"):
            can_vend = client.look_up(meter).can_vend
        self.think()
        if not can_vend:
            return
        quote = None
        if chance.random() < QUOTED_SHARE:
            with self.told("quote"):
                quote = client.quote(meter, amount_minor=amount_minor).quote
            self.think()
        self.sales += 1
        reference = f"{World.prefix}:{self.number}:{self.sales}"
        facts: dict[str, Any] = {"outlet": f"LT-{self.number}", "till": "1", "confirm": True}
        facts |= {"quote": quote} if quote else {"meter": meter, "amount_minor": amount_minor}
        sale = self.sold(reference, facts)
        if sale is not None and chance.random() < REPRINT_SHARE:
            with self.told("reprint"):
                require(client.reprint(reference).token == sale.token, "a copy has other digits")
        self.think()

    def sold(self, reference: str, facts: dict[str, Any]) -> Sale | None:
        """Sell, and find out what became of it if patience ends."""
        found: Sale | None = None
        if self.chance.random() < IMPATIENT_SHARE:
            with self.told("sale, impatient"), contextlib.suppress(OutcomeUnknown):
                found = self.client.sell(reference, **facts, patience=IMPATIENT)
            with self.told("truth"):
                truth = self.client.settle(reference)
                require(found is None or found.token == truth.token, "two tokens of one sale")
                found = truth
        else:
            with self.told("sale"):
                found = self.client.sell(reference, **facts)
        if found is not None:
            with self.told("receipt"):
                total = sum(line.amount_minor for line in found.lines)
                require(total == found.amount_minor, "lines do not sum to the amount")
        return found

    @contextlib.contextmanager
    def told(self, name: str) -> Iterator[None]:
        """Tell locust of a call; a refusal that leaves all as it was is an answer like another."""
        fault: Exception | None = None
        began = time.perf_counter()
        try:
            yield
        except Refused as refused:
            if refused.code != "reference_barred":
                fault = refused
        except (NotDone, Differs) as other:
            fault = other
        self.environment.events.request.fire(
            request_type="till", name=name, response_length=0, context={}, exception=fault,
            response_time=(time.perf_counter() - began) * 1000,
        )  # fmt: skip


def require(holds: bool, what: str) -> None:  # noqa: FBT001 -- like assert, which -O forgets
    """Raise Differs unless something holds."""
    if not holds:
        raise Differs(what)
