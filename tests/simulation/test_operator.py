"""The simulated operator follows Daraja's rules and writes down what it was told."""

import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import SettableClock
from tests.simulation.listener import REFUSED, Listener, listening
from vending.simulation.history import EventKind, History, acknowledged, open_questions
from vending.simulation.operator import Line, Operator
from vending.simulation.pay_bill import PayerShown

SECRET = "a-long-secret-part"
METER = "14123456783"


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as listener:
        yield listener


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "operator.jsonl") as history:
        yield history


@asynccontextmanager
async def operating(
    listener: Listener, history: History, clock: SettableClock, line: Line | None = None
) -> AsyncIterator[Operator]:
    line = replace(
        line or Line(base_url="", secret=SECRET), base_url=listener.url, resend_after_seconds=0
    )
    async with Operator(line, history=history, clock=clock, randomness=random.Random(7)) as one:
        yield one


async def test_a_payment_is_validated_and_then_confirmed_with_our_reference(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    async with operating(listener, history, clock) as operator:
        sale = await operator.pay(METER, 50_000)
    assert sale.acknowledged
    check, confirm = listener.heard
    assert check.path == f"/op/saf/{SECRET}/v2/check"
    assert confirm.path == f"/op/saf/{SECRET}/v2/confirm"
    asked, told = json.loads(check.body), json.loads(confirm.body)
    assert asked["TransID"] == told["TransID"]
    assert asked["OrgAccountBalance"] == ""
    assert told["OrgAccountBalance"] == "500.00"
    assert told["ThirdPartyTransID"] == "01K04Q9T6X5M8N2R"
    assert told["TransTime"] == "20261122110000"


async def test_a_refused_payment_moves_no_money(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    listener.plan = [(200, REFUSED)]
    async with operating(listener, history, clock) as operator:
        sale = await operator.pay(METER, 50_000)
    assert sale.confirmed is None
    assert sale.checked is not None
    assert sale.checked.value("ResultCode") == "C2B00012"
    assert len(listener.heard) == 1
    assert not acknowledged(history.events())


@pytest.mark.parametrize(("unanswered", "calls"), [("Cancelled", 1), ("Completed", 2)])
async def test_an_unanswered_validation_goes_as_the_short_code_was_registered(
    listener: Listener, history: History, clock: SettableClock, unanswered: str, calls: int
) -> None:
    listener.plan = ["cut"]
    line = Line(base_url="", secret=SECRET, unanswered=unanswered)  # type: ignore[arg-type]
    async with operating(listener, history, clock, line) as operator:
        sale = await operator.pay(METER, 50_000)
    assert len(listener.heard) == calls
    assert (sale.confirmed is not None) == (calls == 2)


async def test_validation_that_was_never_switched_on_is_skipped(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    line = Line(base_url="", secret=SECRET, validates=False, version="v1")
    async with operating(listener, history, clock, line) as operator:
        await operator.pay(METER, 50_000)
    (confirm,) = listener.heard
    assert confirm.path == f"/op/saf/{SECRET}/v1/confirm"
    assert len(json.loads(confirm.body)["MSISDN"]) == 64


async def test_the_sandbox_shows_the_payer(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    line = Line(base_url="", secret=SECRET, shown=PayerShown.CLEAR, validates=False)
    async with operating(listener, history, clock, line) as operator:
        await operator.pay(METER, 50_000, msisdn="+254700000001")
    assert json.loads(listener.heard[0].body)["MSISDN"] == "254700000001"


async def test_by_the_book_an_unanswered_confirmation_is_never_sent_again(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    listener.plan = ["cut"]
    async with operating(listener, history, clock) as operator:
        payment = operator.take(METER, 50_000)
        answer = await operator.confirm(payment)
    assert answer.kind is EventKind.UNKNOWN
    assert len(listener.heard) == 1
    assert open_questions(history.events()) == {payment.transaction_id}


async def test_an_operator_that_resends_does_so_until_it_is_answered(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    listener.plan = ["cut", (503, "later")]
    line = Line(base_url="", secret=SECRET, resends=5)
    async with operating(listener, history, clock, line) as operator:
        answer = await operator.confirm(operator.take(METER, 50_000))
    assert answer.ok
    assert len(listener.heard) == 3
    assert len({heard.body for heard in listener.heard}) == 1
    kinds = [event.kind for event in history.events()]
    assert kinds == ["invoke", "unknown", "invoke", "unknown", "invoke", "ok"]


async def test_an_answer_that_does_not_come_in_time_leaves_the_operator_in_doubt(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    listener.plan = ["hang"]
    line = Line(base_url="", secret=SECRET, answer_seconds=0.05)
    async with operating(listener, history, clock, line) as operator:
        answer = await operator.confirm(operator.take(METER, 50_000))
    assert (answer.kind, answer.status) == (EventKind.UNKNOWN, None)


async def test_a_server_that_is_not_there_took_nothing_on(
    history: History, clock: SettableClock
) -> None:
    async with listening() as gone:
        pass
    async with operating(gone, history, clock) as operator:
        answer = await operator.confirm(operator.take(METER, 50_000))
    assert answer.kind is EventKind.FAIL
    assert answer.text.startswith("not reached")


async def test_a_repeat_is_the_same_payment_to_the_byte(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    async with operating(listener, history, clock) as operator:
        payment = operator.take(METER, 50_000)
        assert all(answer.ok for answer in await operator.repeat(payment, 3))
        assert all(answer.ok for answer in await operator.at_once(payment, 5))
    assert len({heard.body for heard in listener.heard}) == 1
    assert len(listener.heard) == 8
    assert len(acknowledged(history.events())) == 1


async def test_payments_can_arrive_in_another_order_than_they_were_made(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    async with operating(listener, history, clock) as operator:
        payments = [operator.take(METER, 100 * number) for number in range(1, 21)]
        await operator.in_any_order(payments)
    arrived = [json.loads(heard.body)["TransID"] for heard in listener.heard]
    made = [payment.transaction_id for payment in payments]
    assert sorted(arrived) == sorted(made)
    assert arrived != made


async def test_a_late_confirmation_names_the_time_of_payment(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    async with operating(listener, history, clock) as operator:
        await operator.late(METER, 50_000, by=timedelta(hours=20))
    assert json.loads(listener.heard[0].body)["TransTime"] == "20261121150000"


async def test_other_facts_keep_the_transaction_id(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    async with operating(listener, history, clock) as operator:
        payment = operator.take(METER, 50_000)
        await operator.other_facts(payment, amount_minor=90_000)
    told = json.loads(listener.heard[0].body)
    assert (told["TransID"], told["TransAmount"]) == (payment.transaction_id, "900.00")


async def test_a_forger_has_the_wrong_path_or_the_wrong_address(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    listener.plan = [(404, ""), (403, "")]
    async with operating(listener, history, clock) as operator:
        payment = operator.take(METER, 50_000)
        answers = [
            await operator.with_secret(payment, "guessed-by-somebody"),
            await operator.from_address(payment, "127.0.0.2"),
        ]
    guessed, stranger = listener.heard
    assert guessed.path == "/op/saf/guessed-by-somebody/v2/confirm"
    assert (guessed.remote, stranger.remote) == ("127.0.0.1", "127.0.0.2")
    assert [answer.kind for answer in answers] == [EventKind.FAIL, EventKind.FAIL]


async def test_every_malformed_body_is_sent_and_its_answer_kept(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    async with operating(listener, history, clock) as operator:
        answers = await operator.malformed(operator.take(METER, 50_000))
    assert len(listener.heard) == len(answers) > 20
    assert not acknowledged(history.events())


async def test_no_two_payments_share_a_transaction_id(
    listener: Listener, history: History, clock: SettableClock
) -> None:
    async with operating(listener, history, clock) as operator:
        made = {operator.take(METER, 100).transaction_id for _ in range(2_000)}
    assert len(made) == 2_000


async def test_an_operator_that_was_not_opened_says_so(
    history: History, clock: SettableClock
) -> None:
    closed = Operator(
        Line(base_url="http://127.0.0.1:1", secret=SECRET),
        history=history, clock=clock, randomness=random.Random(1),
    )  # fmt: skip
    with pytest.raises(RuntimeError):
        await closed.confirm(closed.take(METER, 100))
