"""The simulated carrier answers as Africa's Talking does, and shows what reached the phones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import SettableClock
from tests.simulation.listener import listening
from vending.simulation.sms_carrier import (
    Manner,
    Mood,
    SmsCarrier,
    meter_in,
    tenths_in,
    tokens_in,
)

NUMBER = "+254700000001"
RECEIPT = (
    "Mtr:14123456783 Token:4718-2039-5561-0847-2296 Date:20260714 18:22 Units:15.9 "
    "Amt:500.00 TknAmt:309.12 OtherCharges:190.88"
)


@pytest.fixture
async def carrier(clock: SettableClock) -> SmsCarrier:
    return SmsCarrier(clock=clock)


@asynccontextmanager
async def sending(carrier: SmsCarrier) -> AsyncIterator["Sender"]:
    app = web.Application()
    app.add_routes(carrier.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session:
        yield Sender(session, f"http://127.0.0.1:{runner.addresses[0][1]}", carrier)
    await carrier.close()
    await runner.cleanup()


class Sender:
    """A utility that sends texts."""

    def __init__(self, session: aiohttp.ClientSession, url: str, carrier: SmsCarrier) -> None:
        self.session, self.url, self.carrier = session, url, carrier

    async def send(
        self, to: str = NUMBER, message: str = RECEIPT, *, key: str | None = None, within: float = 5
    ) -> tuple[int, list[dict[str, object]]]:
        async with self.session.post(
            f"{self.url}/version1/messaging",
            data={"username": "utility", "to": to, "message": message, "from": "UTILITY"},
            headers={"apiKey": key or self.carrier.api_key, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=within),
        ) as response:
            if response.content_type != "application/json":
                return response.status, []
            told = await response.json()
            return response.status, told["SMSMessageData"]["Recipients"]


async def test_a_text_reaches_the_phone_and_the_answer_names_it(carrier: SmsCarrier) -> None:
    async with sending(carrier) as sender:
        status, (recipient,) = await sender.send()
    assert status == 201
    assert recipient["statusCode"] == 101
    assert recipient["number"] == NUMBER
    (text,) = carrier.screen(NUMBER)
    assert (text.body, text.sender) == (RECEIPT, "UTILITY")
    assert text.message_id == recipient["messageId"]


async def test_several_numbers_each_get_the_text(carrier: SmsCarrier) -> None:
    async with sending(carrier) as sender:
        _, recipients = await sender.send(to=f"{NUMBER},+254700000002")
    assert [one["number"] for one in recipients] == [NUMBER, "+254700000002"]
    assert set(carrier.screens()) == {NUMBER, "+254700000002"}


async def test_a_refused_number_is_a_201_with_the_reason_inside(carrier: SmsCarrier) -> None:
    carrier.mood = Mood(manner="refuses", status_code=405)
    async with sending(carrier) as sender:
        status, (recipient,) = await sender.send()
    assert (status, recipient["statusCode"]) == (201, 405)
    assert recipient["status"] == "InsufficientBalance"
    assert carrier.screen(NUMBER) == []


async def test_a_carrier_in_trouble_answers_a_server_fault(carrier: SmsCarrier) -> None:
    carrier.mood = Mood(manner="fails", http_status=502)
    async with sending(carrier) as sender:
        assert await sender.send() == (502, [])
    assert carrier.screen(NUMBER) == []


@pytest.mark.parametrize(("manner", "texts"), [("hangs", 0), ("loses_answer", 1)])
async def test_an_answer_that_never_comes_may_still_have_been_a_text(
    carrier: SmsCarrier, manner: Manner, texts: int
) -> None:
    carrier.mood = Mood(manner=manner)
    async with sending(carrier) as sender:
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            await sender.send(within=0.2)
    assert len(carrier.screen(NUMBER)) == texts


async def test_a_carrier_can_deliver_twice(carrier: SmsCarrier) -> None:
    carrier.mood = Mood(manner="duplicates")
    async with sending(carrier) as sender:
        await sender.send()
    assert len(carrier.screen(NUMBER)) == 2


async def test_wrong_credentials_and_empty_messages_are_turned_away(carrier: SmsCarrier) -> None:
    async with sending(carrier) as sender:
        assert await sender.send(key="somebody else's") == (401, [])
        assert await sender.send(message="") == (400, [])
    assert carrier.screens() == {}


@pytest.mark.parametrize(("report", "reason"), [("Success", []), ("Failed", ["DeliveryFailure"])])
async def test_a_delivery_report_follows(
    carrier: SmsCarrier, report: str, reason: list[str]
) -> None:
    async with listening() as utility, sending(carrier) as sender:
        carrier.report_url = f"{utility.url}/sms/secret/report"
        carrier.mood = Mood(report=report)  # type: ignore[arg-type]
        _, (recipient,) = await sender.send()
        async with asyncio.timeout(5):
            await utility.arrived.wait()
    form = parse_qs(utility.heard[0].body.decode())
    assert form["id"] == [recipient["messageId"]]
    assert form["status"] == [report]
    assert form["phoneNumber"] == [NUMBER]
    assert form.get("failureReason", []) == reason


async def test_a_report_nobody_takes_is_lost_without_harm(carrier: SmsCarrier) -> None:
    async with listening() as gone:
        pass
    carrier.report_url = f"{gone.url}/sms/secret/report"
    async with sending(carrier) as sender:
        assert (await sender.send())[0] == 201


async def test_one_can_wait_for_a_text_with_certain_words(carrier: SmsCarrier) -> None:
    async with sending(carrier) as sender:
        waiting = asyncio.create_task(carrier.texts(NUMBER, containing="Token:"))
        await sender.send(message="Welcome")
        await sender.send()
        async with asyncio.timeout(5):
            (text,) = await waiting
    assert text.body == RECEIPT


def test_a_customer_finds_token_meter_and_units_in_a_receipt() -> None:
    assert tokens_in(RECEIPT) == ["47182039556108472296"]
    assert meter_in(RECEIPT) == "14123456783"
    assert tenths_in(RECEIPT) == 159


@pytest.mark.parametrize(
    "text",
    [
        "Paid KSh500.00, receipt TGE7Q2M4ZK. No token: no meter has that number.",
        "Call 0700000001 or +254700000001",
        "4718-2039-5561-0847",
        "",
    ],
)
def test_a_text_without_token_has_none(text: str) -> None:
    assert tokens_in(text) == []


def test_several_tokens_are_read_in_their_order() -> None:
    text = "1) 1111 1111 1111 1111 1111 2) 2222-2222-2222-2222-2222 3) 33333333333333333333"
    assert tokens_in(text) == ["1" * 20, "2" * 20, "3" * 20]


def test_a_long_meter_number_is_read_beside_a_token() -> None:
    assert meter_in("Tokeni:4718-2039-5561-0847-2296 Mita:3140123456789 Uniti:0.1") == (
        "3140123456789"
    )
