"""One load, thrown from a process of its own: `python -m benchmarks.gun SPEC RESULT`.

In an open loop every request has an instant at which it is due, drawn beforehand, and its latency
counts from then (no coordinated omission); in a closed loop each connection asks again as soon as
it is answered. The loop itself is `vending.loadtest.generator`.
"""

import gc
import random
import resource
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec

from benchmarks.requests import Order, RequestOf, requests
from vending.loadtest.generator import Generator, Shot

UNANSWERED = 0
"""Status of a request that got no answer: too late, never sent, or on a connection that broke."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """So many arrivals a second, for so long."""

    per_second: float
    seconds: float


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One load: what is asked, where, on how many connections, and when.

    With `phases` it is an open loop of Poisson arrivals; without, a closed loop of `seconds`. An
    answer is awaited for `patience_seconds` from when its request was due. With a grain the
    generator wakes no more often than that: cheaper, and times are too long by up to it.
    """

    host: str
    port: int
    order: Order
    connections: int
    phases: list[Phase] = []
    seconds: float = 0.0
    patience_seconds: float = 10.0
    grain_seconds: float = 0.0
    seed: int = 1


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a load: for each request in order of its number, when, how long and what.

    `due` are seconds since `began` (Unix time), `latency` seconds from then to the answer's last
    byte, both packed doubles; `status` packed unsigned shorts: the HTTP status or UNANSWERED.
    `cpu_seconds` is the generator's own processor time.
    """

    began: float
    seconds: float
    cpu_seconds: float
    reconnects: int
    due: bytes
    latency: bytes
    status: bytes

    def columns(self) -> tuple["array[float]", "array[float]", "array[int]"]:
        """Return due, latency and status as arrays."""
        due, latency, status = array("d"), array("d"), array("H")
        due.frombytes(self.due)
        latency.frombytes(self.latency)
        status.frombytes(self.status)
        return due, latency, status


def arrivals(phases: Sequence[Phase], *, seed: int) -> Iterator[float]:
    """Yield the instants of a Poisson stream through the phases, in seconds from its start."""
    chance = random.Random(seed)
    begin = 0.0
    for phase in phases:
        at, end = begin, begin + phase.seconds
        while phase.per_second > 0:
            at += chance.expovariate(phase.per_second)
            if at >= end:
                break
            yield at
        begin = end


class Record:
    """Keeps what became of each request; `kind` of a shot is its number."""

    def __init__(self) -> None:
        self.due: array[float] = array("d")
        self.latency: array[float] = array("d")
        self.status: array[int] = array("H")

    def shots(self, due: Iterator[float], request_of: RequestOf) -> Iterator[Shot]:
        """Yield the shots due at these instants, with a place kept for each answer."""
        for number, at in enumerate(due):
            self.due.append(at)
            self.latency.append(0.0)
            self.status.append(UNANSWERED)
            yield Shot(at, number, "", request_of(number))

    def answered(self, shot: Shot, status: int, _body: bytes, seconds: float) -> None:
        """Note an answer. In a closed loop a request is due when it is sent."""
        number = shot.kind
        self.due[number] = shot.due
        self.latency[number] = seconds
        self.status[number] = max(UNANSWERED, status)


def fire(load: Load, request_of: RequestOf) -> Fired:
    """Throw a load and return what became of it."""
    record = Record()
    gun = Generator(
        load.host, load.port, connections=load.connections, on_answer=record.answered,
        answer_seconds=load.patience_seconds, grain_seconds=load.grain_seconds,
    )  # fmt: skip
    gun.connect()
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.time()
    if load.phases:
        seconds = gun.run(record.shots(arrivals(load.phases, seed=load.seed), request_of))
    else:
        asked = record.shots((0.0 for _ in count()), request_of)
        seconds = gun.saturate(asked, seconds=load.seconds)
    after = resource.getrusage(resource.RUSAGE_SELF)
    gun.close()
    return Fired(
        began=began,
        seconds=seconds,
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        reconnects=gun.reconnects - load.connections,
        due=record.due.tobytes(),
        latency=record.latency.tobytes(),
        status=record.status.tobytes(),
    )


def main() -> None:
    spec, result = Path(sys.argv[1]), Path(sys.argv[2])
    load = msgspec.json.decode(spec.read_bytes(), type=Load)
    request_of = requests(load.order, at=datetime.now(UTC))
    gc.collect()
    gc.freeze()
    gc.disable()
    result.write_bytes(msgspec.msgpack.encode(fire(load, request_of)))


if __name__ == "__main__":
    main()
