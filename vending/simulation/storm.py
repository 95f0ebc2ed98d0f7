"""Thousands of payments in a short time, many of them told more than once and out of order.

`run` plays a storm; `judge` compares what the operator was told with what the phones and meters
of the town then show. Neither asks the server how it went.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vending.simulation.history import (
    Event,
    EventKind,
    acknowledged,
    open_questions,
    wrongly_believed,
)
from vending.simulation.operator import Operator
from vending.simulation.pay_bill import CustomerPayment
from vending.simulation.town import MeterView

BEHAVIOUR = "storm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody who pays: the meter typed, the phone paid from, and how much, in cents."""

    account: str
    amount_minor: int
    msisdn: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What to play. `duplicates` is how many payments in a hundred are told two to five times.

    With `reorder` the callbacks are shuffled, so that repeats and later payments overtake; without
    it repeats follow each other at once. `in_flight` callbacks are under way at any time.
    """

    duplicates: int = 20
    reorder: bool = True
    in_flight: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was compared: what it says, and whether it held."""

    holds: bool
    text: str


async def run(
    operator: Operator,
    customers: Iterable[Customer],
    storm: Storm,
    *,
    randomness: random.Random,
    on_answer: Callable[[], None] = lambda: None,
) -> list[CustomerPayment]:
    """Take every customer's money and tell the server, as stormy as asked; returns the payments.

    `on_answer` is called after each answer, for a progress bar.
    """
    payments = [
        operator.take(one.account, one.amount_minor, msisdn=one.msisdn) for one in customers
    ]
    deliveries = _deliveries(payments, storm, randomness)
    waiting = iter(deliveries)

    async def tell() -> None:
        for payment in waiting:
            await operator.confirm(payment, behaviour=BEHAVIOUR)
            on_answer()

    async with asyncio.TaskGroup() as tellers:
        for _ in range(storm.in_flight):
            tellers.create_task(tell())
    return payments


def _deliveries(
    payments: Sequence[CustomerPayment], storm: Storm, randomness: random.Random
) -> list[CustomerPayment]:
    deliveries: list[CustomerPayment] = []
    for payment in payments:
        repeated = randomness.randrange(100) < storm.duplicates
        deliveries += [payment] * (randomness.randint(2, 5) if repeated else 1)
    if storm.reorder:
        randomness.shuffle(deliveries)
    return deliveries


def judge(
    payments: Sequence[CustomerPayment],
    told: Sequence[Event],
    *,
    before: Sequence[MeterView],
    after: Sequence[MeterView],
    known: Callable[[str], bool],
) -> list[Finding]:
    """Compare the operator's history with the town.

    `told` may hold more than this storm; only its payments count. `known` says whether a meter
    stands in the town: what was paid for others must not have brought any token.
    """
    ours = {payment.transaction_id: payment for payment in payments}
    events = [event for event in told if event.transaction_id in ours]
    change = _change(before, after)
    return [
        *_believed(ours, events, told),
        *_sold(ours, events, change, known=known),
        *_taken_by_meters(change),
    ]


def _believed(
    ours: Mapping[str, CustomerPayment], events: Sequence[Event], told: Sequence[Event]
) -> list[Finding]:
    """Judge what the server answered."""
    taken, doubtful = acknowledged(events), open_questions(events)
    differing = _different_answers(events)
    forged = wrongly_believed(told)
    return [
        Finding(
            holds=len(taken) + len(doubtful) == len(ours),
            text=f"{len(taken):,} of {len(ours):,} payments acknowledged, "
            f"{len(doubtful):,} in doubt",
        ),
        Finding(
            holds=not differing,
            text=f"{differing:,} payments got different answers to the same callback"
            if differing
            else f"{len(events) // 2:,} callbacks; every repeat got the answer the first one got",
        ),
        Finding(holds=not forged, text=f"{len(forged):,} forged callbacks believed"),
    ]


def _sold(
    ours: Mapping[str, CustomerPayment],
    events: Sequence[Event],
    change: Mapping[str, "_Change"],
    *,
    known: Callable[[str], bool],
) -> list[Finding]:
    """Judge, meter by meter, whether each payment brought one token and nothing else did."""
    accounts = [ours[transaction_id].account for transaction_id in acknowledged(events)]
    paid = Counter(account for account in accounts if known(account))
    maybe = Counter(ours[transaction_id].account for transaction_id in open_questions(events))
    accepted = Counter({number: one.accepted for number, one in change.items()})
    lacking = sum(max(0, count - accepted[number]) for number, count in paid.items())
    beyond = sum(max(0, count - paid[number] - maybe[number]) for number, count in accepted.items())
    return [
        Finding(
            holds=lacking == 0,
            text=f"{lacking:,} acknowledged payments without a token that a meter accepted",
        ),
        Finding(holds=beyond == 0, text=f"{beyond:,} tokens accepted for which nobody had paid"),
    ]


def _taken_by_meters(change: Mapping[str, "_Change"]) -> list[Finding]:
    """Judge what the meters made of their tokens."""
    refused = sum(one.refused for one in change.values())
    differing = sum(one.tenths_differ for one in change.values())
    return [
        Finding(
            holds=refused == 0,
            text=f"{refused:,} tokens refused by a meter that had not used them yet",
        ),
        Finding(
            holds=differing == 0,
            text=f"{differing:,} meters whose balance rose by other than the texts promised",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    accepted: int
    refused: int
    tenths_differ: bool


def _change(before: Sequence[MeterView], after: Sequence[MeterView]) -> dict[str, _Change]:
    was = {view.meter_number: view for view in before}
    change: dict[str, _Change] = {}
    for view in after:
        old = was.get(view.meter_number)
        rose = view.balance_tenths - (old.balance_tenths if old else 0)
        promised = view.promised_tenths - (old.promised_tenths if old else 0)
        change[view.meter_number] = _Change(
            accepted=view.accepted - (old.accepted if old else 0),
            refused=view.refused - (old.refused if old else 0),
            tenths_differ=rose != promised,
        )
    return change


def _different_answers(events: Sequence[Event]) -> int:
    answers: dict[str, set[str]] = {}
    for event in events:
        if event.kind is EventKind.OK:
            answers.setdefault(event.transaction_id, set()).add(event.answer)
    return sum(len(told) > 1 for told in answers.values())
