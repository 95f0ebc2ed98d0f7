"""The sandbox over HTTP: every magic meter, the live rules, two worlds that never meet."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import sts_core

from tests.api.conftest import Lease, Serve, Served
from tests.api.v1.conftest import Caller, settings
from tests.api.v1.test_sales import a_sale, refused, sell
from tests.builders import a_meter, a_meter_number
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendor_api_page import EXAMPLES
from vending.api.v1.table import OPERATIONS
from vending.meters import directory
from vending.postgres.pool import Connection
from vending.sandbox import tokens
from vending.sandbox.meters import EARLIER, MAGIC, NOBODYS
from vending.tokens.keys import ring_of
from vending.vendors import credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals

METERS = {magic.name: magic.number for magic in MAGIC}
ACTIVE = METERS["active"]


@pytest.fixture
async def test_key(
    acme_key: Issued, office: Connection, seals: Seals, clock: SettableClock
) -> Issued:
    assert acme_key.secret
    return await credentials.issue_key(
        office, "acme", Grant(sandbox=True), seals=seals, who="Jane", now=clock()
    )


@pytest.fixture
async def vendors_api(
    serve: Serve, database: Database, test_key: Issued, bolt_key: Issued
) -> AsyncIterator[Served]:
    """Serve where nothing vends: the sandbox needs no lease, no keys and no tariffs."""
    assert test_key.secret != bolt_key.secret
    vends_not = Lease(running=False, estimated_wait=float("inf"))
    async with serve(sequencer=vends_not, **settings(database)) as served:
        yield served


@pytest.fixture
async def dev(vendors_api: Served, test_key: Issued) -> Caller:
    """Call as acme's developer."""
    return Caller(vendors_api, "acme", test_key.secret)


async def test_a_sale_in_the_sandbox_says_so_and_keeps_the_rules_of_the_live_one(
    dev: Caller, clock: SettableClock
) -> None:
    body = a_sale(ACTIVE, till="7")
    made = await sell(dev, body)
    assert made.status == 201, made.body
    assert made.json["sandbox"] is True
    assert (len(made.json["token"]), made.json["token"].isdigit()) == (20, True)
    assert sum(line["amount_minor"] for line in made.json["lines"]) == 50_000
    clock.advance(days=400)
    again = await sell(dev, body)
    assert (again.status, again.json) == (200, made.json)
    found = await dev.get(made.headers["Location"])
    assert (found.status, found.json) == (200, made.json)
    refused(await sell(dev, {**body, "amount_minor": 60_000}), 422, "reference_reused")


async def test_fifty_copies_of_a_request_in_the_sandbox_are_one_token(dev: Caller) -> None:
    body = a_sale(ACTIVE)
    replies = await asyncio.gather(*(sell(dev, body) for _ in range(50)))
    assert sum(reply.status == 201 for reply in replies) == 1
    assert len({reply.json["token"] for reply in replies}) == 1


async def test_a_server_that_has_forgotten_gives_the_same_digits(
    dev: Caller, serve: Serve, database: Database
) -> None:
    body = a_sale(ACTIVE)
    made = await sell(dev, body)
    async with serve(**settings(database)) as other:
        again = await sell(Caller(other, "acme", dev.key), body)
    assert (again.status, again.json["token"]) == (201, made.json["token"])


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("blocked", 422, "meter_blocked"),
        ("removed", 422, "meter_removed"),
        ("below minimum", 422, "amount_too_small"),
        ("key expired", 422, "key_expired"),
        ("insufficient float", 422, "float_insufficient"),
        ("duplicate", 409, "duplicate_suspected"),
    ],
)
async def test_a_magic_meter_refuses_as_it_is_documented(
    dev: Caller, name: str, status: int, code: str
) -> None:
    body = a_sale(METERS[name])
    refused(await sell(dev, body), status, code)
    refused(await dev.get(f"/v1/sales/{body['reference']}"), status, code)
    refused(await dev.post(f"/v1/sales/{body['reference']}/reprint"), status, code)


async def test_the_examples_of_the_description_for_people_can_be_pasted(dev: Caller) -> None:
    assert (await dev.post("/v1/quotes", EXAMPLES["makeQuote"])).status == 201
    assert (await dev.post("/v1/sales", EXAMPLES["sell"])).status == 201


