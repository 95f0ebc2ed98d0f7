"""Selling over HTTP: one reference is one sale, and 200 or 201 always has its token."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from tests.api.conftest import Lease, Reply, Serve, Served
from tests.api.v1.conftest import Caller, settings
from tests.api.v1.stalls import Particular, a_market, busy
from tests.builders import a_meter, a_meter_number
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.market import PRICE, Market
from tests.yard import until
from vending.audit import auditor
from vending.audit.rule import Terms
from vending.meters import directory
from vending.postgres.pool import Connection
from vending.vendors.credentials import Issued

_references = count(1)

QUICK = {"Prefer": "wait=25"}


@pytest.fixture
async def market(
    db: Connection,
    database: Database,
    office: Connection,
    acme_key: Issued,
    bolt_key: Issued,
    clock: SettableClock,
) -> AsyncIterator[Market]:
    assert acme_key.secret != bolt_key.secret
    async with a_market(db, database, office, clock) as market:
        await market.deposit(100 * PRICE)
        await market.deposit(10 * PRICE, "bolt")
        yield market


@pytest.fixture
async def vendors_api(serve: Serve, database: Database, market: Market) -> AsyncIterator[Served]:
    """Serve the API to acme and bolt, who can sell."""
    async with serve(sequencer=market.lane.sequencer, **settings(database)) as served:
        yield served


@pytest.fixture
async def meter(market: Market) -> str:
    return (await market.yard.meter()).meter_number


def a_sale(of: str | None, **members: Any) -> dict[str, Any]:
    """Return the body of a sale of KSh 500, its reference new unless it is given."""
    given = {
        "reference": f"H{next(_references):06d}", "meter": of, "outlet": "Kisumu-1",
        "amount_minor": 50_000,
    } | members  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def refused(reply: Reply, status: int, code: str, *, money: str = "not_taken") -> None:
    assert (reply.status, reply.json["code"]) == (status, code), reply.body
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["money_state"] == money


async def sell(caller: Caller, body: object, **more: Any) -> Reply:
    return await caller.post("/v1/sales", body, headers=QUICK, **more)


async def test_a_sale_is_answered_with_its_token_and_again_for_ever(
    acme: Caller, market: Market, meter: str, clock: SettableClock
) -> None:
    body = a_sale(meter, till="7")
    made = await sell(acme, body)
    assert made.status == 201, made.body
    told = made.json
    assert len(told["token"]) == 20
    assert sum(line["amount_minor"] for line in told["lines"]) == 50_000
    assert (told["status"], told["money_state"]) == ("sold", "taken")
    assert (told["outlet"], told["till"], told["copies"]) == ("Kisumu-1", "7", 0)
    assert made.headers["Location"] == f"/v1/sales/{body['reference']}"
    clock.advance(days=400)
    again = await sell(acme, body)
    assert (again.status, again.json) == (200, told)
    found = await acme.get(made.headers["Location"])
    assert (found.status, found.json) == (200, told)
    assert await market.balance() == 99 * PRICE


async def test_the_reference_may_be_the_idempotency_key(acme: Caller, meter: str) -> None:
    body = a_sale(meter, reference=None)
    made = await acme.post("/v1/sales", body, headers={"Idempotency-Key": '"till-1:17"'})
    assert (made.status, made.json["reference"]) == (201, "till-1:17")
    bare = await acme.post("/v1/sales", body, headers={"Idempotency-Key": "till-1:17"})
    assert (bare.status, bare.json["token"]) == (200, made.json["token"])
    both = {**body, "reference": "till-1:17"}
    agreed = await acme.post("/v1/sales", both, headers={"Idempotency-Key": "till-1:17"})
    assert agreed.status == 200
    other = await acme.post("/v1/sales", both, headers={"Idempotency-Key": "till-1:18"})
    refused(other, 400, "request_invalid")
    refused(await acme.post("/v1/sales", body), 400, "request_invalid")
    spaced = await acme.post("/v1/sales", body, headers={"Idempotency-Key": "a b"})
    refused(spaced, 400, "request_invalid")


async def test_fifty_copies_of_a_request_at_once_are_one_token(
    acme: Caller, market: Market, meter: str
) -> None:
    body = a_sale(meter)
    replies = await asyncio.gather(*(_let_in(acme, body) for _ in range(50)))
    assert sorted({reply.status for reply in replies}) == [200, 201]
    assert sum(reply.status == 201 for reply in replies) == 1
    assert len({reply.json["token"] for reply in replies}) == 1
    assert await market.balance() == 99 * PRICE


async def test_two_hundred_sales_at_once_on_a_float_for_ten_are_ten(
    bolt: Caller, market: Market, meter: str
) -> None:
    bodies = [a_sale(meter, confirm=True) for _ in range(200)]
    replies = await asyncio.gather(*(_until_answered(bolt, body) for body in bodies))
    sold = [reply for reply in replies if reply.status == 201]
    assert len({reply.json["token"] for reply in sold}) == 10
    for reply in replies:
        if reply.status != 201:
            refused(reply, 422, "float_insufficient")
            assert (reply.json["money_state"], reply.json["retry"]) == ("not_taken", "never")
    assert await market.balance("bolt") == 0
    assert await market.tokens() == 10


async def _let_in(caller: Caller, body: object) -> Reply:
    """Ask again for as long as the machine is too busy for anybody, and for no other reason."""
    while (reply := await sell(caller, body)).status == 503 and reply.json["code"] == "overloaded":
        await asyncio.sleep(0.05)
    return reply


async def _until_answered(caller: Caller, body: object) -> Reply:
    """Ask again by the same reference for as long as the answer says so."""
    while True:
        reply = await sell(caller, body)
        if reply.status not in (202, 429, 503):
            return reply
        await asyncio.sleep(0.05)


async def test_a_vendor_with_too_little_sells_by_the_same_reference_after_a_deposit(
    bolt: Caller, market: Market, meter: str
) -> None:
    body = a_sale(meter, amount_minor=11 * PRICE)
    refused(await sell(bolt, body), 422, "float_insufficient")
    told = await bolt.get(f"/v1/sales/{body['reference']}")
    refused(told, 422, "float_insufficient")
    await market.deposit(PRICE, "bolt")
    assert (await sell(bolt, body)).status == 201
    assert await market.balance("bolt") == 0


async def test_a_reference_with_other_facts_is_refused(acme: Caller, meter: str) -> None:
    body = a_sale(meter)
    assert (await sell(acme, body)).status == 201
    for change in (
        {"amount_minor": 50_100},
        {"till": "9"},
        {"amount_minor": None, "energy_wh": 100},
    ):
        other = {name: value for name, value in {**body, **change}.items() if value is not None}
        refused(await sell(acme, other), 422, "reference_reused")


# A slow sale.


async def test_a_sale_that_takes_longer_is_pending_and_then_found(
    acme: Caller, market: Market, meter: str
) -> None:
    body = a_sale(meter)
    place = f"/v1/sales/{body['reference']}"
    async with busy(market):
        slow = await acme.post("/v1/sales", body, headers={"Prefer": "respond-async, wait=0"})
        assert slow.status == 202
        assert slow.json == {
            "reference": body["reference"], "status": "pending", "money_state": "held"
        }  # fmt: skip
        assert (slow.headers["Location"], slow.headers["Retry-After"]) == (place, "1")
        again = await acme.get(place)
        assert (again.status, again.json) == (202, slow.json)
        copied = await acme.post(f"{place}/reprint")
        refused(copied, 409, "sale_pending", money="held")
        assert copied.json["retry"] == "same-reference"
        waiting = asyncio.create_task(sell(acme, body))
    made = await waiting
    assert made.status == 200  # it had been asked for before
    found = await acme.get(place)
    assert (found.status, found.json) == (200, made.json)


async def test_a_caller_who_hangs_up_finds_the_sale_by_its_reference(
    acme: Caller, market: Market, meter: str
) -> None:
    body = a_sale(meter)
    async with busy(market):
        gone = asyncio.create_task(sell(acme, body))
        await until(lambda: market.lane.sequencer.waiting == 2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    retried = await sell(acme, body)
    assert retried.status == 200
    assert await market.tokens() == 2  # and whoever kept the lane busy
    assert await market.balance() == 99 * PRICE


async def test_a_server_that_does_not_vend_says_so_and_to_ask_by_the_same_reference(
    serve: Serve, database: Database, market: Market, acme_key: Issued, meter: str
) -> None:
    async with serve(sequencer=Lease(), **settings(database)) as api:
        acme = Caller(api, "acme", acme_key.secret)
        reply = await sell(acme, a_sale(meter))
        truth = await acme.get("/v1/sales/never-was?bar=true")
        reversal = await acme.post("/v1/sales/never-was/reversal", {"reason": "typo"})
    for one in (reply, truth, reversal):
        refused(one, 503, "sale_unavailable", money="held")
        assert one.json["retry"] == "same-reference"
    assert await market.tokens() == 0


async def test_a_sale_that_would_wait_is_shed(
    serve: Serve, database: Database, acme_key: Issued, meter: str
) -> None:
    slow = Lease(estimated_wait=3.0)
    async with serve(sequencer=slow, **settings(database)) as api:
        reply = await sell(Caller(api, "acme", acme_key.secret), a_sale(meter))
    refused(reply, 503, "overloaded")
    assert int(reply.headers["Retry-After"]) > 3


async def test_a_vendor_that_asks_for_more_than_its_share_is_told_so(
    serve: Serve, database: Database, acme_key: Issued, bolt_key: Issued, meter: str
) -> None:
    busy_lane = Lease(estimated_wait=0.1, per_second=0.001)
    async with serve(sequencer=busy_lane, **settings(database)) as api:
        await sell(Caller(api, "bolt", bolt_key.secret), a_sale(meter))
        greedy = Caller(api, "acme", acme_key.secret)
        replies = [await sell(greedy, a_sale(meter)) for _ in range(100)]
    refused(replies[-1], 429, "share_exceeded")
    assert replies[-1].json["retry"] == "after"
    assert replies[0].json["code"] == "sale_unavailable"


# The truth, and references that are barred.


async def test_an_unknown_reference_is_barred_when_that_is_asked(
    acme: Caller, bolt: Caller, meter: str
) -> None:
    body = a_sale(meter)
    place = f"/v1/sales/{body['reference']}"
    refused(await acme.get(place), 404, "sale_unknown")
    refused(await acme.get(f"{place}?bar=true"), 410, "reference_barred")
    late = await sell(acme, body)
    refused(late, 410, "reference_barred")
    assert (late.json["retry"], late.json["money_state"]) == ("never", "not_taken")
    refused(await acme.get(place), 410, "reference_barred")
    assert (await sell(bolt, body)).status == 201


async def test_a_sale_is_not_barred_by_asking(acme: Caller, market: Market, meter: str) -> None:
    body = a_sale(meter)
    made = await sell(acme, body)
    truth = await acme.get(f"/v1/sales/{body['reference']}?bar=true")
    assert (truth.status, truth.json) == (200, made.json)
    assert await market.yard.db.fetchval("select count(*) from sale_barred") == 0


async def test_a_path_that_is_no_reference_is_unknown(acme: Caller) -> None:
    for text in ("a%20b", "x" * 65, "%C3%A9"):
        refused(await acme.get(f"/v1/sales/{text}?bar=true"), 404, "sale_unknown")


async def test_two_vendors_cross_references_and_see_their_own(
    acme: Caller, bolt: Caller, market: Market, meter: str
) -> None:
    body = a_sale(meter)
    place = f"/v1/sales/{body['reference']}"
    ours = await sell(acme, body)
    refused(await bolt.get(place), 404, "sale_unknown")
    refused(await bolt.post(f"{place}/reprint"), 404, "sale_unknown")
    theirs = await sell(bolt, body)
    assert theirs.status == 201
    assert theirs.json["token"] != ours.json["token"]
    assert (await acme.get(place)).json["token"] == ours.json["token"]
    assert (await market.balance(), await market.balance("bolt")) == (99 * PRICE, 9 * PRICE)
    quoted = await acme.post("/v1/quotes", {"meter": meter, "amount_minor": 70_000})
    refused(await bolt.get(quoted.headers["Location"]), 404, "quote_unknown")
    stolen = a_sale(None, quote=quoted.json["quote"], amount_minor=None)
    refused(await sell(bolt, stolen), 404, "quote_unknown")


# Quotes and units.


async def test_a_quote_is_sold_to_the_cent(acme: Caller, meter: str, clock: SettableClock) -> None:
    quoted = await acme.post(
        "/v1/quotes", {"meter": f"{meter[:5]} {meter[5:]}", "energy_wh": 9_900}
    )
    assert quoted.status == 201, quoted.body
    assert quoted.json["energy_wh"] >= 9_900
    shown = await acme.get(quoted.headers["Location"])
    assert (shown.status, shown.json) == (200, quoted.json)
    clock.advance(minutes=4)
    made = await sell(acme, a_sale(None, quote=quoted.json["quote"], amount_minor=None))
    assert made.status == 201, made.body
    for member in ("meter", "amount_minor", "energy_wh", "lines", "tariff_version"):
        assert made.json[member] == quoted.json[member]


async def test_a_quote_that_has_expired_or_never_was_sells_nothing(
    acme: Caller, meter: str, clock: SettableClock
) -> None:
    quoted = (await acme.post("/v1/quotes", {"meter": meter, "amount_minor": 50_000})).json
    clock.advance(minutes=5)
    body = a_sale(None, quote=quoted["quote"], amount_minor=None)
    refused(await sell(acme, body), 409, "quote_expired")
    refused(await sell(acme, {**body, "quote": "qt_1"}), 404, "quote_unknown")
    refused(await sell(acme, {**body, "quote": "nonsense"}), 404, "quote_unknown")


async def test_a_quote_whose_price_has_changed_sells_nothing(
    acme: Caller, market: Market, meter: str
) -> None:
    quoted = (await acme.post("/v1/quotes", {"meter": meter, "amount_minor": 50_000})).json
    await market.yard.db.execute(
        "update meter_state set month = 202611, fees_paid_through = 202611,"
        " month_energy_wh = 500000, one_month_ago_wh = 900000, two_months_ago_wh = 900000,"
        " three_months_ago_wh = 900000 where meter_number = $1",
        meter,
    )
    changed = await sell(acme, a_sale(meter, quote=quoted["quote"], amount_minor=None))
    refused(changed, 409, "price_changed")
    assert await market.balance() == 100 * PRICE


async def test_a_meter_blocked_after_its_quote_buys_nothing(
    acme: Caller, market: Market, meter: str
) -> None:
    quoted = (await acme.post("/v1/quotes", {"meter": meter, "amount_minor": 50_000})).json
    await directory.block(market.app, meter, now=market.yard.clock())
    body = a_sale(meter, quote=quoted["quote"], amount_minor=None)
    refused(await sell(acme, body), 422, "meter_blocked")
    refused(
        await acme.post("/v1/quotes", {"meter": meter, "amount_minor": 50_000}),
        422,
        "meter_blocked",
    )


async def test_units_cost_the_smallest_sum(acme: Caller, meter: str) -> None:
    made = await sell(acme, a_sale(meter, amount_minor=None, energy_wh=20_000))
    assert made.status == 201
    assert made.json["energy_wh"] >= 20_000
    odd = await sell(acme, a_sale(meter, amount_minor=None, energy_wh=20_050))
    refused(odd, 400, "request_invalid")


# What is not sold.


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"meter": "01234"}, 422, "meter_number_malformed"),
        ({"meter": a_meter_number(99_999_999)}, 422, "meter_unknown"),
        ({"amount_minor": 1}, 422, "amount_too_small"),
        ({"amount_minor": 100_000_000_000}, 422, "amount_too_large"),
        ({"amount_minor": None}, 400, "sale_amount_missing"),
        ({"energy_wh": 100}, 400, "sale_amount_missing"),
        ({"meter": None}, 400, "meter_missing"),
        ({"amount_minor": 0}, 400, "request_invalid"),
        ({"amount_minor": 1.5}, 400, "request_invalid"),
        ({"outlet": "a/b"}, 400, "request_invalid"),
        ({"colour": "red"}, 400, "request_invalid"),
    ],
    ids=str,
)
async def test_what_cannot_be_sold_is_refused_and_holds_nothing(
    acme: Caller, market: Market, meter: str, change: dict[str, Any], status: int, code: str
) -> None:
    reply = await sell(acme, a_sale(meter, **change))
    refused(reply, status, code)
    assert (reply.json["money_state"], reply.json["retry"]) == ("not_taken", "never")
    assert await market.balance() == 100 * PRICE
    assert await market.yard.db.fetchval("select count(*) from payment") == 0


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"status": "removed"}, "meter_removed"),
        ({"tariff": "NO-SUCH"}, "tariff_unknown"),
        ({"tariff_category": "XX"}, "tariff_category_unknown"),
        ({"tid_base": 35}, "identifiers_exhausted"),
        ({"sgc": "999999"}, "key_missing"),
        ({"key_type": 1}, "key_unfit"),
        ({"ken": 1}, "key_expired"),
    ],
    ids=str,
)
async def test_a_meter_whose_record_is_in_the_way_buys_nothing(
    acme: Caller, market: Market, record: dict[str, Any], code: str
) -> None:
    meter = a_meter(**record)
    await directory.register(market.yard.db, meter, now=market.yard.clock())
    refused(await sell(acme, a_sale(meter.meter_number)), 422, code)
    assert await market.balance() == 100 * PRICE


async def test_a_token_that_cannot_be_made_is_not_sold(
    acme: Caller, market: Market, meter: str
) -> None:
    assert isinstance(market.diary, Particular)
    market.diary.unloved.add(meter)
    refused(await sell(acme, a_sale(meter)), 422, "token_refused")
    assert await market.balance() == 100 * PRICE


async def test_the_same_again_at_once_must_be_confirmed(
    acme: Caller, market: Market, meter: str
) -> None:
    first = a_sale(meter)
    assert (await sell(acme, first)).status == 201
    again = a_sale(meter)
    suspected = await sell(acme, again)
    refused(suspected, 409, "duplicate_suspected")
    assert first["reference"] in suspected.json["detail"]
    assert (await sell(acme, {**again, "confirm": True})).status == 201
    assert await market.balance() == 98 * PRICE


# Look-ups.


async def test_a_look_up_tells_what_a_clerk_must_know(
    acme: Caller, market: Market, meter: str
) -> None:
    seen = (await acme.get(f"/v1/meters/{meter}")).json
    assert (seen["meter"], seen["can_vend"], seen["why_not"]) == (meter, True, None)
    assert seen["minimum_minor"] < seen["maximum_minor"]
    assert 1_000 < seen["kwh_minor"] < 10_000
    assert (seen["arrears_minor"], seen["arrears"], seen["currency"]) == (0, [], "KES")
    assert (seen["name"], seen["free_wh"]) == (None, None)
    await market.yard.db.execute(
        "update meter set customer_name = 'Jane Wanjiku', free_month_wh = 50000"
    )
    whose = await acme.get(f"/v1/meters/{meter}")
    assert (whose.json["name"], whose.json["free_wh"]) == ("J*** W******", 50_000)
    assert "Wanjiku" not in str(whose)
    await directory.block(market.app, meter, now=market.yard.clock())
    blocked = (await acme.get(f"/v1/meters/{meter}")).json
    assert (blocked["can_vend"], blocked["why_not"]) == (False, "meter_blocked")
    refused(await acme.get("/v1/meters/123"), 422, "meter_number_malformed")
    refused(await acme.get(f"/v1/meters/{a_meter_number(99_999_999)}"), 422, "meter_unknown")


# Copies and reversals.


async def test_copies_are_the_same_digits_and_are_counted(acme: Caller, meter: str) -> None:
    body = a_sale(meter)
    made = (await sell(acme, body)).json
    place = f"/v1/sales/{body['reference']}"
    copies = [(await acme.post(f"{place}/reprint")).json for _ in range(2)]
    assert [(one["copy"], one["copies"]) for one in copies] == [(1, 1), (2, 2)]
    assert {one["token"] for one in copies} == {made["token"]}
    found = (await acme.get(place)).json
    assert (found["copy"], found["copies"]) == (0, 2)


async def test_a_receipt_has_so_many_copies_and_no_more(
    serve: Serve, database: Database, market: Market, acme: Caller, meter: str
) -> None:
    facts = settings(database, copies_max=1)
    async with serve(sequencer=market.lane.sequencer, **facts) as served:
        strict = Caller(served, "acme", acme.key)
        body = a_sale(meter)
        made = (await sell(strict, body)).json
        place = f"/v1/sales/{body['reference']}"
        assert (await strict.post(f"{place}/reprint")).status == 200
        told = await strict.post(f"{place}/reprint")
        refused(told, 409, "reprints_exhausted", money="taken")
        found = (await strict.get(place)).json
        assert (found["token"], found["copies"]) == (made["token"], 1)


async def test_a_sale_that_is_not_made_is_withdrawn(
    acme: Caller, market: Market, meter: str
) -> None:
    body = a_sale(meter)
    place = f"/v1/sales/{body['reference']}"
    async with busy(market):
        waiting = asyncio.create_task(sell(acme, body))
        await until(lambda: market.lane.sequencer.waiting == 2)
        asked = asyncio.create_task(acme.post(f"{place}/reversal", {"reason": "wrong meter"}))
        await until(lambda: market.lane.sequencer.waiting == 3)
    withdrawn = await asked
    assert withdrawn.status == 200
    assert (withdrawn.json["status"], withdrawn.json["money_state"]) == ("withdrawn", "not_taken")
    refused(await waiting, 410, "reference_barred")
    refused(await sell(acme, body), 410, "reference_barred")
    assert await market.balance() == 100 * PRICE


async def test_a_sale_whose_token_is_out_becomes_a_dispute(
    acme: Caller, market: Market, meter: str
) -> None:
    body = a_sale(meter)
    await sell(acme, body)
    place = f"/v1/sales/{body['reference']}/reversal"
    first = await acme.post(place, {"reason": "wrong meter"})
    again = await acme.post(place, {"reason": "still wrong"})
    assert (first.status, again.status) == (202, 202)
    assert first.json == again.json
    told = first.json
    assert (told["status"], told["money_state"], told["reason"]) == (
        "disputed", "taken", "wrong meter"
    )  # fmt: skip
    assert told["dispute"].startswith("dsp_")
    assert await market.balance() == 99 * PRICE


async def test_what_vendors_sold_passes_the_audit(
    acme: Caller, bolt: Caller, market: Market, meter: str, clock: SettableClock
) -> None:
    quoted = (await acme.post("/v1/quotes", {"meter": meter, "amount_minor": 50_000})).json
    for caller, body in (
        (acme, a_sale(None, quote=quoted["quote"], amount_minor=None)),
        (bolt, a_sale(meter)),
        (acme, a_sale(meter, amount_minor=None, energy_wh=5_000)),
    ):
        assert (await sell(caller, body)).status == 201
        await caller.post(f"/v1/sales/{body['reference']}/reprint")
        await caller.post(f"/v1/sales/{body['reference']}/reversal", {"reason": "test"})
    await acme.get("/v1/sales/never-was?bar=true")
    terms = Terms(
        decided_before=clock(),
        paid_at_future=timedelta(minutes=5),
        paid_at_past=timedelta(days=30),
    )
    found = [one async for one in auditor.examine(market.yard.db, terms)]
    assert [one.rule.name for one in found if not one.holds] == []
