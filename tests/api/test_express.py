"""The short way on a real socket: what takes it, what does not, and that nobody can tell."""

import asyncio
import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.typing import EventDict

from tests.api.conftest import METER, SECRET, Lease, NoticingClock, Serve, Served, paid, settings
from tests.api.test_listener import LIVE, Raw, calling, status
from tests.conftest import SettableClock
from tests.fronts.desks import answering, connected
from vending import metrics
from vending.api import app, listener
from vending.api.guard import State
from vending.fronts import front
from vending.operators import mpesa
from vending.payments.outcomes import Outcome
from vending.payments.payment import OutcomeKind, Payment
from vending.postgres.pool import Connection

TILL = "a till's own secret"
CARRIER = "ussd-0123456789abcdef"
SALES: dict[str, Any] = {"secret": TILL, "allowed_addresses": ["127.0.0.1", "198.51.100.0/24"]}
SMS: dict[str, Any] = {"callback_secret": CARRIER, "callback_addresses": ["127.0.0.1"]}

_CHANGING = re.compile(rb"Date: [^\r]*|[0-9a-f]{16}|Retry-After: [0-9]+|Content-Length: [0-9]+")


def confirmation(body: bytes | None = None, *headers: str, secret: str = SECRET) -> bytes:
    body = json.dumps(paid()).encode() if body is None else body
    return _posted(f"/op/saf/{secret}/v2/confirm", body, *headers)


def sale(reference: str = "till-1", *headers: str, secret: str = TILL, **facts: object) -> bytes:
    asked = {"reference": reference, "meter": METER, "amount_minor": 50_000} | facts
    said = f"Authorization: Bearer {secret}"
    return _posted("/internal/sales", json.dumps(asked).encode(), said, *headers)


