"""A storm tells every payment at least once, and its verdict names each thing that went wrong."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import SettableClock
from tests.simulation.listener import listening
from vending.simulation import storm
from vending.simulation.history import Call, Event, EventKind, History, acknowledged
from vending.simulation.operator import Line, Operator
from vending.simulation.pay_bill import CustomerPayment
from vending.simulation.storm import Customer, Finding, Storm
from vending.simulation.town import MeterView

METERS = ("14123456783", "37009188428")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "operator.jsonl") as history:
        yield history


@dataclass
class Day:
    """A day on which everything went well: two payments each for two meters."""

    payments: list[CustomerPayment] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    before: list[MeterView] = field(default_factory=list)
    after: list[MeterView] = field(default_factory=list)

    def findings(self) -> list[Finding]:
        return storm.judge(
            self.payments, self.told, before=self.before, after=self.after,
            known=lambda number: number in METERS,
        )  # fmt: skip

    def failing(self) -> list[str]:
        return [finding.text for finding in self.findings() if not finding.holds]


@pytest.fixture
def day(clock: SettableClock) -> Day:
    day = Day()
    for place, account in enumerate(METERS * 2):
        payment = CustomerPayment(
            transaction_id=f"TKM000000{place}", account=account, amount_minor=50_000,
            short_code="888880", paid_at=clock(), msisdn="254700000001",
        )  # fmt: skip
        day.payments.append(payment)
        day.told += [event(payment, EventKind.INVOKE), event(payment, EventKind.OK)]
    day.before = [view(METERS[0], accepted=3, tenths=1_000)]
    day.after = [view(METERS[0], accepted=5, tenths=1_480), view(METERS[1], accepted=2, tenths=480)]
    return day


def event(payment: CustomerPayment, kind: EventKind, answer: str = "ok") -> Event:
    return Event(
        serial=1, at_ns=1, kind=kind, call=Call.CONFIRM, behaviour=storm.BEHAVIOUR,
        transaction_id=payment.transaction_id, account=payment.account,
        amount_minor=payment.amount_minor, answer=answer if kind is EventKind.OK else "",
    )  # fmt: skip


def view(number: str, *, accepted: int, tenths: int) -> MeterView:
    return MeterView(
        meter_number=number, balance_tenths=tenths, accepted=accepted, used=0, refused=0,
        promised=accepted, promised_tenths=tenths,
    )  # fmt: skip


def test_a_good_day_has_nothing_to_complain_of(day: Day) -> None:
    assert day.failing() == []
    assert len(day.findings()) == 7


def test_a_payment_that_nobody_answered_for_is_counted_as_doubt(day: Day) -> None:
    day.told[-1] = replace(day.told[-1], kind=EventKind.UNKNOWN, answer="")
    assert day.failing() == []
    assert "1 in doubt" in day.findings()[0].text


def test_a_refused_payment_is_named(day: Day) -> None:
    day.told[-1] = replace(day.told[-1], kind=EventKind.FAIL, answer="")
    day.after[1] = view(METERS[1], accepted=1, tenths=240)
    assert day.failing() == ["3 of 4 payments acknowledged, 0 in doubt"]


def test_a_repeat_that_got_another_answer_is_named(day: Day) -> None:
    day.told += [event(day.payments[0], EventKind.OK, answer="something else")]
    assert day.failing() == ["1 payments got different answers to the same callback"]


def test_a_lost_payment_is_named(day: Day) -> None:
    day.after[1] = view(METERS[1], accepted=1, tenths=240)
    assert day.failing() == ["1 acknowledged payments without a token that a meter accepted"]


def test_a_second_token_for_one_payment_is_named(day: Day) -> None:
    day.after[1] = view(METERS[1], accepted=3, tenths=720)
    assert day.failing() == ["1 tokens accepted for which nobody had paid"]


def test_a_token_its_meter_refused_is_named(day: Day) -> None:
    day.after[1] = replace(day.after[1], refused=1)
    assert day.failing() == ["1 tokens refused by a meter that had not used them yet"]


def test_a_token_with_other_energy_than_its_text_said_is_named(day: Day) -> None:
    day.after[0] = replace(day.after[0], balance_tenths=1_481)
    assert day.failing() == ["1 meters whose balance rose by other than the texts promised"]


def test_a_believed_forgery_is_named(day: Day) -> None:
    day.told.append(replace(day.told[1], behaviour="forged_secret"))
    assert day.failing() == ["1 forged callbacks believed"]


def test_money_for_a_meter_that_does_not_exist_needs_no_token(day: Day) -> None:
    stranger = CustomerPayment(
        transaction_id="TKM0000009", account="07083X", amount_minor=50_000,
        short_code="888880", paid_at=day.payments[0].paid_at, msisdn="254700000001",
    )  # fmt: skip
    day.payments.append(stranger)
    day.told += [event(stranger, EventKind.INVOKE), event(stranger, EventKind.OK)]
    assert day.failing() == []


@pytest.mark.parametrize("reorder", [True, False])
async def test_every_payment_is_told_and_some_more_than_once(
    history: History, clock: SettableClock, *, reorder: bool
) -> None:
    customers = [
        Customer(account=METERS[0], amount_minor=100 * place, msisdn="254700000001")
        for place in range(1, 201)
    ]
    answered = Counter[str]()
    async with listening() as server:
        line = Line(base_url=server.url, secret="a-long-secret-part")
        chance = random.Random(3)
        async with Operator(line, history=history, clock=clock, randomness=chance) as operator:
            payments = await storm.run(
                operator, customers, Storm(duplicates=30, reorder=reorder, in_flight=8),
                randomness=chance, on_answer=lambda: answered.update(["answer"]),
            )  # fmt: skip
    told = history.events()
    callbacks = Counter(e.transaction_id for e in told if e.kind is EventKind.INVOKE)
    assert set(callbacks) == {payment.transaction_id for payment in payments}
    assert set(acknowledged(told)) == set(callbacks)
    assert 30 <= sum(count > 1 for count in callbacks.values()) <= 90
    assert max(callbacks.values()) <= 5
    assert answered["answer"] == callbacks.total() == len(server.heard)
    first_told = list(callbacks)
    assert (first_told == [payment.transaction_id for payment in payments]) != reorder
