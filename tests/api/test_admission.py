"""Who is let in under overload: held money always, others by their class, and fairly."""

import asyncio
import math
import random
import resource
from collections import Counter
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.api.conftest import METER, Lease, Reply, Serve, Served, paid
from tests.api.test_callbacks import problem
from vending import metrics
from vending.api import admission, listener
from vending.api.admission import (
    SHUT_SECONDS,
    TOLD_ALIKE_SECONDS,
    Admission,
    Overloaded,
    RequestClass,
    ShareExceeded,
)
from vending.api.shares import BURST_MIN, CALLERS_MAX, Shares
from vending.payments.payment import Payment

TILL = "a till's own secret"
CARRIER = "0123456789abcdef"
SALES: dict[str, Any] = {
    "secret": TILL,
    "allowed_addresses": [f"127.0.0.{n}" for n in range(1, 30)],
}
SMS: dict[str, Any] = {"callback_secret": CARRIER, "callback_addresses": ["127.0.0.1"]}


class Watch:
    """A steady clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shed(reason: str) -> float:
    return float(metrics.shed.labels(RequestClass.INTERACTIVE.value, reason).value)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def a_gate(lease: Lease, watch: Watch, *, readers: int = 2) -> Admission:
    return Admission(lease, readers=readers, chance=random.Random(1), seconds=watch)


async def sell(api: Served, *, length: int = 2) -> Reply:
    """Ask for a sale whose body never comes: only a decision before it can answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
    writer.write(
        f"POST /internal/sales HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TILL}\r\n"
        f"Content-Length: {length}\r\n\r\n".encode()
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers["Content-Length"]))
    writer.transport.abort()
    return Reply(int(head[0].split()[1]), headers, body)


async def test_a_sale_that_would_wait_too_long_is_refused_before_its_body_is_read(
    serve: Serve,
) -> None:
    async with serve(sales=SALES, sequencer=Lease(estimated_wait=0.3)) as api:
        shed = metrics.shed.labels("p2", "queue").value
        told = problem(await sell(api), status=503, code="overloaded", money_state="none")
        assert told["retry"]
        assert metrics.shed.labels("p2", "queue").value == shed + 1


async def test_a_sale_is_refused_at_once_while_nothing_is_vended(serve: Serve) -> None:
    async with serve(sales=SALES, sequencer=Lease(estimated_wait=math.inf)) as api:
        reply = await sell(api)
        problem(reply, status=503, code="overloaded")
        assert 1 <= int(reply.headers["Retry-After"]) <= admission.RETRY_AFTER_SECONDS_MAX


async def test_confirmations_and_validations_are_never_shed(serve: Serve, meters: None) -> None:
    lease = Lease(estimated_wait=60.0, waiting=10**6)
    async with serve(sales=SALES, sequencer=lease) as api:
        assert (await api.post("confirm", paid())).status == 200
        assert (await api.post("check", paid(BillRefNumber=METER))).json["ResultCode"] == "0"
        assert (await api.get("/health/live")).status == 200


async def test_retry_after_grows_with_the_wait_is_bounded_and_not_the_same_for_all(
    watch: Watch,
) -> None:
    for wait, least, most in ((0.3, 2, 4), (20, 21, 23), (10**9, 60, 60)):
        gate = a_gate(Lease(estimated_wait=wait), watch)
        told = set()
        for _ in range(50):
            watch.now += TOLD_ALIKE_SECONDS
            with pytest.raises(Overloaded) as refused:
                gate.sale("10.0.0.1")
            told.add(refused.value.facts["retry_after_seconds"])
        assert told == set(range(least, most + 1))


def test_callers_refused_together_hear_the_same_and_each_is_counted(watch: Watch) -> None:
    lease = Lease(estimated_wait=1.0)
    gate = a_gate(lease, watch)
    before = shed("queue")
    first = gate.overload()
    assert first is not None
    assert gate.overload() is first
    watch.now += TOLD_ALIKE_SECONDS
    assert gate.overload() is not first
    assert shed("queue") == before + 3
    lease.estimated_wait = 0.2
    watch.now += SHUT_SECONDS
    assert gate.overload() is None


def test_a_door_that_is_shut_is_not_looked_at_again_for_a_moment(watch: Watch) -> None:
    lease = Lease(estimated_wait=1.0)
    gate = a_gate(lease, watch)
    before = shed("queue")
    first = gate.overload()
    lease.estimated_wait = 0.0
    assert gate.overload() is first
    watch.now += SHUT_SECONDS
    assert gate.overload() is None
    assert shed("queue") == before + 2