async def test_a_number_that_no_magic_meter_has_is_unknown(dev: Caller) -> None:
    reply = await sell(dev, a_sale(NOBODYS))
    refused(reply, 422, "meter_unknown")
    assert f"only its own meters, such as {MAGIC[0].number}" in reply.json["detail"]
    refused(await dev.get(f"/v1/meters/{NOBODYS}"), 422, "meter_unknown")
    refused(await dev.get("/v1/meters/123"), 422, "meter_number_malformed")


async def test_the_meter_with_a_minimum_sells_from_there_on(dev: Caller) -> None:
    seen = await dev.get(f"/v1/meters/{METERS['below minimum']}")
    minimum = seen.json["minimum_minor"]
    assert minimum == 100_000
    below = await sell(dev, a_sale(METERS["below minimum"], amount_minor=minimum - 1))
    refused(below, 422, "amount_too_small")
    assert below.json["facts"] == {"minimum_minor": minimum}
    made = await sell(dev, a_sale(METERS["below minimum"], amount_minor=minimum))
    assert made.status == 201


async def test_the_meter_in_arrears_pays_them_on_the_receipt(dev: Caller) -> None:
    seen = await dev.get(f"/v1/meters/{METERS['arrears']}")
    assert (seen.json["can_vend"], seen.json["arrears_minor"]) == (True, 1_250_000)
    made = await sell(dev, a_sale(METERS["arrears"]))
    lines = {line["code"]: line["amount_minor"] for line in made.json["lines"]}
    assert (lines["debt:arrears"], lines["debt:meter"]) == (15_000, 5_000)


async def test_a_slow_meter_is_pending_and_then_done(dev: Caller, clock: SettableClock) -> None:
    for name, seconds in (("slow", 3), ("very slow", 30)):
        body = a_sale(METERS[name])
        place = f"/v1/sales/{body['reference']}"
        slow = await dev.post("/v1/sales", body, headers={"Prefer": "wait=0"})
        assert (slow.status, slow.json["status"]) == (202, "pending")
        assert slow.headers["Retry-After"] == "1"
        refused(await dev.post(f"{place}/reprint"), 409, "sale_pending", money="held")
        clock.advance(seconds=seconds)
        found = await dev.get(place)
        assert (found.status, len(found.json["token"])) == (200, 20)
        assert (await sell(dev, body)).json == found.json


async def test_an_answer_that_is_lost_is_found_by_its_reference(dev: Caller) -> None:
    body = a_sale(METERS["time-out after issue"])
    with pytest.raises(aiohttp.ClientError):
        await sell(dev, body)
    found = await dev.get(f"/v1/sales/{body['reference']}")
    assert found.status == 200
    again = await sell(dev, body)
    assert (again.status, again.json) == (200, found.json)


async def test_what_is_down_sells_when_the_same_is_sent_again(dev: Caller) -> None:
    body = a_sale(METERS["biller down"])
    down = await sell(dev, body)
    refused(down, 503, "sale_unavailable", money="held")
    assert down.json["retry"] == "same-reference"
    assert int(down.headers["Retry-After"]) > 0
    refused(await dev.get(f"/v1/sales/{body['reference']}"), 404, "sale_unknown")
    assert (await sell(dev, body)).status == 201


async def test_a_duplicate_sells_once_it_is_confirmed(dev: Caller) -> None:
    body = a_sale(METERS["duplicate"])
    suspected = await sell(dev, body)
    assert f"earlier={EARLIER}" in suspected.json["detail"]
    earlier = await dev.get(f"/v1/sales/{EARLIER}")
    assert (earlier.status, earlier.json["meter"]) == (200, METERS["duplicate"])
    made = await sell(dev, {**body, "confirm": True})
    assert made.status == 201
    assert made.json["token"] != earlier.json["token"]


