"""The generator's own process: it does nothing but fire and count, and reports each second.

Drawing, polling and judging happen in another process, so that none of it makes a request late.
The two talk in lines: an `Order` comes in and READY goes out, GO comes in, and then the JSON of a
`Second` goes out for each second, and of `Ended`. So the secret is on no command line.
"""

import gc
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

import msgspec

from vending.loadtest import callbacks, latency, scenarios
from vending.loadtest.callbacks import Callbacks
from vending.loadtest.customers import Customer
from vending.loadtest.generator import Generator, Shot
from vending.loadtest.run import DONE, REFUSED, Ended, Second
from vending.loadtest.scenarios import VENDORS
from vending.loadtest.script import CHECK, KINDS, Script
from vending.loadtest.target import Target
from vending.loadtest.tills import Tills

READY = b"ready"
GO = b"go"
NOT_REACHED = b"not reached"

GRAIN_SECONDS = 0.001
"""Times are told to the millisecond; so the server keeps the processor that waking would take."""

STATUS_NAMES = {0: "broken", -1: "timed out", -2: "not sent"}
"""What became of a request without a status."""

_ACCEPTED = (b'"ResultCode":"0"', b'"ResultCode": "0"', b'"can_vend":true')
_NOT_TAKEN = b'"money_state":"not_taken"'
_DONE = frozenset(int(status) for status in DONE)
_REFUSED = frozenset(int(status) for status in REFUSED)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to fire. `secret` is the callbacks', or vendors' keys with spaces in between."""

    target: Target
    secret: str
    short_code: str
    scenario: str
    customers: list[Customer]
    seconds: float
    scale: float
    seed: int
    connections: int
    answer_seconds: float
    started_at: datetime

    def __repr__(self) -> str:
        return f"Order(scenario={self.scenario!r}, target={self.target!r}, seed={self.seed})"


def fire(order: Order, heard: BinaryIO, told: BinaryIO) -> None:
    """Connect, say so, wait for the word, fire the scenario, and report until it is over."""

    def tell(word: bytes) -> None:
        told.write(word + b"\n")
        told.flush()

    count = _Count(order)
    generator = Generator(
        order.target.host,
        order.target.port,
        connections=order.connections,
        on_answer=count.answered,
        answer_seconds=order.answer_seconds,
        grain_seconds=GRAIN_SECONDS,
    )
    try:
        generator.connect()
    except OSError:
        tell(NOT_REACHED)
        return
    tell(READY)
    heard.readline()
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing here makes circles, and a collection would make requests late

    def report(second: int) -> None:
        tell(msgspec.json.encode(count.taken(second, generator.unsent)))

    began = time.process_time()
    seconds = generator.run(count.shots(), on_second=report)
    ended = Ended(
        seconds=seconds,
        requests=generator.fired,
        payments=len(count.told),
        unacknowledged=len(count.told) - len(count.acknowledged),
        refused_at_check=len(count.died),
        reconnects=generator.reconnects,
        cpu_seconds=time.process_time() - began,
        lag=dict(generator.lag),
    )
    generator.close()
    tell(msgspec.json.encode(ended))


def main() -> None:
    """Take an order from standard input and carry it out."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    fire(order, sys.stdin.buffer, sys.stdout.buffer)


class _Count:
    """Counts what is offered and what comes back, second by second."""

    def __init__(self, order: Order) -> None:
        scenario = scenarios.named(order.scenario)
        self._sells = scenario.door is VENDORS
        writer = _writer(order, sells=self._sells)
        script = Script(
            scenario,
            order.customers,
            seconds=order.seconds,
            scale=order.scale,
            seed=order.seed,
            payer_of=callbacks.shown,
        )
        self.told: set[str] = set()
        self.acknowledged: set[str] = set()
        self.died: set[int] = set()
        self._source = script.shots(writer.request, died=self.died)
        self._offered: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._answered: Counter[tuple[int, int]] = Counter()
        self._latency: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._cpu_seconds = time.process_time()

    def shots(self) -> Iterator[Shot]:
        """Yield the script's requests and count them as offered in the second they are due."""
        for shot in self._source:
            self._offered[int(shot.due)][KINDS[shot.kind]] += 1
            if shot.kind != CHECK:
                self.told.add(shot.name)
            yield shot

    def answered(self, shot: Shot, status: int, body: bytes, seconds: float) -> None:
        """Count one answer."""
        kind = shot.kind
        self._answered[kind, status] += 1
        if status > 0:
            self._latency[kind][latency.bucket_of(seconds)] += 1
        refused = self._sells and status in _REFUSED and _NOT_TAKEN in body
        if kind != CHECK:
            if status in _DONE or refused:
                self.acknowledged.add(shot.name)
        elif refused or (status in _DONE and not any(yes in body for yes in _ACCEPTED)):
            self.died.add(int(shot.name))

    def taken(self, second: int, unsent: int) -> Second:
        """Return what was counted since the last time, and begin anew."""
        answered: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (kind, status), count in self._answered.items():
            answered[KINDS[kind]][STATUS_NAMES.get(status, str(status))] = count
        cpu_seconds = time.process_time()
        offered: Counter[str] = Counter()
        for due in [one for one in self._offered if one <= second]:
            offered.update(self._offered.pop(due))
        report = Second(
            second=second,
            offered=dict(offered),
            answered=dict(answered),
            latency={KINDS[kind]: dict(counts) for kind, counts in self._latency.items()},
            unsent=unsent,
            cpu_seconds=cpu_seconds - self._cpu_seconds,
            memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
        self._answered.clear()
        self._latency.clear()
        self._cpu_seconds = cpu_seconds
        return report


def _writer(order: Order, *, sells: bool) -> Callbacks | Tills:
    """Return what writes the requests of a run."""
    prefix = callbacks.prefix_at(order.started_at)
    if sells:
        return Tills(host=order.target.authority, keys=order.secret.split(), prefix=prefix)
    return Callbacks(
        host=order.target.authority,
        path=f"/op/saf/{order.secret}/v2",
        short_code=order.short_code,
        prefix=prefix,
        started_at=order.started_at,
    )


if __name__ == "__main__":
    main()