def test_the_quicker_a_lane_is_the_more_its_answers_count(watch: Watch) -> None:
    assert a_gate(Lease(estimated_wait=0.21, per_second=200.0), watch).overload() is None
    assert a_gate(Lease(estimated_wait=0.21, per_second=10_000.0), watch).overload() is not None


def test_the_time_that_a_request_waits_unread_counts(watch: Watch) -> None:
    gate = a_gate(Lease(estimated_wait=0.2), watch)
    assert gate.overload() is None
    gate.lag = 0.1
    assert gate.overload() is not None


async def test_a_caller_at_a_hundred_times_its_rate_costs_nobody_else_a_sale(watch: Watch) -> None:
    """Twenty callers, sales for ten times as many: the one that floods is cut to its share."""
    lease = Lease(estimated_wait=0.1, per_second=2_000.0)
    gate = a_gate(lease, watch)
    order = [f"10.0.0.{n}" for n in range(20)] + ["10.0.0.0"] * 99
    random.Random(7).shuffle(order)
    let_in: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for _ in range(400):  # 20 seconds: each of the others asks for 20 a second, a fifth of its part
        for caller in order:
            watch.now += 0.05 / len(order)
            asked[caller] += 1
            await asyncio.sleep(0)
            try:
                gate.sale(caller)
            except ShareExceeded:
                continue
            let_in[caller] += 1
    for caller in set(order) - {"10.0.0.0"}:
        assert let_in[caller] == asked[caller]
    part = 20 * 2_000 / 20
    assert 0.8 * part < let_in["10.0.0.0"] < 1.3 * part


async def test_what_others_do_not_use_is_lent_while_nobody_waits(watch: Watch) -> None:
    gate = a_gate(Lease(estimated_wait=0.01, per_second=100.0), watch)
    for caller in ("quiet", "busy"):
        gate.sale(caller)
    for _ in range(5_000):
        watch.now += 0.0001
        await asyncio.sleep(0)
        gate.sale("busy")


async def test_requests_that_come_together_do_not_all_find_the_queue_empty(watch: Watch) -> None:
    """What is lent is a twentieth of a second's work, however many ask in one turn of the loop."""
    gate = a_gate(Lease(estimated_wait=0.0, per_second=200.0), watch)
    gate.sale("quiet")
    with pytest.raises(ShareExceeded):
        for _ in range(10 + int(BURST_MIN)):
            gate.sale("busy")
    for _ in range(5):
        gate.sale("quiet")
    await asyncio.sleep(0)
    gate.sale("busy")


async def test_one_caller_alone_has_the_whole(watch: Watch) -> None:
    gate = a_gate(Lease(estimated_wait=0.2, per_second=10.0), watch)
    for _ in range(1_000):
        gate.sale("alone")


async def test_a_caller_that_fills_the_queue_is_not_alone_because_others_are_turned_away(
    watch: Watch,
) -> None:
    lease = Lease(estimated_wait=0.3, per_second=10.0)
    gate = a_gate(lease, watch)
    with pytest.raises(Overloaded):
        gate.sale("quiet")
    lease.estimated_wait = 0.2
    with pytest.raises(ShareExceeded):
        for _ in range(1 + int(BURST_MIN)):
            await asyncio.sleep(0)
            gate.sale("busy")
    await asyncio.sleep(0)
    gate.sale("quiet")


def test_callers_that_are_remembered_are_bounded() -> None:
    shares = Shares()
    for n in range(CALLERS_MAX + 50):
        assert shares.take(str(n), per_second=1e9, now=n / 1000, lent=False)
    assert len(shares._buckets) == CALLERS_MAX


async def test_a_caller_over_its_share_is_told_429(serve: Serve) -> None:
    lease = Lease(estimated_wait=0.1, per_second=1.0)
    async with (
        serve(sales=SALES, sequencer=lease) as api,
        serve(sales=SALES, sequencer=lease, source="127.0.0.2") as other,
    ):
        url = f"{api.url}/internal/sales"
        headers = {"Authorization": f"Bearer {TILL}"}
        async with other.session.post(url, data=b"{}", headers=headers) as answer:
            assert answer.status == 400  # let in, and asked nothing sensible
        statuses, body = [], b""
        for _ in range(10):
            async with api.session.post(url, data=b"{}", headers=headers) as answer:
                body = await answer.read()
                statuses.append(answer.status)
        assert statuses[0] == 400
        assert statuses[-1] == 429
        assert msgspec.json.decode(body)["code"] == "share_exceeded"