async def test_a_quote_of_the_sandbox_is_sold_to_the_cent(
    dev: Caller, clock: SettableClock
) -> None:
    wanted = {"meter": ACTIVE, "energy_wh": 9_900}
    quoted = await dev.post("/v1/quotes", wanted)
    assert quoted.status == 201, quoted.body
    shown = await dev.get(quoted.headers["Location"])
    assert (shown.status, shown.json) == (200, quoted.json)
    body = a_sale(None, quote=quoted.json["quote"], amount_minor=None)
    other = {**body, "meter": METERS["slow"]}
    refused(await sell(dev, other), 404, "quote_unknown")
    made = await sell(dev, body)
    for member in ("meter", "amount_minor", "energy_wh", "lines", "tariff_version"):
        assert made.json[member] == quoted.json[member]
    late = await dev.post("/v1/quotes", {"meter": ACTIVE, "amount_minor": 5_000})
    clock.advance(minutes=5)
    body = a_sale(None, quote=late.json["quote"], amount_minor=None)
    refused(await sell(dev, body), 409, "quote_expired")
    refused(await dev.get("/v1/quotes/qt_1"), 404, "quote_unknown")


async def test_references_are_barred_and_withdrawn_and_sales_disputed(dev: Caller) -> None:
    barred = a_sale(ACTIVE)
    place = f"/v1/sales/{barred['reference']}"
    refused(await dev.get(place), 404, "sale_unknown")
    refused(await dev.get(f"{place}?bar=true"), 410, "reference_barred")
    refused(await sell(dev, barred), 410, "reference_barred")
    refused(await dev.get(place), 410, "reference_barred")
    slow = a_sale(METERS["very slow"])
    place = f"/v1/sales/{slow['reference']}"
    await dev.post("/v1/sales", slow, headers={"Prefer": "wait=0"})
    withdrawn = await dev.post(f"{place}/reversal", {"reason": "left the shop"})
    assert (withdrawn.status, withdrawn.json["status"]) == (200, "withdrawn")
    refused(await dev.get(place), 410, "reference_barred")
    made = a_sale(ACTIVE)
    place = f"/v1/sales/{made['reference']}"
    await sell(dev, made)
    disputed = await dev.post(f"{place}/reversal", {"reason": "wrong meter"})
    assert (disputed.status, disputed.json["status"]) == (202, "disputed")
    again = await dev.post(f"{place}/reversal", {"reason": "still"})
    assert again.json == disputed.json
    assert (await dev.get(f"{place}?bar=true")).status == 200


async def test_copies_are_counted_in_the_sandbox(dev: Caller) -> None:
    body = a_sale(ACTIVE)
    made = await sell(dev, body)
    copied = await dev.post(f"/v1/sales/{body['reference']}/reprint")
    assert (copied.json["copy"], copied.json["token"]) == (1, made.json["token"])
    found = await dev.get(f"/v1/sales/{body['reference']}")
    assert (found.json["copies"], found.json["copy"]) == (1, 0)
    for _ in range(9):
        assert (await dev.post(f"/v1/sales/{body['reference']}/reprint")).status == 200
    spent = await dev.post(f"/v1/sales/{body['reference']}/reprint")
    refused(spent, 409, "reprints_exhausted", money="taken")


# Two worlds.


async def test_a_live_key_reaches_nothing_of_the_sandbox_nor_the_other_way_round(
    dev: Caller, acme: Caller, db: Connection, clock: SettableClock
) -> None:
    registered = a_meter(meter_number=a_meter_number(7_000_000))
    await directory.register(db, registered, now=clock())
    body = a_sale(ACTIVE)
    made = await sell(dev, body)
    quoted = await dev.post("/v1/quotes", {"meter": ACTIVE, "amount_minor": 5_000})
    for path in (made.headers["Location"], quoted.headers["Location"], f"/v1/meters/{ACTIVE}"):
        assert (await dev.get(path)).status == 200
        assert (await acme.get(path)).status in (404, 422)
    assert (await acme.get(f"/v1/meters/{registered.meter_number}")).status == 200
    refused(await dev.get(f"/v1/meters/{registered.meter_number}"), 422, "meter_unknown")
    refused(await sell(dev, a_sale(registered.meter_number)), 422, "meter_unknown")
    refused(await sell(acme, a_sale(registered.meter_number)), 503, "overloaded")