def _posted(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def unchanging(answer: bytes) -> bytes:
    """Return an answer without its date, its trace and the spread of Retry-After."""
    return _CHANGING.sub(b"", answer)


def by_framework(api: Served) -> bool:
    """Whether aiohttp has seen anything of the connections that are open."""
    return any(guard._inner is not None for guard in api.listener._guards)


@dataclass(slots=True)
class Seller(Lease):
    """A sequencer whose sales a test makes."""

    asked: "asyncio.Queue[Payment]" = field(default_factory=asyncio.Queue)
    made: asyncio.Event = field(default_factory=asyncio.Event)
    sold: list[str] = field(default_factory=list)

    async def sell(self, payment: Payment, **_terms: object) -> Outcome:
        """Sell once it is let."""
        self.asked.put_nowait(payment)
        await self.made.wait()
        self.sold.append(payment.notice.transaction_id)
        return Outcome(
            payment_id=payment.payment_id, kind=OutcomeKind.TOKEN_ISSUED,
            decided_at=datetime(2026, 11, 22, tzinfo=UTC), token="12345678901234567890",
            meter_number=METER, energy_wh=15_900, tariff="KE-DC", tariff_version="1",
            lines=(("energy", 50_000),),
        )  # fmt: skip


def a_seller() -> Seller:
    """Return one that sells at once."""
    seller = Seller()
    seller.made.set()
    return seller


@pytest.fixture(params=[True, False], ids=["express", "framework"])
def express(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# What takes it


async def test_plain_requests_do_not_reach_the_framework_unless_it_is_set_so(
    serve: Serve, db: Connection, *, express: bool
) -> None:
    started = serve(server={"express": express}, sales=SALES, sequencer=a_seller())
    async with started as api, calling(api) as raw:
        await raw.send(confirmation())
        acknowledged = await raw.response()
        await raw.send(sale())
        sold = await raw.response()
        assert by_framework(api) is not express
    assert status(acknowledged) == 200
    assert acknowledged.endswith(mpesa.confirmation_reply())
    assert status(sold) == 201
    assert json.loads(sold.partition(b"\r\n\r\n")[2])["token"] == "12345678901234567890"
    assert await db.fetchval("select count(*) from payment") == 1


SAME: dict[str, tuple[bytes, int, str]] = {
    "a wrong secret": (confirmation(secret="wrong"), 404, "path_unknown"),
    "a till's wrong secret": (sale(secret="wrong"), 404, "path_unknown"),
    "not JSON": (confirmation(b"hello"), 400, "notice_malformed"),
    "no body": (confirmation(b""), 400, "notice_malformed"),
    "no sale": (sale(amount_minor=0), 400, "sale_malformed"),
    "a large body": (confirmation(b" " * 70_000), 413, "body_too_large"),
    "a compressed body": (confirmation(None, "Content-Encoding: gzip"), 415, "body_encoded"),
    "another method": (confirmation().replace(b"POST", b"PUT"), 405, "method_unknown"),
}


@pytest.mark.parametrize(("sent", "code", "said"), SAME.values(), ids=list(SAME))
async def test_refusals_are_the_same_and_so_are_their_lines_and_counts(
    serve: Serve, db: Connection, lines: list[EventDict], sent: bytes, code: int, said: str
) -> None:
    told = []
    for express in (True, False):
        await db.execute("truncate quarantine")
        lines.clear()
        counter = metrics.requests_refused.labels(code=said)
        before = counter.value
        started = serve(server={"express": express}, sales=SALES)
        async with started as api, calling(api) as raw:
            await raw.send(sent)
            answer = await raw.response()
        assert status(answer) == code
        assert f'"{said}"'.encode() in answer
        counted = counter.value - before
        kept = await db.fetchval("select count(*) from quarantine")
        seen = [{name: one for name, one in line.items() if name != "trace_id"} for line in lines]
        assert SECRET not in str(seen)
        told.append((unchanging(answer), counted, kept, seen))
    assert told[0] == told[1]
    assert told[0][1] == 1


@pytest.mark.parametrize(
    ("forwarded", "code"),
    [
        ("198.51.100.7", 201),
        ("203.0.113.9, 198.51.100.7", 201),
        ("198.51.100.7, 203.0.113.9", 403),
        ("nonsense", 403),
        (None, 403),
    ],
)
async def test_behind_our_own_proxy_the_caller_is_who_it_says(
    serve: Serve, forwarded: str | None, code: int
) -> None:
    headers = [f"X-Forwarded-For: {forwarded}"] if forwarded is not None else []
    behind = {"trusted_proxies": ["127.0.0.1"]}
    sales = {**SALES, "allowed_addresses": ["198.51.100.0/24"]}
    async with serve(server=behind, sales=sales, sequencer=a_seller()) as api, calling(api) as raw:
        await raw.send(sale("till-1", *headers))
        assert status(await raw.response()) == code
        assert not by_framework(api)


async def test_nobody_elses_proxy_is_believed(serve: Serve) -> None:
    sales = {**SALES, "allowed_addresses": ["198.51.100.0/24"]}
    async with serve(sales=sales, sequencer=a_seller()) as api, calling(api) as raw:
        await raw.send(sale("till-1", "X-Forwarded-For: 198.51.100.7"))
        assert status(await raw.response()) == 403
        assert not by_framework(api)


@pytest.mark.parametrize(
    ("wait", "reason"), [(math.inf, "not_vending"), (0.3, "queue")], ids=["stopped", "busy"]
)
async def test_a_sale_that_would_wait_too_long_is_told_when_to_come_back(
    serve: Serve, lines: list[EventDict], wait: float, reason: str, *, express: bool
) -> None:
    shed = metrics.shed.labels("p2", reason)
    before = shed.value
    started = serve(server={"express": express}, sales=SALES, sequencer=Lease(estimated_wait=wait))
    async with started as api, calling(api) as raw:
        await raw.send(sale())
        answer = await raw.response()
        await raw.send(confirmation())
        assert status(await raw.response()) == 200
        assert by_framework(api) is not express
    assert status(answer) == 503
    assert b'"overloaded"' in answer
    after = re.search(rb"\r\nRetry-After: ([0-9]+)\r\n", answer)
    assert after is not None
    assert 1 <= int(after[1]) <= 60
    assert shed.value == before + 1
    assert [(line["code"], line["route"]) for line in lines] == [("overloaded", "/internal/sales")]


async def test_a_caller_over_its_share_is_refused_the_same_way(
    serve: Serve, *, express: bool
) -> None:
    busy = a_seller()
    busy.estimated_wait, busy.per_second = 0.1, 1.0
    server = {"express": express, "trusted_proxies": ["127.0.0.1"]}
    async with serve(server=server, sales=SALES, sequencer=busy) as api, calling(api) as raw:

        async def asks(number: int, who: str) -> bytes:
            await raw.send(sale(f"till-{number}", f"X-Forwarded-For: {who}"))
            return await raw.response()

        assert status(await asks(0, "198.51.100.1")) == 201
        greedy = [await asks(number, "198.51.100.2") for number in range(1, 9)]
        assert status(await asks(9, "198.51.100.1")) == 201
        assert by_framework(api) is not express
    refused = [answer for answer in greedy if status(answer) == 429]
    assert len(refused) >= 2
    assert all(b"\r\nRetry-After: " in answer for answer in refused)
    assert [*busy.sold] == ["till-0", *(f"till-{n}" for n in range(1, 9 - len(refused))), "till-9"]


async def test_a_refused_caller_is_not_taken_for_one_who_still_sends(
    serve: Serve, *, express: bool
) -> None:
    """It has sent all of its body, though nobody has read it."""
    async with serve(server={"express": express}) as api, calling(api) as raw:
        await raw.send(confirmation(secret="wrong"))
        assert status(await raw.response()) == 404
        assert [guard.state for guard in api.listener._guards] == [State.IDLE]
        assert by_framework(api) is not express


# A head that was read before


async def test_a_head_that_is_known_says_nothing_of_another_body(
    serve: Serve, db: Connection
) -> None:
    first, second, third = (
        confirmation(json.dumps(paid(TransID=f"TGE7Q2M4Z{n}")).encode()) for n in range(3)
    )
    async with serve() as api:
        async with calling(api) as raw:
            await raw.send(first)
            assert status(await raw.response()) == 200
            await raw.send(second)
            assert status(await raw.response()) == 200
            assert not by_framework(api)
            await raw.send(third[:-20])  # the head is known; the body is not all there
            guard = await _only_guard(api)
            while guard._inner is None:
                await asyncio.sleep(0)
            await raw.send(third[-20:])
            assert status(await raw.response()) == 200
        async with calling(api) as raw:
            await raw.send(first + second)
            assert [status(await raw.response()) for _ in range(2)] == [200, 200]
    assert await db.fetchval("select count(*) from payment") == 3


# What shares a connection


async def test_a_connection_may_ask_for_anything_in_turn(
    serve: Serve, db: Connection, *, express: bool
) -> None:
    form = b"sessionId=1&phoneNumber=%2B254708374149&text=&serviceCode=%2A1%23"
    dialled = _posted(f"/ussd/{CARRIER}", form, "Content-Type: application/x-www-form-urlencoded")
    paying = [confirmation(json.dumps(paid(TransID=f"TGE7Q2M4Z{n}")).encode()) for n in range(4)]
    asked = [LIVE, paying[0], dialled, paying[1], LIVE, sale(), paying[2], LIVE, paying[3]]
    started = serve(server={"express": express}, sales=SALES, sms=SMS, sequencer=a_seller())
    answers = []
    async with started as api, calling(api) as raw:
        for each in asked:
            await raw.send(each)
            answers.append(await raw.response())
    assert [status(answer) for answer in answers] == [200, 200, 200, 200, 200, 201, 200, 200, 200]
    assert b"CON " in answers[2] or b"END " in answers[2]
    assert all(answers[n].endswith(mpesa.confirmation_reply()) for n in (1, 3, 6, 8))
    assert await db.fetchval("select count(*) from payment") == 4


@pytest.mark.parametrize("number", [1, 2, 5])
async def test_requests_in_one_piece_are_answered_in_order(
    serve: Serve, db: Connection, number: int, *, express: bool
) -> None:
    sent = b"".join(
        confirmation(json.dumps(paid(TransID=f"TGE7Q2M4Z{n}")).encode()) + sale(f"till-{n}")
        for n in range(number)
    )
    started = serve(server={"express": express}, sales=SALES, sequencer=a_seller())
    async with started as api, calling(api) as raw:
        await raw.send(sent)
        answers = [await raw.response() for _ in range(2 * number)]
    assert [status(answer) for answer in answers] == [200, 201] * number
    told = [json.loads(one.partition(b"\r\n\r\n")[2])["reference"] for one in answers[1::2]]
    assert told == [f"till-{n}" for n in range(number)]
    assert await db.fetchval("select count(*) from payment") == number


async def test_what_comes_before_the_answer_waits_for_it(serve: Serve) -> None:
    seller = Seller()
    async with serve(sales=SALES, sequencer=seller) as api, calling(api) as raw:
        await raw.send(sale("till-1"))
        await seller.asked.get()
        whole = sale("till-2")
        await raw.send(whole[:50])
        await raw.send(whole[50:] + sale("till-3"))
        assert seller.asked.empty()
        seller.made.set()
        answers = [await raw.response() for _ in range(3)]
    assert [status(answer) for answer in answers] == [201, 201, 201]
    assert seller.sold == ["till-1", "till-2", "till-3"]


async def test_a_request_cut_anywhere_is_the_same_request(serve: Serve, db: Connection) -> None:
    whole = confirmation()
    async with serve() as api:
        for at in range(1, len(whole), 7):
            await db.execute("truncate payment")
            async with calling(api) as raw:
                await raw.send(whole[:at])
                guard = await _only_guard(api)
                while guard._inner is None:
                    await asyncio.sleep(0)
                await raw.send(whole[at:] + LIVE)
                assert status(await raw.response()) == 200
                assert status(await raw.response()) == 200
            assert await db.fetchval("select count(*) from payment") == 1


async def _only_guard(api: Served) -> Any:
    while True:
        open_ones = [
            guard
            for guard in api.listener._guards
            if guard.transport is not None and not guard.transport.is_closing()
        ]
        if len(open_ones) == 1:
            return open_ones[0]
        await asyncio.sleep(0)


# Who does not wait


async def test_what_was_asked_is_done_though_the_caller_has_gone(serve: Serve) -> None:
    seller = Seller()
    async with serve(sales=SALES, sequencer=seller) as api:
        async with calling(api) as raw:
            await raw.send(sale("till-1"))
            await seller.asked.get()
        while api.listener.connections:
            await asyncio.sleep(0)
        seller.made.set()
        while not seller.sold:
            await asyncio.sleep(0)
    assert seller.sold == ["till-1"]


async def test_money_is_kept_though_the_operator_has_gone(
    serve: Serve, clock: SettableClock, db: Connection
) -> None:
    noticing = NoticingClock(clock)
    async with serve(inbox_runs=False, now=noticing) as api:
        async with calling(api) as raw:
            await raw.send(confirmation())
            await noticing.asked.wait()
            assert not by_framework(api)
        while api.listener.connections:
            await asyncio.sleep(0)
        api.start_inbox()
        assert (await api.stored.get()).notice.transaction_id == "TGE7Q2M4ZK"
    assert await db.fetchval("select count(*) from payment") == 1


# Stopping


async def test_a_sale_in_hand_is_answered_before_the_server_stops(serve: Serve) -> None:
    seller = Seller()
    async with (
        serve(sales=SALES, sequencer=seller) as api,
        calling(api) as busy,
        calling(api) as idle,
    ):
        await idle.send(confirmation())
        assert status(await idle.response()) == 200
        await busy.send(sale("till-1"))
        await seller.asked.get()
        await busy.send(sale("till-2"))
        closing = asyncio.create_task(api.listener.close())
        assert await idle.until_closed() == b""
        seller.made.set()
        answers = await busy.until_closed()
        await closing
    assert answers.count(b"HTTP/1.1 201 Created") == 1
    assert b'"till-1"' in answers
    assert seller.sold == ["till-1"]


async def test_a_server_that_stops_does_not_wait_for_ever(serve: Serve) -> None:
    seller = Seller()
    started = serve(server={"drain_seconds": 1}, sales=SALES, sequencer=seller)
    async with started as api, calling(api) as raw:
        await raw.send(sale("till-1"))
        await seller.asked.get()
        await api.listener.close()
        assert await raw.until_closed() == b""
        seller.made.set()


# Front processes


async def test_a_front_answers_the_short_way_from_the_core() -> None:
    till = answering(estimated_wait=0.0)
    async with connected(till) as both:
        doors = front.doors(both.line, settings(sales=SALES), None)  # type: ignore[arg-type]
        door = await listener.listen(app.build(doors), doors.config.server)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        raw = Raw(reader, writer)
        while both.line.state.estimated_wait != 0.0:
            await asyncio.sleep(0)
        await raw.send(confirmation())
        acknowledged = await raw.response()
        await raw.send(sale())
        sold = await raw.response()
        assert [guard._inner for guard in door._guards] == [None]
        raw.abort()
        await door.close()
    assert acknowledged.endswith(mpesa.confirmation_reply())
    assert status(sold) == 201
    assert len(till.heard) == 2
