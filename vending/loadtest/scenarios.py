"""The days a vending system must live through, each as people and partners make it.

Rates are payments a second for a utility of 7.4 million prepaid meters: ten on the mean, thirty in
the peak hour, a hundred and more in the minutes that hurt. `--rate-scale` makes them another
utility's. Shares are of all payments of a stream; fractions are of the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from vending.errors import Rejected
from vending.loadtest.curve import Curve, flat


class Buyers(StrEnum):
    """Who of the population comes."""

    ANYONE = "anyone"
    REGULARS = "regulars"
    EACH_ONCE = "each once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the requests of a scenario go in, and what they are called there (one of each).

    What is called `check` and `confirm` elsewhere is a question that moves no money, and a call
    that says or makes it move. `outcome` is the only kind that has what
    was asked for, where others have not.
    """

    payment: str
    check: str
    confirm: str
    outcome: str | None = None

    def vended(self) -> dict[str, str]:
        """Return the labels of the outcomes that have what was asked for."""
        return {} if self.outcome is None else {"kind": self.outcome}


OPERATOR = Door(payment="payment", check="validation", confirm="confirmation")
"""A mobile-money operator's callbacks."""

VENDORS = Door(payment="sale", check="look-up", confirm="sale", outcome="token_issued")
"""The vendors' API: `GET /v1/meters/...` and `POST /v1/sales`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Payments that come along one curve and behave alike.

    `validated` asks before the money moves, and the confirmation follows after `think_seconds`
    on the mean (a PIN is typed, the operator moves the money). `mistyped` wrote a meter number
    with a wrong digit. `repeated` are confirmed again, up to `copies_max` times, within
    `apart_seconds`. `overtaken` are confirmed late by up to that time, so that later payments come
    first. `impatient` pay again, up to `again_max` times, `patience` of the run later: that is new
    money. `hours_late_max` are confirmations of payments made so long ago.
    """

    name: str
    curve: Curve
    buyers: Buyers = Buyers.REGULARS
    validated: float = 1.0
    think_seconds: float = 1.0
    mistyped: float = 0.01
    repeated: float = 0.01
    copies_max: int = 2
    overtaken: float = 0.0
    apart_seconds: float = 2.0
    impatient: float = 0.0
    again_max: int = 2
    patience: float = 0.15
    hours_late_max: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """One confirmation, so many copies of it at the same instant."""

    at: float
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something a reader of the charts should know of."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A day to live through, and what is asked of the server on it.

    `limits` are by the names of `vending.loadtest.limits`. `over` is the fraction of the run at
    which the worst is over, from where recovery is counted; None when nothing is to recover from.
    """

    name: str
    title: str
    says: str
    streams: tuple[Stream, ...]
    door: Door = OPERATOR
    storms: tuple[Storm, ...] = ()
    moments: tuple[Moment, ...] = ()
    over: float | None = None
    limits: Mapping[str, float] = field(default_factory=dict)


class ScenarioUnknown(Rejected):
    """There is no load-test scenario of this name.

    `vending loadtest scenarios` lists them.
    """

    code = "scenario_unknown"


CALM = {
    "confirm-p99-ms": 250.0,
    "check-p99-ms": 150.0,
    "unacknowledged": 0.0,
    "undecided": 0.0,
    "stored-beyond-sent": 0.0,
    "quarantined": 0.0,
    "token-p99-ms": 5_000.0,
    "oldest-waiting-s": 60.0,
    "generator-lag-p99-ms": 25.0,
}
"""What is asked on any day; the times are those an operator waits for and a customer bears."""

SURGE = CALM | {"confirm-p99-ms": 2_000.0, "check-p99-ms": 1_000.0, "token-p99-ms": 30_000.0,
                "recovery-s": 60.0}  # fmt: skip
"""What is asked through a surge: an operator's patience instead of its comfort."""

SALES = {
    "sale-p99-ms": 500.0,
    "look-up-p99-ms": 250.0,
    "unacknowledged": 0.0,
    "refused-percent": 2.0,
    "tokens-beyond-sold": 0.0,
    "generator-lag-p99-ms": 25.0,
}
"""What is asked where vendors sell: a clerk and a customer stand there and wait."""