async def test_the_sandbox_writes_nothing(dev: Caller, db: Connection) -> None:
    names = await db.fetch(
        "select table_name from information_schema.tables where table_schema = 'public'"
        " and table_type = 'BASE TABLE' order by table_name"
    )

    async def rows() -> dict[str, int]:
        return {
            row["table_name"]: await db.fetchval(f'select count(*) from "{row["table_name"]}"')
            for row in names
        }

    before = await rows()
    body = a_sale(ACTIVE)
    place = f"/v1/sales/{body['reference']}"
    assert (await sell(dev, body)).status == 201
    await dev.post("/v1/quotes", {"meter": ACTIVE, "amount_minor": 5_000})
    await dev.post(f"{place}/reprint")
    await dev.post(f"{place}/reversal", {"reason": "wrong meter"})
    refused(await dev.get("/v1/sales/none?bar=true"), 410, "reference_barred")
    assert await rows() == before
    assert len(before) > 20


async def test_vendors_do_not_see_each_other_in_the_sandbox(
    dev: Caller, office: Connection, seals: Seals, clock: SettableClock
) -> None:
    issued = await credentials.issue_key(
        office, "bolt", Grant(sandbox=True), seals=seals, who="Jane", now=clock()
    )
    bolt = Caller(dev.api, "bolt", issued.secret)
    body = a_sale(ACTIVE)
    made = await sell(dev, body)
    async with asyncio.timeout(10):
        while (seen := await bolt.get(made.headers["Location"])).status == 401:
            await asyncio.sleep(0.05)
    refused(seen, 404, "sale_unknown")
    theirs = await sell(bolt, body)
    assert theirs.status == 201
    assert theirs.json["token"] != made.json["token"]


@pytest.mark.parametrize(
    "path", [one.path for one in OPERATIONS if one.method == "GET" and not one.sandbox]
)
async def test_the_sandbox_keeps_no_accounts(dev: Caller, path: str) -> None:
    refused(await dev.get(path.replace("{", "").replace("}", "")), 403, "sandbox_only")


async def test_the_sandbox_has_a_quota_of_its_own(
    serve: Serve, database: Database, test_key: Issued, acme_key: Issued
) -> None:
    async with serve(**settings(database, burst_quota=1)) as served:
        dev = Caller(served, "acme", test_key.secret)
        assert (await dev.get(f"/v1/meters/{ACTIVE}")).status == 200
        refused(await dev.get(f"/v1/meters/{ACTIVE}"), 429, "quota_exceeded")
        assert (await Caller(served, "acme", acme_key.secret).get("/v1/float")).status == 200


async def test_the_sandbox_is_the_first_to_be_sent_away(
    dev: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.api.admission.LOOP_LAG_SECONDS", {"p2": 3600.0, "p3": -1.0})
    refused(await sell(dev, a_sale(ACTIVE)), 503, "overloaded")


async def test_its_waiting_is_measured_apart(dev: Caller) -> None:
    await sell(dev, a_sale(ACTIVE))
    page = (await dev.api.get("/metrics")).body.decode()
    assert 'stima_vendor_request_seconds_count{operation="sandbox"}' in page


async def test_the_meter_whose_key_change_is_due_gets_its_codes_above_the_token(
    dev: Caller,
) -> None:
    number = METERS["key change due"]
    body = a_sale(number)
    made = await sell(dev, body)
    assert made.status == 201, made.body
    codes, token = made.json["key_change_codes"], made.json["token"]
    places = [made.body.index(digits.encode()) for digits in (*codes, token)]
    assert places == sorted(places)
    ring = ring_of(tokens.KEY, bytearray(tokens.PUBLIC_KEY))
    judge = sts_core.VirtualMeter.commission(
        ring, meter=number, ea=7, sgc=tokens.SGC, krn=tokens.KRN, ti=1
    )
    assert not judge.enter(token).accepted
    for code in codes:
        judge.enter(code)
    assert judge.enter(token).accepted
    place = made.headers["Location"]
    assert (await sell(dev, body)).json == (await dev.get(place)).json == made.json
    copy = await dev.post(f"{place}/reprint")
    assert (copy.json["key_change_codes"], copy.json["token"]) == (codes, token)
