"""A front asks its core as if it were in the same process, and never hears a yes by mistake."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tests.builders import a_payment
from tests.fronts.desks import NOTICE, NOW, Connected, Till, answering, connected
from vending.fronts import line as lines
from vending.fronts.frames import AskPage, Failed, Found, Kept, Page, Serving, Store
from vending.fronts.line import CALLS_MAX, UNKNOWN, CoreAway, FarIntake, FarSequencer, Line
from vending.meters.meter import MeterUnknown
from vending.payments.inbox import (
    Conflicting,
    InboxUnavailable,
    NoticeUnstorable,
    Repeated,
    Stored,
)
from vending.payments.intake import Spooled, Taken
from vending.sequencer import SaleUnavailable


async def store(line: Line) -> Taken:
    return await FarIntake(line).store(NOTICE, product="prepaid", received_at=NOW)


async def quarantine(line: Line) -> None:
    await FarIntake(line).quarantine(
        operator="mpesa", reason="notice_malformed", payload=b"{", detail="", transaction_id=None,
        received_at=NOW,
    )  # fmt: skip


async def sell(line: Line) -> object:
    return await FarSequencer(line).sell(a_payment())


ASKED: list[tuple[Callable[[Line], Awaitable[object]], type[Exception]]] = [
    (store, InboxUnavailable),
    (quarantine, InboxUnavailable),
    (sell, SaleUnavailable),
]

every_call = pytest.mark.parametrize(("ask", "refusal"), ASKED)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("taken", [Stored(5), Repeated(6), Conflicting(7), Spooled()])
async def test_a_notice_arrives_whole_and_comes_back_as_what_it_was_found_to_be(
    taken: Taken,
) -> None:
    async with connected(answering(taken=taken)) as at:
        assert await store(at.line) == taken
        assert at.till.heard == [(NOTICE, "prepaid", NOW)]


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_front_with_another_clock_is_corrected_by_the_core(hours: int) -> None:
    async with connected(answering()) as at:
        told = NOW + timedelta(hours=hours)
        await FarIntake(at.line).store(NOTICE, product="prepaid", received_at=told)
        assert at.till.heard == [(NOTICE, "prepaid", NOW)]


async def test_bytes_for_a_person_arrive_whole() -> None:
    async with connected(answering()) as at:
        await quarantine(at.line)
        (kept,) = at.till.heard
        assert isinstance(kept, dict)
        assert kept["payload"] == b"{"


async def test_a_sale_gets_the_cores_number_and_comes_back_with_its_receipt() -> None:
    async with connected(answering()) as at:
        payment = a_payment()
        outcome = await FarSequencer(at.line).sell(payment)
        assert outcome.payment_id != payment.payment_id
        assert (outcome.payment_id >> 14) & 255 == 9
        assert outcome.lines == (("energy", 100),)


async def test_a_thousand_calls_at_once_have_each_their_own_answer() -> None:
    async with connected(answering()) as at:
        payments = [a_payment() for _ in range(1_000)]
        await asyncio.gather(*(FarSequencer(at.line).sell(one) for one in payments))
        assert len(at.till.heard) == 1_000


@pytest.mark.parametrize(
    "fault",
    [
        InboxUnavailable(operator="mpesa"),
        NoticeUnstorable(operator="mpesa"),
        MeterUnknown(meter_number="01000000008"),
    ],
)
async def test_the_cores_refusal_is_the_fronts(fault: Exception) -> None:
    async with connected(answering(fault=fault)) as at:
        with pytest.raises(type(fault)) as raised:
            await store(at.line)
        assert str(raised.value) == str(fault)


@every_call
async def test_an_unforeseen_fault_of_the_core_is_no_yes(
    ask: Callable[[Line], Awaitable[object]], refusal: type[Exception]
) -> None:
    async with connected(answering(fault=RuntimeError("?"))) as at:
        with pytest.raises(refusal, match="RuntimeError"):
            await ask(at.line)


@every_call
async def test_a_core_that_goes_in_mid_call_is_no_yes(
    ask: Callable[[Line], Awaitable[object]], refusal: type[Exception]
) -> None:
    async with connected(Till()) as at:
        asked = asyncio.ensure_future(ask(at.line))
        await until(lambda: bool(at.till.heard))
        at.desk.leave(1)
        with pytest.raises(refusal, match="core_away"):
            await asked
        with pytest.raises(refusal, match="core_away"):
            await ask(at.line)


@every_call
async def test_a_core_that_does_not_answer_is_given_up(
    ask: Callable[[Line], Awaitable[object]], refusal: type[Exception]
) -> None:
    async with connected(Till(), seconds=0.05) as at:
        with pytest.raises(refusal, match="core_away"):
            await ask(at.line)
        # And the answer, when it comes after all, is nobody's.
        at.till.answers.set()
        assert await FarIntake(at.line).store(NOTICE, product="", received_at=NOW) == Stored(7)


async def test_a_call_may_take_the_core_longer_or_shorter_than_others() -> None:
    async with connected(Till(), seconds=0.05) as at:
        longer = asyncio.create_task(
            at.line.ask(lambda call: Store(call, NOTICE, "", NOW), Found, seconds=60)
        )
        with pytest.raises(InboxUnavailable):
            await store(at.line)  # which has its time, and ends
        assert not longer.done()
        with pytest.raises(CoreAway):
            await at.line.ask(lambda call: Store(call, NOTICE, "", NOW), Found, seconds=0)
        at.till.answers.set()
        assert (await longer).payment_id == 7


async def test_no_more_calls_are_made_than_the_core_takes() -> None:
    async with connected(Till()) as at:
        asked = [asyncio.ensure_future(store(at.line)) for _ in range(CALLS_MAX)]
        await until(lambda: len(at.till.heard) == CALLS_MAX)
        with pytest.raises(InboxUnavailable):
            await store(at.line)
        at.till.answers.set()
        assert set(await asyncio.gather(*asked)) == {Stored(7)}


async def test_a_line_that_is_full_takes_nothing_on() -> None:
    async with connected(answering()) as at:
        at.line.wire.pause_writing()
        with pytest.raises(InboxUnavailable):
            await store(at.line)
        FarSequencer(at.line).bump(1)
        at.line.wire.resume_writing()
        FarSequencer(at.line).bump(2)
        assert await store(at.line) == Stored(7)
        assert at.till.heard[0] == 2


async def test_the_cores_state_is_known_while_it_is_news() -> None:
    async with connected(answering()) as at:
        view = FarSequencer(at.line)
        await until(lambda: at.line.state.started)
        assert (view.running, view.waiting) == (True, 3)
        assert (view.estimated_wait, view.per_second) == (0.5, 100.0)
        at.desk.leave(1)
        await at.line.lost.wait()
        assert at.line.state == UNKNOWN
        assert not view.running
        assert math.isinf(view.estimated_wait)


async def test_a_core_that_falls_silent_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "STALE_SECONDS", 0.0)
    async with connected(answering()) as at:
        await store(at.line)
        assert at.line.state == UNKNOWN


async def test_the_welcome_holds_what_a_front_needs_and_no_secret_of_the_cores() -> None:
    async with connected(answering()) as at:
        welcome = await at.line.welcomed()
        assert (welcome.front, welcome.port) == (1, 8080)
        assert welcome.config.server.connections_max == 2_048
        assert welcome.config.keys.passphrase == ""
        assert welcome.config.sms.api_key == ""
        assert welcome.config.webhooks.passphrase == ""


async def test_a_core_that_goes_before_it_speaks_is_said_so() -> None:
    line = Line(body_bytes_max=1_024)
    line.wire.connection_lost(None)
    with pytest.raises(CoreAway):
        await line.welcomed()
    with pytest.raises(CoreAway):
        await line.ask(AskPage, Page)


async def heard_instead(at: Connected, frame: Failed | Kept) -> None:
    """Let the line hear this as the answer to its first call."""
    at.till.answers.clear()
    asked = asyncio.ensure_future(store(at.line))
    await until(lambda: bool(at.till.heard))
    at.line._heard(frame)
    await asked


@pytest.mark.parametrize("frame", [Failed(1, "no_such_code", {}), Kept(1)])
async def test_an_answer_of_no_known_kind_is_no_yes(frame: Failed | Kept) -> None:
    async with connected(Till()) as at:
        with pytest.raises(InboxUnavailable):
            await heard_instead(at, frame)


async def test_one_that_asks_for_too_much_is_hung_up_on() -> None:
    async with connected(Till()) as at:
        for number in range(30_000):
            at.line.wire.send(Store(number, NOTICE, "", NOW))
        async with asyncio.timeout(20):
            await at.line.lost.wait()


async def test_the_page_holds_what_the_front_has_counted() -> None:
    async with connected(answering()) as at:
        at.line.wire.send(Serving())
        text = (await lines.page(at.line)).decode()
        assert "stima_fronts 1.0" in text
        assert "stima_callback_seconds" in text
