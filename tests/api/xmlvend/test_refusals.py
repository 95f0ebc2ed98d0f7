"""Who is refused at /xmlvend and why, and what the till hears of a refusal made elsewhere."""

import asyncio
import json
from datetime import timedelta

import pytest

from tests.api.conftest import Serve
from tests.api.v1.conftest import Caller, settings
from tests.api.v1.stalls import Particular
from tests.api.v1.test_signatures import PUBLIC_KEYS, PUBLIC_URL, Signer
from tests.api.xmlvend.tills import STAMP, Till, Told, a_number, of_meter
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.market import PRICE, Market
from vending.vendors import access_tokens, credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals

THUMB = "a" * 43
CLIENT = "ClientIDAuthorisationEx"


async def a_token(
    market: Market, seals: Seals, clock: SettableClock, certificate: str | None = None
) -> str:
    """Return an access token of a client of acme's that has public keys."""
    client = await credentials.add_client(
        market.app, "acme", Grant(), key_set=PUBLIC_KEYS, seals=seals, who="J", now=clock()
    )
    return access_tokens.issue(
        client.credential, certificate=certificate, lifetime=timedelta(minutes=15), seals=seals,
        now=clock(),
    ).text  # fmt: skip


def bearer(shown: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {shown}"}


async def test_an_access_token_of_a_till_is_ours_and_has_not_expired(
    serve: Serve, database: Database, market: Market, acme_key: Issued, seals: Seals,
    clock: SettableClock,
) -> None:  # fmt: skip
    token = await a_token(market, seals, clock)
    async with serve(sequencer=market.lane.sequencer, **settings(database)) as served:
        till = Till(served, acme_key.secret)
        assert (await till.ask("vendorStatementReq", auth=bearer(token))).status == 200
        other = await till.ask("vendorStatementReq", auth=bearer("nobody.knows.this"))
        assert other.fault == (CLIENT, "access_token_invalid")
        clock.advance(minutes=16)
        late = await till.ask("vendorStatementReq", auth=bearer(token))
        assert late.fault == (CLIENT, "access_token_expired")


async def test_a_token_bound_to_a_certificate_needs_it_at_a_till_as_well(
    serve: Serve, database: Database, market: Market, acme_key: Issued, seals: Seals,
    clock: SettableClock,
) -> None:  # fmt: skip
    token = await a_token(market, seals, clock, certificate=THUMB)
    async with serve(sequencer=market.lane.sequencer, **settings(database)) as served:
        told = await Till(served, acme_key.secret).ask("vendorStatementReq", auth=bearer(token))
        assert told.fault == ("ClientIDSSLEx", "certificate_missing")


async def test_a_till_s_key_ends_when_it_was_said_to(
    serve: Serve, database: Database, market: Market, seals: Seals, clock: SettableClock
) -> None:
    grant = Grant(expires_at=clock() + timedelta(days=1))
    key = await credentials.issue_key(
        market.app, "acme", grant, seals=seals, who="Jane", now=clock()
    )
    async with serve(sequencer=market.lane.sequencer, **settings(database)) as served:
        till = Till(served, key.secret)
        assert (await till.ask("vendorStatementReq")).status == 200
        clock.advance(days=1)
        told = await till.ask("vendorStatementReq")
        assert told.fault == (CLIENT, "credential_expired")


async def test_a_till_s_revoked_key_ends_within_five_seconds(
    acme: Till, acme_key: Issued, market: Market, clock: SettableClock
) -> None:
    name = acme_key.credential.name
    await credentials.revoke(market.app, "acme", name, who="Jane", now=clock())
    async with asyncio.timeout(5):
        while (told := await acme.ask("vendorStatementReq")).status == 200:
            await asyncio.sleep(0.05)
    assert told.fault == (CLIENT, "credential_revoked")


async def test_a_signed_message_is_believed_once_and_from_a_clock_near_ours(
    serve: Serve, database: Database, market: Market, acme_key: Issued, seals: Seals,
    clock: SettableClock,
) -> None:  # fmt: skip
    token = await a_token(market, seals, clock)
    demanded = settings(database, signatures="required", public_url=PUBLIC_URL)
    async with serve(sequencer=market.lane.sequencer, **demanded) as served:
        till = Till(served, acme_key.secret)
        signer = Signer(Caller(served, "acme", acme_key.secret), token, clock)
        body = till.message("vendorStatementReq")
        unsigned = await till.send(body, auth=bearer(token))
        assert unsigned.fault == (CLIENT, "signature_missing")
        once = signer.signed("POST", "/xmlvend", body, nonce="once")
        assert (await till.send(body, auth=once)).status == 200
        assert (await till.send(body, auth=once)).fault == (CLIENT, "signature_repeated")
        for late in (-301, 301):
            skewed = signer.signed("POST", "/xmlvend", body, late=late)
            assert (await till.send(body, auth=skewed)).fault == (CLIENT, "signature_refused")


async def test_a_meter_for_which_no_token_can_be_made_has_its_fault(
    acme: Till, market: Market, meter: str
) -> None:
    assert isinstance(market.diary, Particular)
    market.diary.unloved.add(meter)
    assert (await acme.sell(meter)).fault == ("STSDataEx", "token_refused")
    assert (await market.tokens(), await market.balance()) == (0, 100 * PRICE)


async def test_a_till_hears_why_a_quote_was_not_sold_under_its_message(
    acme: Till, market: Market, meter: str, clock: SettableClock
) -> None:
    """The quote is sold by the JSON interface, under the reference that names the message."""
    number = a_number()
    body = {"meter": meter, "amount_minor": 50_000}
    quoted = await posted(acme, "/v1/quotes", body)
    await market.yard.db.execute(
        "update meter_state set month = 202611, fees_paid_through = 202611,"
        " month_energy_wh = 500000, one_month_ago_wh = 900000, two_months_ago_wh = 900000,"
        " three_months_ago_wh = 900000 where meter_number = $1",
        meter,
    )
    assert await refusal(acme, quoted, number) == ("BusinessRuleEx", "price_changed")
    clock.advance(minutes=6)
    assert await refusal(acme, quoted, a_number()) == ("BusinessRuleEx", "quote_expired")


async def refusal(till: Till, quoted: dict[str, object], number: int) -> tuple[str, str]:
    """Sell a quote under a message's reference, and return what the advice about it says."""
    reference = f"6001234500015:TILL-7:{STAMP}:{number}"
    sold = await posted(till, "/v1/sales", {"reference": reference, "quote": quoted["quote"]})
    told: Told = await till.advise("LastResp", number)
    assert told.text("faultCode") == sold["code"]
    return told.fault


async def posted(till: Till, path: str, body: dict[str, object]) -> dict[str, object]:
    async with till.api.session.post(
        till.api.url + path, json=body, headers=bearer(till.key)
    ) as response:
        told: dict[str, object] = json.loads(await response.read())
        return told


@pytest.mark.parametrize(
    "value",
    [
        '<units value="20" siUnit="kl"/>',
        '<units value="20" siUnit="Wh"/>',
        '<amt value="500.00" symbol="USD"/>',
    ],
)
async def test_a_sale_in_units_nobody_knows_is_not_read(
    acme: Till, market: Market, meter: str, value: str
) -> None:
    told = await acme.ask(
        "creditVendReq", f"{of_meter(meter)}<purchaseValue>{value}</purchaseValue>"
    )
    assert told.fault == ("XMLVendSchemaEx", "xmlvend_malformed")
    assert await market.tokens() == 0