_ALL = (
    Scenario(
        name="steady-day",
        title="A steady day",
        says="Twenty-four hours in small: a quiet night, a morning, an evening peak at seven.",
        streams=(
            Stream(
                name="customers",
                curve=Curve(
                    ((0, 2), (0.2, 1), (0.35, 14), (0.6, 10), (0.8, 30), (0.9, 18), (1, 3))
                ),
            ),
        ),
        moments=(Moment(at=0.35, text="morning"), Moment(at=0.8, text="evening peak")),
        limits=CALM,
    ),
    Scenario(
        name="month-start",
        title="The month's first ten minutes",
        says="At midnight the monthly allowance begins anew, and everybody who waited for it buys.",
        streams=(
            Stream(
                name="customers",
                curve=Curve(((0, 8), (0.1, 10), (0.1, 350), (0.3, 260), (0.7, 90), (1, 40))),
                buyers=Buyers.ANYONE,
                repeated=0.03,
            ),
        ),
        moments=(Moment(at=0.1, text="midnight"),),
        over=0.7,
        limits=SURGE,
    ),
    Scenario(
        name="payday-evening",
        title="Payday evening",
        says="Wages come at the month's end; the evening is ten times a mean hour, and rounder.",
        streams=(
            Stream(
                name="customers",
                curve=Curve(((0, 20), (0.25, 60), (0.45, 150), (0.6, 150), (0.8, 60), (1, 25))),
                mistyped=0.02,
            ),
        ),
        moments=(Moment(at=0.45, text="wages are in"),),
        over=0.8,
        limits=SURGE,
    ),
    Scenario(
        name="panic-retries",
        title="Panic after a stop",
        says="Vending was away and is back: who paid without a token pays again, which is new "
        "money, and the operator sends again what it holds unanswered, which is not.",
        streams=(
            Stream(
                name="customers",
                curve=Curve(((0, 10), (0.15, 10), (0.15, 300), (0.4, 220), (0.7, 40), (1, 15))),
                impatient=0.4,
                repeated=0.3,
                copies_max=5,
                overtaken=0.1,
            ),
        ),
        storms=(Storm(at=0.3, copies=200),),
        moments=(Moment(at=0.15, text="vending is back"), Moment(at=0.3, text="panic payments")),
        over=0.75,
        limits=SURGE,
    ),
    Scenario(
        name="operator-repeats",
        title="An operator that repeats itself",
        says="Most confirmations come several times and out of order; a link that flaps does that.",
        streams=(
            Stream(
                name="customers",
                curve=flat(60),
                repeated=0.6,
                copies_max=5,
                overtaken=0.3,
                apart_seconds=3.0,
            ),
        ),
        storms=(Storm(at=0.25, copies=1_000), Storm(at=0.6, copies=1_000)),
        moments=(),
        over=0.65,
        limits=SURGE,
    ),
    Scenario(
        name="post-outage-flood",
        title="The flood after an outage",
        says="Fifteen hours of confirmations are delivered at once while the evening goes on.",
        streams=(
            Stream(name="customers", curve=flat(50), impatient=0.1),
            Stream(
                name="held back",
                curve=Curve(((0, 0), (0.1, 0), (0.1, 900), (0.5, 900), (0.5, 0), (1, 0))),
                buyers=Buyers.ANYONE,
                validated=0.0,
                mistyped=0.0,
                repeated=0.05,
                hours_late_max=15.0,
            ),
        ),
        moments=(Moment(at=0.1, text="the link is back"), Moment(at=0.5, text="all delivered")),
        over=0.5,
        limits=SURGE,
    ),
    Scenario(
        name="campaign-day",
        title="A campaign day",
        says="A key-change campaign sends people to buy once, whatever their habit: few meters "
        "twice, small sums, many wrong numbers, and many who only ask.",
        streams=(
            Stream(
                name="campaign",
                curve=Curve(((0, 5), (0.3, 90), (0.5, 120), (0.7, 90), (1, 10))),
                buyers=Buyers.EACH_ONCE,
                mistyped=0.15,
            ),
            Stream(name="customers", curve=flat(12)),
        ),
        moments=(Moment(at=0.5, text="noon"),),
        over=0.75,
        limits=CALM | {"recovery-s": 60.0},
    ),
    Scenario(
        name="vendor-day",
        title="A day at the vendors",
        says="Tills look a meter up and sell to it, at four rates, each for a quarter of the run; "
        "now and then an answer is late, and the till sends the same sale again.",
        door=VENDORS,
        streams=(
            Stream(
                name="tills",
                curve=Curve(
                    (
                        (0, 10),
                        (0.25, 10),
                        (0.25, 20),
                        (0.5, 20),
                        (0.5, 40),
                        (0.75, 40),
                        (0.75, 60),
                        (1, 60),
                    )
                ),
                mistyped=0.0,
                repeated=0.05,
            ),
        ),
        moments=(
            Moment(at=0.25, text="twice the rate"),
            Moment(at=0.5, text="four times the rate"),
            Moment(at=0.75, text="six times the rate"),
        ),
        limits=SALES,
    ),
)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType({one.name: one for one in _ALL})


def named(name: str) -> Scenario:
    """Return a scenario; raises ScenarioUnknown."""
    if name not in SCENARIOS:
        raise ScenarioUnknown(name=name, known=", ".join(SCENARIOS))
    return SCENARIOS[name]
