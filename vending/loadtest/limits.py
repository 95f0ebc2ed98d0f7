"""What a run is held to: each limit measures one thing of a run and allows it up to a value.

A limit that cannot be measured does not hold: a test that saw nothing has shown nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vending.errors import Rejected
from vending.loadtest import drive, exposition, latency
from vending.loadtest.run import CONFIRMS, REFUSED, Run
from vending.loadtest.scenarios import CALM, Scenario

OFF = "off"
_STEADY_SECONDS = 3
"""So many seconds in a row within the limit are a recovery."""


class LimitUnknown(Rejected):
    """This is not a limit that a load test knows, or not a value for one.

    Write NAME=NUMBER, or NAME=off; docs/operating/load-test.md lists the names.
    """

    code = "limit_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One thing that is measured. `asks` and `unit` make a sentence around the value."""

    name: str
    asks: str
    unit: str
    measure: Callable[[Run, Scenario], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A limit, what it allows, and what the run had; `measured` of None could not be seen."""

    limit: Limit
    allowed: float
    measured: float | None

    @property
    def holds(self) -> bool:
        """Whether what was measured is within what is allowed."""
        return self.measured is not None and self.measured <= self.allowed

    def sentence(self) -> str:
        """Return what was asked and what was found, for a person."""
        asked = f"{self.limit.asks} {figure(self.allowed)} {self.limit.unit}".rstrip()
        if self.measured is None:
            return f"{asked}: this could not be measured"
        if math.isinf(self.measured):
            return f"{asked}: they never were"
        return f"{asked}: it was {figure(self.measured)} {self.limit.unit}".rstrip()


def figure(value: float) -> str:
    """Return a measured value with as many digits as mean something."""
    if math.isinf(value):
        return "never"
    if value == round(value) or abs(value) >= 100:  # noqa: PLR2004 -- three figures are enough
        return f"{value:,.0f}"
    return f"{value:.1f}"


def judge(run: Run, scenario: Scenario) -> list[Judgement]:
    """Hold a run to the limits it was asked to meet."""
    return [
        Judgement(limit=limit, allowed=allowed, measured=limit.measure(run, scenario))
        for name, allowed in run.asked.limits.items()
        for limit in (LIMITS[name],)
    ]


def overridden(limits: Mapping[str, float], changes: Sequence[str]) -> dict[str, float]:
    """Return limits with changes such as `confirm-p99-ms=400` laid over; raises LimitUnknown."""
    changed = dict(limits)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in LIMITS:
            raise LimitUnknown(given=change, known=", ".join(LIMITS))
        if value == OFF:
            changed.pop(name, None)
            continue
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise LimitUnknown(given=change)
        changed[name] = number
    return changed


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _p99_ms(*kinds: str) -> Callable[[Run, Scenario], float | None]:
    def measure(run: Run, _scenario: Scenario) -> float | None:
        if not run.offered(*kinds):
            return 0.0  # none was made, so none was slow
        return _milliseconds(latency.percentile(run.latencies(*kinds), 0.99))

    return measure


def _unacknowledged(run: Run, _scenario: Scenario) -> float | None:
    return run.ended.unacknowledged


def _undecided(run: Run, _scenario: Scenario) -> float | None:
    return drive.undecided(run.first, run.last)


def _stored_beyond_sent(run: Run, _scenario: Scenario) -> float | None:
    stored = run.risen("stima_payments_stored_total", how="stored")
    return None if stored is None else max(0.0, stored - run.ended.payments)


def _quarantined(run: Run, _scenario: Scenario) -> float | None:
    if run.risen("stima_callbacks_total") is None:
        return None
    return run.risen("stima_quarantined_total") or 0.0


def _token_p99_ms(run: Run, _scenario: Scenario) -> float | None:
    return _milliseconds(exposition.quantile(run.first, run.last, "stima_vend_seconds", 0.99))


def _oldest_waiting(run: Run, _scenario: Scenario) -> float | None:
    ages = [
        age
        for _, samples in run.answered_looks
        if (age := exposition.total(samples, "stima_oldest_waiting_seconds")) is not None
    ]
    return max(ages, default=None)


def _lag_p99_ms(run: Run, _scenario: Scenario) -> float | None:
    return _milliseconds(latency.percentile(run.ended.lag, 0.99)) or 0.0


def _refused_percent(run: Run, _scenario: Scenario) -> float | None:
    offered = run.offered(*CONFIRMS)
    refused = sum(
        one.answered.get(kind, {}).get(status, 0)
        for one in run.seconds
        for kind in CONFIRMS
        for status in REFUSED
    )
    return refused / offered * 100 if offered else 0.0


def _tokens_beyond_sold(run: Run, _scenario: Scenario) -> float | None:
    if run.risen("stima_outcomes_total") is None:
        return None
    tokens = run.risen("stima_outcomes_total", kind="token_issued") or 0.0
    return max(0.0, tokens - run.ended.payments)


def recovery_seconds(run: Run, scenario: Scenario) -> float:
    """Return how long after the worst was over confirmations were as quick as on a calm day.

    Counted to the first of three seconds in a row (or to the last there are) whose 99th percentile
    is within the calm limit; seconds without an answer count as slow when something was due.
    Infinite when they never were.
    """
    calm = CALM["confirm-p99-ms"] / 1000
    over = (scenario.over or 0.0) * run.asked.seconds
    after = [one for one in run.seconds if one.second + 1 > over]
    good = []
    for one in after:
        counts = latency.merged(counts for kind, counts in one.latency.items() if kind in CONFIRMS)
        p99 = latency.percentile(counts, 0.99)
        waiting = one.unsent > 0 or (p99 is None and any(one.offered.values()))
        good.append(not waiting and (p99 is None or p99 <= calm))
    for place, one in enumerate(after):
        if all(good[place : place + _STEADY_SECONDS]):
            return max(0.0, one.second - over)
    return math.inf if after else 0.0


LIMITS: Mapping[str, Limit] = {
    one.name: one
    for one in (
        Limit(
            name="confirm-p99-ms",
            asks="99 % of confirmations should be acknowledged within",
            unit="ms",
            measure=_p99_ms(*CONFIRMS),
        ),
        Limit(
            name="check-p99-ms",
            asks="99 % of validations should be answered within",
            unit="ms",
            measure=_p99_ms("check"),
        ),
        Limit(
            name="sale-p99-ms",
            asks="99 % of sales should be answered within",
            unit="ms",
            measure=_p99_ms(*CONFIRMS),
        ),
        Limit(
            name="look-up-p99-ms",
            asks="99 % of look-ups should be answered within",
            unit="ms",
            measure=_p99_ms("check"),
        ),
        Limit(
            name="refused-percent",
            asks="sales that were refused should be at most",
            unit="%",
            measure=_refused_percent,
        ),
        Limit(
            name="tokens-beyond-sold",
            asks="tokens issued beyond the sales that were made should be at most",
            unit="",
            measure=_tokens_beyond_sold,
        ),
        Limit(
            name="unacknowledged",
            asks="payments that were never acknowledged should be at most",
            unit="",
            measure=_unacknowledged,
        ),
        Limit(
            name="undecided",
            asks="payments without a token or a refund at the end should be at most",
            unit="",
            measure=_undecided,
        ),
        Limit(
            name="stored-beyond-sent",
            asks="payments stored beyond those that were made should be at most",
            unit="",
            measure=_stored_beyond_sent,
        ),
        Limit(
            name="quarantined",
            asks="messages put aside for a person should be at most",
            unit="",
            measure=_quarantined,
        ),
        Limit(
            name="token-p99-ms",
            asks="99 % of payments should be decided within",
            unit="ms",
            measure=_token_p99_ms,
        ),
        Limit(
            name="oldest-waiting-s",
            asks="the oldest waiting payment should never be older than",
            unit="s",
            measure=_oldest_waiting,
        ),
        Limit(
            name="recovery-s",
            asks="after the worst, answers should be quick again within",
            unit="s",
            measure=recovery_seconds,
        ),
        Limit(
            name="generator-lag-p99-ms",
            asks="the generator itself should fire 99 % of requests late by at most",
            unit="ms",
            measure=_lag_p99_ms,
        ),
    )
}