@pytest.mark.parametrize("express", [True, False])
async def test_a_till_that_is_turned_away_at_the_door_has_its_share(
    serve: Serve, *, express: bool
) -> None:
    lease = Lease(estimated_wait=0.3, per_second=1.0)
    server = {"express": express, "trusted_proxies": ["127.0.0.3"]}
    async with serve(sales=SALES, sequencer=lease, server=server) as api:
        url = f"{api.url}/internal/sales"

        async def asked(source: str, **more: str) -> int:
            headers = {"Authorization": f"Bearer {TILL}", **more}
            connector = aiohttp.TCPConnector(local_addr=(source, 0))
            async with (
                aiohttp.ClientSession(connector=connector) as till,
                till.post(url, data=b"{}", headers=headers) as answer,
            ):
                return answer.status

        async def floods() -> set[int]:
            await asyncio.sleep(SHUT_SECONDS)
            lease.estimated_wait = 0.2
            return {await asked("127.0.0.1") for _ in range(10)}

        assert await asked("127.0.0.1") == 503
        assert await asked("127.0.0.99") == 503  # no till: an address that may not sell
        assert await asked("127.0.0.3", **{"X-Forwarded-For": "127.0.0.1"}) == 503
        assert await floods() == {400}  # let in, alone, and asking nothing sensible
        lease.estimated_wait = 0.3
        assert await asked("127.0.0.3", **{"X-Forwarded-For": "127.0.0.2"}) == 503
        assert 429 in await floods()


def test_look_ups_are_let_in_while_a_connection_is_free_and_refused_by_class(
    watch: Watch,
) -> None:
    gate = a_gate(Lease(), watch, readers=1)
    with gate.look_up(RequestClass.LOOK_UP):
        watch.now += 4.0  # a slow one: the average is half a second now
    with gate.look_up(RequestClass.INTERACTIVE):  # a connection is free
        with gate.look_up(RequestClass.INTERACTIVE):
            pass
        with pytest.raises(Overloaded) as refused, gate.look_up(RequestClass.LOOK_UP):
            pass
        assert refused.value.facts["why"] == "readers"


def test_a_late_loop_sheds_reports_first_and_then_enquiries(watch: Watch) -> None:
    gate = a_gate(Lease(), watch)
    gate.lag = 0.2
    with pytest.raises(Overloaded), gate.look_up(RequestClass.LOOK_UP):
        pass
    with gate.look_up(RequestClass.INTERACTIVE):
        gate.lag = 1.0
    with pytest.raises(Overloaded), gate.look_up(RequestClass.INTERACTIVE):
        pass


async def test_how_late_the_loop_is_is_measured(serve: Serve) -> None:
    async with serve():
        metrics.loop_lag_seconds.set(-1)
        while metrics.loop_lag_seconds._value.get() < 0:
            await asyncio.sleep(0.01)


async def test_whoever_dials_under_overload_gets_a_busy_screen_and_a_report_a_503(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "LOOP_LAG_SECONDS", {"p2": -1.0, "p3": -1.0})
    async with serve(sms=SMS) as api:
        hop = {"sessionId": "1", "phoneNumber": "+254708374149", "text": "1"}
        async with api.session.post(f"{api.url}/ussd/{CARRIER}", data=hop) as answer:
            assert answer.status == 200
            assert (await answer.text()).startswith("END We are very busy now.")
        async with api.session.post(f"{api.url}/sms/{CARRIER}/report", data={}) as answer:
            assert answer.status == 503


async def test_whoever_dials_while_the_database_is_frozen_hears_so_in_seconds(
    serve: Serve, frozen_dsn: str
) -> None:
    async with serve(readers_dsn=frozen_dsn, sms=SMS) as api, asyncio.timeout(20):
        hop = {"sessionId": "1", "phoneNumber": "+254708374149", "text": "1"}
        async with api.session.post(f"{api.url}/ussd/{CARRIER}", data=hop) as answer:
            assert (await answer.text()).startswith("END We cannot look this up now.")


async def test_descriptors_are_kept_back_for_what_is_no_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        resource, "getrlimit", lambda _what: (listener.DESCRIPTORS_RESERVED + 10,) * 2
    )
    monkeypatch.setattr(resource, "setrlimit", lambda _what, _limits: None)
    async with serve() as api:
        assert api.listener.connections_max == 10
        assert (await api.get("/health/live")).status == 200


async def test_a_direct_sale_that_is_let_in_reaches_the_sequencer(serve: Serve) -> None:
    class Asked(Lease):
        sold: list[Payment]

        async def sell(self, payment: Payment, **_terms: object) -> Any:
            self.sold = [payment]
            return await super().sell(payment)

    lease = Asked()
    async with serve(sales=SALES, sequencer=lease) as api:
        asked = {"reference": "r", "meter": METER, "amount_minor": 500}
        headers = {"Authorization": f"Bearer {TILL}"}
        url = f"{api.url}/internal/sales"
        async with api.session.post(url, json=asked, headers=headers) as answer:
            assert answer.status == 503
    assert len(lease.sold) == 1
