"""The load-test scenarios as locust plays them: people who think, on the scenarios' own curves.

Locust is a closed model: so many users, each of whom makes one visit in `VISIT_SECONDS`. Users
come and go so that visits a second follow the curve. loadtests/README.md tells how it is started,
and why its times are not the server's.
"""

import itertools
import os
import random
import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task
from locust.env import Environment

from vending.errors import VendingError
from vending.loadtest import callbacks, customers, scenarios, target
from vending.loadtest.callbacks import Callbacks, Payment
from vending.loadtest.customers import Customer
from vending.loadtest.scenarios import Scenario, Stream

VISIT_SECONDS = 5.0
"""What one user takes for one visit, thinking included: rate times this is how many users."""

SPAWNED_A_SECOND = 100.0

OK = 200

SERIALS_EACH = 4_000_000
"""Payments that each worker process may number without meeting another's."""


@events.init_command_line_parser.add_listener
def options(parser: ArgumentParser) -> None:
    """Add what the scenarios need to locust's own options."""
    group = parser.add_argument_group("Stima")
    group.add_argument("--scenario", default="steady-day", choices=[*scenarios.SCENARIOS])
    group.add_argument("--seed", type=int, default=1)
    group.add_argument("--duration", type=float, default=60.0, help="seconds of the scenario")
    group.add_argument("--rate-scale", type=float, default=1.0)
    group.add_argument("--meters", default="", help="CSV file with a meter_number column")
    group.add_argument("--short-code", default="888880")
    group.add_argument("--secret-variable", default="STIMA_MPESA__SECRET")
    group.add_argument("--i-own-this-target", action="store_true")


class World:
    """What every user of one locust process shares."""

    scenario: Scenario
    writer: Callbacks
    town: list[Customer]
    chance: random.Random
    path: str
    duration: float
    scale: float
    serials: "itertools.count[int]"
    began: float = 0.0


@events.init.add_listener
def prepare(environment: Environment, **_more: Any) -> None:
    """Read the options once; a foreign target or a missing secret ends it before the start."""
    chosen = environment.parsed_options
    try:
        there = target.parse(environment.host or "", owned=chosen.i_own_this_target)
        World.scenario = scenarios.named(chosen.scenario)
        World.chance = random.Random(f"{chosen.seed}:{os.getpid()}")
        World.town = (
            customers.read(Path(chosen.meters), chance=World.chance)
            if chosen.meters
            else customers.of_the_demo()
        )
        secret = os.environ[chosen.secret_variable]
    except (VendingError, KeyError) as fault:
        sys.exit(f"{fault} {fault.advice() if isinstance(fault, VendingError) else 'is not set'}")
    now = datetime.now(UTC)
    World.path = f"/op/saf/{secret}/v2"
    World.duration, World.scale = chosen.duration, chosen.rate_scale
    World.serials = itertools.count((os.getpid() % 15) * SERIALS_EACH)
    World.writer = Callbacks(
        host=there.authority,
        path=World.path,
        short_code=chosen.short_code,
        prefix=callbacks.prefix_at(now),
        started_at=now,
    )


@events.test_start.add_listener
def begin(**_more: Any) -> None:
    """Note when the scenario begins; every process notes it for itself."""
    World.began = time.monotonic()


class Day(LoadTestShape):
    """So many users that visits a second follow the scenario's curves."""

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there should be now, and how fast they may come."""
        since = self.get_run_time()
        if since >= World.duration:
            return None
        rate = sum(
            stream.curve.rate_at(since / World.duration) for stream in World.scenario.streams
        )
        users = max(1, round(rate * World.scale * VISIT_SECONDS))
        return users, SPAWNED_A_SECOND


class Person(FastHttpUser):
    """Somebody who buys: asks, thinks, pays; and what the operator and impatience make of it."""

    wait_time: ClassVar[Any] = constant_throughput(1 / VISIT_SECONDS)

    def on_start(self) -> None:
        """Come at a moment of one's own: users that are made together do not call together."""
        gevent.sleep(World.chance.random() * VISIT_SECONDS)

    @task
    def visit(self) -> None:
        """Play one visit; streams come in proportion to their rates at this moment."""
        share = min(1.0, (time.monotonic() - World.began) / World.duration)
        streams = World.scenario.streams
        weights = [stream.curve.rate_at(share) + 1e-9 for stream in streams]
        stream = World.chance.choices(streams, weights)[0]
        customer = World.chance.choice(World.town)
        self.pay(customer, stream)
        if World.chance.random() < stream.impatient:
            for _ in range(World.chance.randint(1, stream.again_max)):
                self.pay(customer, stream)

    def pay(self, customer: Customer, stream: Stream) -> None:
        """Make one payment, and confirm it as often and as late as the stream does."""
        chance = World.chance
        late = chance.random() * stream.hours_late_max * 3600
        payment = Payment(
            serial=next(World.serials),
            account=customer.meter_number,
            payer=callbacks.shown(customer),
            amount_minor=chance.choice(customer.sums_minor),
            made=time.monotonic() - World.began - late,
        )
        if chance.random() < stream.validated:
            if not self.call("check", payment):
                return  # no money has moved
            gevent.sleep(0.2 + chance.expovariate(1 / stream.think_seconds))
        self.call("confirm", payment)
        if chance.random() < stream.repeated:
            for _ in range(chance.randint(1, stream.copies_max)):
                gevent.sleep(chance.random() * stream.apart_seconds / stream.copies_max)
                self.call("confirm", payment, name="confirm again")

    def call(self, call: str, payment: Payment, *, name: str = "") -> bool:
        """Make one call and say whether the answer was the operator's idea of yes."""
        with self.client.post(
            f"{World.path}/{call}",
            data=World.writer.body(call, payment),
            headers={"Content-Type": "application/json"},
            name=name or call,  # the path holds the secret
            catch_response=True,
        ) as response:
            if response.status_code != OK:
                response.failure(f"status {response.status_code}")
                return False
            response.success()
            return call != "check" or response.json().get("ResultCode") == "0"
