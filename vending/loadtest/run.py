"""One load test as it was: what was asked, each second of it, and each look at the target.

It can be stored as JSON and judged or drawn again without the server.
"""

from collections import Counter
from datetime import datetime
from functools import cached_property
from pathlib import Path

import msgspec

from vending.errors import Rejected
from vending.loadtest import exposition, latency

CONFIRMS = ("confirm", "repeat", "late confirm")
"""The kinds of request that say that money has moved."""

OK = "200"
SOLD = "201"
DONE = (OK, SOLD)
"""Statuses of what was done: a sale that is made now is answered 201."""

REFUSED = ("409", "422", "429", "503")
"""Statuses of a sale that was refused, for good or for now; nothing is sold, and the till knows."""


class RunUnreadable(Rejected):
    """This file is no stored load test.

    Give the file that `vending loadtest --store FILE` wrote.
    """

    code = "run_unreadable"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, so that the same can be asked again."""

    scenario: str
    target: str
    seed: int
    seconds: float
    scale: float
    customers: int
    connections: int
    limits: dict[str, float]


class Second(msgspec.Struct, frozen=True, kw_only=True, tag="second"):
    """One second of the generator.

    `offered` are requests that were due in it, by kind; `answered` and `latency` are of those
    that were settled in it, by kind and status, and by kind in `vending.loadtest.latency` buckets.
    """

    second: int
    offered: dict[str, int]
    answered: dict[str, dict[str, int]]
    latency: dict[str, dict[int, int]]
    unsent: int
    cpu_seconds: float
    memory_bytes: int


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The generator's last word. `payments` were told of at least once; money had moved."""

    seconds: float
    requests: int
    payments: int
    unacknowledged: int
    refused_at_check: int
    reconnects: int
    cpu_seconds: float
    lag: dict[int, int]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the target's metrics; `samples` is None when it did not answer."""

    at: float
    samples: dict[str, float] | None


class Run(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A whole load test."""

    asked: Asked
    started_at: datetime
    seconds: list[Second]
    ended: Ended
    looks: list[Look]

    @cached_property
    def answered_looks(self) -> list[tuple[float, dict[str, float]]]:
        """The looks that were answered, with their times."""
        return [(look.at, look.samples) for look in self.looks if look.samples is not None]

    @property
    def first(self) -> dict[str, float]:
        """The metrics before the first request; empty when the target shows none."""
        return self.answered_looks[0][1] if self.answered_looks else {}

    @property
    def last(self) -> dict[str, float]:
        """The metrics at the end."""
        return self.answered_looks[-1][1] if self.answered_looks else {}

    def latencies(self, *kinds: str) -> Counter[int]:
        """Return the histogram of all answers of some kinds."""
        return latency.merged(
            counts for one in self.seconds for kind, counts in one.latency.items() if kind in kinds
        )

    def statuses(self) -> dict[str, int]:
        """Return how many requests were settled with each status."""
        sums: Counter[str] = Counter()
        for one in self.seconds:
            for counts in one.answered.values():
                sums.update(counts)
        return dict(sums.most_common())

    def offered(self, *kinds: str) -> int:
        """Return how many requests of some kinds were due."""
        return sum(one.offered.get(kind, 0) for one in self.seconds for kind in kinds)

    def risen(self, name: str, **labels: str) -> float | None:
        """Return by how much a counter of the target rose in the run."""
        return exposition.rise(self.first, self.last, name, **labels)


def store(run: Run, path: Path) -> None:
    """Write a run to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(run))


def read(path: Path) -> Run:
    """Return a stored run; raises RunUnreadable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except (OSError, msgspec.MsgspecError) as fault:
        raise RunUnreadable(file=str(path), fault=type(fault).__name__) from fault
