"""The rest of the API by the client: look-up, shifts, deposits, statement, reversal, webhooks."""

import base64
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import vending_client
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.client.between import Between, Canned, Loss
from tests.client.conftest import Connect
from tests.conftest import SettableClock
from tests.vendors.market import PRICE, Market
from vending import client
from vending.client import (
    AnswerMalformed,
    ApiKey,
    DisputedSale,
    EventRefused,
    OutcomeUnknown,
    Refused,
    WithdrawnSale,
    values,
)
from vending.vendors.credentials import Issued

OPENAPI = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


async def test_a_meter_is_looked_up(acme: Any, meter: str) -> None:
    seen = await acme.look_up(meter)
    assert (seen.meter, seen.can_vend, seen.why_not) == (meter, True, None)
    with pytest.raises(Refused) as unknown:
        await acme.look_up("14000000001")
    assert unknown.value.code == "meter_unknown"


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a?b", "ü"])
async def test_a_name_is_never_taken_for_a_path(acme: Any, name: str) -> None:
    with pytest.raises(Refused) as refused:
        await acme.batch(name)
    assert refused.value.code == "shift_unknown"


async def test_a_shift_has_the_totals_of_its_sales(
    acme: Any, path: Between, meter: str, clock: SettableClock
) -> None:
    shift = await acme.open_batch(outlet="Kisumu-1", clerk="Achieng")
    clock.advance(minutes=1)
    await acme.sell("S1", meter=meter, amount_minor=PRICE, outlet="Kisumu-1")
    clock.advance(minutes=1)
    path.trouble.append(Loss.ANSWER)
    closed = await acme.close_batch(shift.batch)
    assert (closed.sales, closed.amount_minor) == (1, PRICE)
    assert await acme.batch(shift.batch) == closed
    assert [one.batch async for one in acme.batches()] == [shift.batch]


async def test_a_shift_that_may_be_open_is_not_opened_twice(acme: Any, path: Between) -> None:
    path.trouble.append(Loss.ANSWER)
    with pytest.raises(OutcomeUnknown):
        await acme.open_batch(outlet="Kisumu-1")
    assert len(path.seen) == 1
    assert [one.outlet async for one in acme.batches()] == ["Kisumu-1"]


async def test_a_slip_told_twice_is_one_deposit(acme: Any, path: Between) -> None:
    path.trouble.append(Loss.ANSWER)
    slip = {"bank": "kcb", "bank_reference": "FT77", "amount_minor": PRICE}
    made = await acme.propose_deposit(**slip)
    assert await acme.deposit(made.deposit) == made
    references = [one.bank_reference async for one in acme.deposits()]
    assert references.count("FT77") == 1


async def test_a_statement_is_given_line_by_line_over_its_pages(
    acme: Any, market: Market, meter: str, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.client.methods.PAGE", 2)
    for place in range(4):
        await acme.sell(f"S{place}", meter=meter, amount_minor=PRICE, confirm=True)
    clock.advance(minutes=10)
    page = await acme.statement_page(limit=2)
    assert (len(page.lines), page.more) == (2, True)
    lines = [line async for line in acme.statement()]
    assert [line.reference for line in lines if line.kind == "sale"] == ["S0", "S1", "S2", "S3"]
    assert sum(line.amount_minor for line in lines) == (await acme.read_float()).balance_minor
    assert await market.balance() == 96 * PRICE
    later = [line async for line in acme.statement(since=clock() + timedelta(hours=1))]
    assert later == []


async def test_copies_are_counted_and_a_sold_one_is_disputed(acme: Any, meter: str) -> None:
    sale = await acme.sell("S1", meter=meter, amount_minor=PRICE)
    copy = await acme.reprint("S1")
    assert (copy.token, copy.copy) == (sale.token, 1)
    case = await acme.reverse("S1", reason="wrong meter")
    assert isinstance(case, DisputedSale)
    assert (await acme.reverse("S1", reason="wrong meter")).dispute == case.dispute


async def test_a_sale_that_was_not_made_is_withdrawn(acme: Any) -> None:
    assert isinstance(await acme.reverse("S1", reason="left the queue"), WithdrawnSale)


async def test_commission_is_told(acme: Any) -> None:
    assert (await acme.commission()).earned_minor == 0


async def test_what_is_no_vendors_api_is_told_apart(
    connect: Connect, path: Between, acme_key: Issued
) -> None:
    other = connect(path.url + "/elsewhere", ApiKey(acme_key.secret))
    with pytest.raises((AnswerMalformed, Refused)):
        await other.read_float()
    path.trouble.append(Canned(status=302, body="go there"))
    with pytest.raises(AnswerMalformed):
        await connect(path.url, ApiKey(acme_key.secret)).read_float()


SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
BODY = b'{"type":"endpoint.test","timestamp":"2026-11-22T08:00:00Z","data":{"endpoint":"ep_1"}}'


def signed(body: bytes, clock: SettableClock) -> dict[str, str]:
    sent = str(int(clock().timestamp()))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"evt_1.{sent}.".encode() + body, "sha256")
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": sent,
        "Webhook-Signature": f"v1a,AAAA v1,{base64.b64encode(digest).decode()}",
    }


def test_an_event_of_the_utility_is_told_from_another(clock: SettableClock) -> None:
    headers = signed(BODY, clock)
    event = client.verify(SECRET, headers, BODY, now=clock())
    assert (event.id, event.type, event.data) == ("evt_1", "endpoint.test", {"endpoint": "ep_1"})
    broken: list[tuple[dict[str, str], bytes]] = [
        (headers, BODY.replace(b"ep_1", b"ep_2")),
        ({**headers, "Webhook-Id": "evt_2"}, BODY),
        ({**headers, "Webhook-Timestamp": "soon"}, BODY),
        ({**headers, "Webhook-Signature": "v1,*"}, BODY),
        ({"Webhook-Id": "evt_1"}, BODY),
        (signed(b"{}", clock), b"{}"),
    ]
    for given, body in broken:
        with pytest.raises(EventRefused):
            client.verify(SECRET, given, body, now=clock())
    with pytest.raises(EventRefused, match="five minutes"):
        client.verify(SECRET, headers, BODY, now=clock() + timedelta(minutes=6))


def test_an_event_is_told_by_a_public_key_alone(clock: SettableClock) -> None:
    private = Ed25519PrivateKey.generate()
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    sent = str(int(clock().timestamp()))
    signature = base64.b64encode(private.sign(f"evt_1.{sent}.".encode() + BODY)).decode()
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,AAAA v1a,{signature}",
    }
    assert client.verify(public, headers, BODY, now=clock()).id == "evt_1"
    with pytest.raises(EventRefused):
        client.verify(public, headers, BODY + b" ", now=clock())


def test_the_values_are_those_of_the_description() -> None:
    schemas = json.loads(OPENAPI.read_text())["components"]["schemas"]
    named = {"Meter": "MeterSeen", "Sale": "MadeSale"}
    kinds = [
        kind
        for kind in vars(values).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    ]
    assert len(kinds) > 15
    for kind in kinds:
        described = set(schemas[named.get(kind.__name__, kind.__name__)]["properties"])
        fields = {one.name: one.required for one in msgspec.structs.fields(kind)}
        assert described <= set(fields), kind
        assert {name for name, needed in fields.items() if needed} <= described, kind


def test_it_has_a_name_of_its_own() -> None:
    assert vending_client.__all__ == client.__all__
    assert vending_client.Client is client.Client
