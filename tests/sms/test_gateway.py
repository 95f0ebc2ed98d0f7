"""What each answer of a carrier means for the message, over a real socket."""

import json
import socket
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.carrier import Carrier, carrier
from tests.conftest import SettableClock
from vending.config import Sms
from vending.outbox.message import Answer, Message, MessageKind
from vending.sms.gateway import AfricasTalkingGateway, FileGateway, gateway, read_answer

MESSAGE = Message(
    message_id=7,
    payment_id=3,
    kind=MessageKind.RECEIPT,
    recipient="+254708374149",
    body="Mtr:14123456783 Token:4718-2039-5561-0847-2296",
    due_at=datetime(2026, 7, 14, tzinfo=UTC),
)


def settings(url: str) -> Sms:
    return Sms(
        gateway="africastalking", url=url, username="utility", api_key="s3cret", sender="UTILITY"
    )


@pytest.fixture
async def fake() -> AsyncIterator[Carrier]:
    async with carrier() as running:
        yield running


@pytest.fixture
async def talking(fake: Carrier) -> AsyncIterator[AfricasTalkingGateway]:
    opened = AfricasTalkingGateway(settings(fake.url))
    yield opened
    await opened.close()


async def test_a_message_is_posted_as_the_carrier_documents_it(
    fake: Carrier, talking: AfricasTalkingGateway
) -> None:
    result = await talking.send(MESSAGE)
    assert (result.answer, result.gateway_id) == (Answer.ACCEPTED, "ATXid_1")
    assert fake.requests == [
        {
            "username": "utility",
            "to": "+254708374149",
            "message": MESSAGE.body,
            "from": "UTILITY",
            "bulkSMSMode": "1",
            "enqueue": "1",
        }
    ]
    assert fake.keys == ["s3cret"]


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (100, Answer.ACCEPTED), (101, Answer.ACCEPTED), (102, Answer.ACCEPTED),
        (401, Answer.REFUSED), (403, Answer.REFUSED), (404, Answer.REFUSED),
        (406, Answer.REFUSED), (409, Answer.REFUSED),
        (402, Answer.AWAY), (405, Answer.AWAY),
        (407, Answer.RETRY), (500, Answer.RETRY), (501, Answer.RETRY), (502, Answer.RETRY),
        (777, Answer.RETRY),
    ],
)  # fmt: skip
async def test_under_a_201_the_recipients_own_code_counts(
    fake: Carrier, talking: AfricasTalkingGateway, code: int, answer: Answer
) -> None:
    fake.script = [code]
    assert (await talking.send(MESSAGE)).answer is answer


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        (("http", 401), Answer.AWAY),
        (("http", 429), Answer.AWAY),
        (("http", 503), Answer.AWAY),
        (("http", 302), Answer.RETRY),
        (("http", 400), Answer.RETRY),
        (("body", ""), Answer.RETRY),
        (("body", "<html>"), Answer.RETRY),
        (("body", '{"SMSMessageData": {"Message": "InvalidSenderId"}}'), Answer.RETRY),
        (("body", '{"SMSMessageData": {"Recipients": [{"statusCode": "x"}]}}'), Answer.RETRY),
        ("drop", Answer.RETRY),
    ],
)
async def test_other_answers_are_tried_again(
    fake: Carrier, talking: AfricasTalkingGateway, step: object, answer: Answer
) -> None:
    fake.script = [step]
    result = await talking.send(MESSAGE)
    assert result.answer is answer
    assert result.failure


def test_a_code_written_as_text_is_read_all_the_same() -> None:
    body = b'{"SMSMessageData": {"Recipients": [{"statusCode": "101", "messageId": "ATXid_1"}]}}'
    assert read_answer(201, body).gateway_id == "ATXid_1"


def test_an_answer_that_is_no_text_is_tried_again() -> None:
    assert read_answer(201, b'{"SMSMessageData": {"Message": "\xff"}}').answer is Answer.RETRY


async def test_an_endless_answer_is_not_read_to_its_end(
    fake: Carrier, talking: AfricasTalkingGateway
) -> None:
    fake.script = [("body", " " * 5_000_000)]
    assert (await talking.send(MESSAGE)).answer is Answer.RETRY


async def test_no_answer_in_time_is_a_try_that_counts(fake: Carrier) -> None:
    fake.script = ["hang"]
    impatient = AfricasTalkingGateway(settings(fake.url), seconds_max=0.2)
    result = await impatient.send(MESSAGE)
    await impatient.close()
    assert result.answer is Answer.RETRY
    assert len(fake.requests) == 1


async def test_a_carrier_nobody_answers_for_is_away() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        lonely = AfricasTalkingGateway(settings(url))
        result = await lonely.send(MESSAGE)
        await lonely.close()
    assert result.answer is Answer.AWAY


async def test_the_file_gateway_writes_a_line_only_its_owner_can_read(
    tmp_path: Path, clock: SettableClock
) -> None:
    path = tmp_path / "new" / "sms.log"
    chosen = gateway(Sms(file=str(path)), clock=clock)
    assert isinstance(chosen, FileGateway)
    results = [await chosen.send(MESSAGE), await chosen.send(MESSAGE)]
    await chosen.close()
    assert [result.answer for result in results] == [Answer.ACCEPTED] * 2
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert first == second
    line = json.loads(first)
    assert line["recipient"] == MESSAGE.recipient
    assert line["body"] == MESSAGE.body
    assert line["message_id"] == 7
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_that_cannot_be_written_is_a_carrier_away(
    tmp_path: Path, clock: SettableClock
) -> None:
    result = await FileGateway(tmp_path, clock=clock).send(MESSAGE)
    assert (result.answer, result.failure) == (Answer.AWAY, "IsADirectoryError")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
async def test_a_full_disk_is_a_carrier_away(clock: SettableClock) -> None:
    result = await FileGateway(Path("/dev/full"), clock=clock).send(MESSAGE)
    assert (result.answer, result.failure) == (Answer.AWAY, "OSError")


def test_the_settings_choose_the_gateway(clock: SettableClock) -> None:
    assert isinstance(gateway(settings("http://x"), clock=clock), AfricasTalkingGateway)


def test_a_message_shows_neither_number_nor_text() -> None:
    assert "254708374149" not in repr(MESSAGE)
    assert "4718" not in repr(MESSAGE)
