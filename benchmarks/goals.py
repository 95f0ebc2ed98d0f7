"""What is measured, what it must reach, and how a figure is judged: `latest.json` is made of these.

A figure that could not be measured is None and says why; it meets nothing.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One key of the result: a bound it must keep, and one it aims at.

    `at_most` says which side of the bound is good. A second figure (`also`) has bounds of its own.
    """

    key: str
    says: str
    unit: str
    must: float
    aim: float
    at_most: bool = False


GOALS: tuple[Goal, ...] = (
    Goal(
        key="vend_over_tpcb",
        says="sales a second, each answered with its token, per TPC-B transaction a second",
        unit="x", must=1.5, aim=3.0,
    ),
    Goal(
        key="callback_over_tpcb",
        says="M-PESA confirmations a second, acknowledged and their tokens committed, "
        "per TPC-B transaction a second",
        unit="x", must=1.2, aim=2.5,
    ),
    Goal(
        key="cpu_vend_over_echo",
        says="processor time of server and database per sale, per empty aiohttp request",
        unit="x", must=4.5, aim=2.5, at_most=True,
    ),
    Goal(
        key="ack_over_echo",
        says="durable acknowledgements a second with vending paused, per empty aiohttp request",
        unit="x", must=0.5, aim=0.8,
    ),
    Goal(
        key="surge_p99_ms",
        says="99th percentile of an acknowledgement while 300/s become 3,000/s",
        unit="ms", must=50, aim=15, at_most=True,
    ),
    Goal(
        key="surge_token_p99_ms",
        says="99th percentile from a payment's due time to its committed token, in that surge",
        unit="ms", must=150, aim=40, at_most=True,
    ),
    Goal(
        key="surge_errors",
        says="requests of the surge that were not answered 200",
        unit="", must=0, aim=0, at_most=True,
    ),
    Goal(
        key="overload_goodput",
        says="work done when twice the capacity is offered, of the capacity",
        unit="x", must=0.9, aim=0.95,
    ),
    Goal(
        key="overload_p99_ms",
        says="99th percentile of what was accepted in that overload",
        unit="ms", must=500, aim=300, at_most=True,
    ),
    Goal(
        key="drain_540k_s",
        says="seconds to vend 540 000 payments left by an outage, with 300/s of live traffic",
        unit="s", must=60, aim=25, at_most=True,
    ),
    Goal(
        key="drain_live_p99_ratio",
        says="99th percentile to a live payment's token during the drain, of that without",
        unit="x", must=3, aim=1.5, at_most=True,
    ),
    Goal(
        key="slow_disk",
        says="rate with 10 ms more per fdatasync, of the rate without",
        unit="x", must=0.4, aim=0.6,
    ),
    Goal(
        key="growth",
        says="database processor time per payment with a large history, of that with none",
        unit="x", must=1.7, aim=1.2, at_most=True,
    ),
    Goal(
        key="import_rows_per_s",
        says="meters a second imported from CSV into an empty directory",
        unit="/s", must=50_000, aim=150_000,
    ),
    Goal(
        key="kct_rows_per_s",
        says="meters a second whose key-change tokens (two each) are made and stored",
        unit="/s", must=50_000, aim=150_000,
    ),
    Goal(
        key="rss_mb",
        says="memory of the server process after the vends of this run",
        unit="MB", must=300, aim=150, at_most=True,
    ),
    Goal(
        key="rss_growth_mb_per_hour",
        says="growth of that memory at 300/s",
        unit="MB/h", must=5, aim=0, at_most=True,
    ),
    Goal(
        key="sts_rust_derive_issue",
        says="keys derived and tokens issued a second on one core, from Rust",
        unit="/s", must=1.0e6, aim=2.0e6,
    ),
    Goal(
        key="sts_rust_issue_ready",
        says="tokens issued a second on one core with the key ready, from Rust",
        unit="/s", must=2.5e6, aim=5.0e6,
    ),
    Goal(
        key="sts_rust_decode",
        says="tokens decoded a second on one core with the key ready, from Rust",
        unit="/s", must=2.5e6, aim=5.0e6,
    ),
    Goal(
        key="sts_python_derive_issue",
        says="keys derived and tokens issued a second on one core, from Python",
        unit="/s", must=0.5e6, aim=1.0e6,
    ),
    Goal(
        key="sts_python_issue_ready",
        says="tokens issued a second on one core with the key ready, from Python",
        unit="/s", must=1.25e6, aim=2.5e6,
    ),
    Goal(
        key="sts_python_decode",
        says="tokens decoded a second on one core with the key ready, from Python",
        unit="/s", must=1.25e6, aim=2.5e6,
    ),
)  # fmt: skip


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A goal and what was measured of it.

    `value` is the median of `rounds` where there are several, None with a `reason` where nothing
    could be measured. `note` says in which circumstances.
    """

    key: str
    says: str
    unit: str
    must: float
    aim: float
    at_most: bool
    value: float | None
    must_met: bool
    aim_met: bool
    rounds: list[float] = []
    note: str = ""
    reason: str = ""


class Result(msgspec.Struct, kw_only=True):
    """Everything a run found: `latest.json`.

    `figures` has one entry for each goal, by key. `details` is what the report draws from.
    """

    made_at: str
    command: str
    seconds: float = 0.0
    machine: dict[str, str] = {}
    figures: dict[str, Figure] = {}
    books: list[tuple[str, bool, str]] = []
    details: dict[str, Any] = {}
    notes: list[str] = []

    def set(
        self, key: str, value: float | None = None, *, rounds: Sequence[float] = (),
        note: str = "", reason: str = "",
    ) -> None:  # fmt: skip
        """Keep a figure; with rounds and no value it is their median."""
        if value is None and rounds:
            value = median(rounds)
        self.figures[key] = judged(goal_of(key), value, rounds=rounds, note=note, reason=reason)

    def complete(self) -> None:
        """Give every goal that was not measured a figure that says so, and put them in order."""
        for goal in GOALS:
            if goal.key not in self.figures:
                self.set(goal.key, reason="not part of this run")
        self.figures = {goal.key: self.figures[goal.key] for goal in GOALS}

    @property
    def sound(self) -> bool:
        """Whether the books balance: figures of a run whose books do not are worth nothing."""
        return all(holds for _, holds, _ in self.books)

    @property
    def musts_met(self) -> bool:
        """Whether everything that was measured keeps its bound."""
        return all(one.must_met for one in self.figures.values() if one.value is not None)


def goal_of(key: str) -> Goal:
    """Return the goal of a key; KeyError for one that no result has."""
    for goal in GOALS:
        if goal.key == key:
            return goal
    raise KeyError(key)


def judged(
    goal: Goal, value: float | None, *, rounds: Sequence[float] = (), note: str = "",
    reason: str = "",
) -> Figure:  # fmt: skip
    """Hold a value against its goal; raises ValueError for a missing value without a reason."""
    if value is None and not reason:
        raise ValueError(goal.key)

    def keeps(bound: float) -> bool:
        if value is None:
            return False
        return value <= bound if goal.at_most else value >= bound

    return Figure(
        key=goal.key, says=goal.says, unit=goal.unit, must=goal.must, aim=goal.aim,
        at_most=goal.at_most, value=value, must_met=keeps(goal.must), aim_met=keeps(goal.aim),
        rounds=list(rounds), note=note, reason=reason,
    )  # fmt: skip


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Divide round by round, so that what slows a round slows both sides of it."""
    return [one / other for one, other in zip(above, below, strict=True)]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share (0 to 1) of sorted values do not exceed; raises IndexError."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
