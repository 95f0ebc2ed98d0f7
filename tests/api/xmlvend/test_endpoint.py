"""The endpoint itself: who is let in, how a message may come, and faults for all the rest."""

import asyncio
import gzip
import random
from pathlib import Path

import pytest

from tests.api.conftest import Lease, Serve, Served
from tests.api.v1.conftest import a_vendor, basic, settings
from tests.api.xmlvend.tills import SOAP_12, Till, Told, of_meter, purchase
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.market import Market
from tests.xmlvend.test_fuzz import mutated
from vending.api.v1.teller import Teller
from vending.api.xmlvend import errands
from vending.api.xmlvend.offers import TRIAL
from vending.vendors import accounts, credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.register import Caller
from vending.vendors.seals import Seals
from vending.vendors.vendor import USUAL_SCOPES, Scope, Vendor
from vending.xmlvend.document import Spelling
from vending.xmlvend.errors import UseCaseUnsupported
from vending.xmlvend.faults import FaultKind

GOLDEN = Path(__file__).parents[2] / "golden" / "xmlvend" / "requests"
NOT_OFFERED = (
    "eng_default_credit", "deposit",
    "reprint_deposit", "start_all", "start_banking", "start_sales", "total_all",
    "total_banking", "total_sales", "end_all", "end_banking", "end_sales", "reprint_banking",
    "reprint_sales",
)  # fmt: skip
FUZZED = 300
REFUSED = ("ClientIDAuthorisationEx", "credential_refused")


def credential(name: str, password: str) -> str:
    return f"<authCred><opName>{name}</opName><password>{password}</password></authCred>"


async def test_every_golden_request_is_answered_or_refused_for_what_it_is(acme: Till) -> None:
    for path in sorted(GOLDEN.glob("*.xml")):
        told = await acme.send(path.read_bytes())
        if path.name.startswith(NOT_OFFERED):
            assert told.fault == ("UseCaseSupportEx", "use_case_unsupported"), path.name
        elif told.all("fault"):
            assert told.fault[0] not in ("SystemEx", "XMLVendSchemaEx", "UseCaseSupportEx"), (
                path.name, told.fault,
            )  # fmt: skip


async def test_a_till_signs_in_by_basic_bearer_or_in_the_message(
    acme: Till, market: Market, meter: str, seals: Seals, clock: SettableClock
) -> None:
    client = await credentials.add_client(
        market.app, "acme", Grant(), seals=seals, who="Jane", now=clock()
    )
    name, secret = client.credential.name, client.secret
    asked = {"element": "confirmMeterReq", "inner": of_meter(meter)}
    plain = acme.message(**asked)
    by_client = basic(name, secret)
    await once_known(acme, plain, by_client)
    for auth in (basic(acme.key, ""), {"Authorization": f"Bearer {acme.key}"}, by_client):
        assert (await acme.send(plain, auth=auth)).status == 200
    for shown in (credential(name, secret), credential("mary", acme.key)):
        told = await acme.send(acme.message(**asked, credential=shown), auth={})
        assert told.status == 200, told.body
    # With a header the operator and password are the till's own business.
    mary = acme.message(**asked, credential=credential("mary", "secret"))
    assert (await acme.send(mary)).status == 200


async def test_a_till_that_shows_nothing_is_asked_for_something(acme: Till, meter: str) -> None:
    for shown in ("", credential("mary", "")):
        body = acme.message("confirmMeterReq", of_meter(meter), credential=shown)
        told = await acme.send(body, auth={})
        assert (told.status, told.headers["WWW-Authenticate"]) == (401, 'Basic realm="stima"')
        assert told.fault == ("ClientIDAuthorisationEx", "credential_missing")


@pytest.mark.parametrize(
    "auth",
    [
        basic("acme.abcdefgh", "wrong"), basic("", ""), basic("till", "stima_live_x"),
        {"Authorization": "Basic !!!"}, {"Authorization": "Basic bm9jb2xvbg=="},
        {"Authorization": "Basic " + "A" * 5000}, {"Authorization": "Bearer stima_live_x"},
    ],
)  # fmt: skip
async def test_a_wrong_password_is_refused_and_sells_nothing(
    acme: Till, market: Market, meter: str, auth: dict[str, str]
) -> None:
    told = await acme.send(acme.message("creditVendReq", purchase(meter)), auth=auth)
    assert (told.status, told.fault) == (500, REFUSED)
    wrong = acme.message("creditVendReq", purchase(meter), credential=credential("mary", "guess"))
    assert (await acme.send(wrong, auth={})).fault == REFUSED
    assert await market.tokens() == 0


async def test_a_suspended_vendor_is_told_so_within_five_seconds(
    acme: Till, market: Market, meter: str, clock: SettableClock
) -> None:
    await accounts.suspend(market.app, "acme", note="unpaid", who="Jane", now=clock())
    async with asyncio.timeout(5):
        while (told := await acme.ask("confirmMeterReq", of_meter(meter))).status == 200:
            await asyncio.sleep(0.05)
    assert told.fault == ("ClientIDAuthorisationEx", "vendor_suspended")


async def test_what_a_key_is_not_for_is_refused(
    acme: Till, market: Market, meter: str, seals: Seals, clock: SettableClock
) -> None:
    grant = Grant(scopes=frozenset({Scope.METERS}))
    key = await a_vendor(market.app, "looker", seals=seals, clock=clock, grant=grant)
    looker = Till(acme.api, key.secret)
    await once_known(looker, looker.message("confirmMeterReq", of_meter(meter)), looker.basic())
    told = await looker.sell(meter)
    assert told.fault == ("RequestAuthorisationEx", "scope_missing")
    sandbox = await credentials.issue_key(
        market.app, "acme", Grant(sandbox=True), seals=seals, who="Jane", now=clock()
    )
    playing = Till(acme.api, sandbox.secret)
    body = playing.message("confirmMeterReq", of_meter(meter))
    told = await once_known(playing, body, playing.basic())
    assert told.fault == ("RequestAuthorisationEx", "sandbox_only")


async def test_a_vendor_calls_from_its_own_addresses_only(
    serve: Serve, database: Database, market: Market, acme_key: Issued, clock: SettableClock
) -> None:
    await accounts.set_addresses(market.app, "acme", ["127.0.0.9"], who="Jane", now=clock())
    async with serve(sequencer=market.lane.sequencer, **settings(database)) as served:
        told = await Till(served, acme_key.secret).ask("vendorStatementReq")
        assert told.fault == ("ClientIDAuthorisationEx", "address_forbidden")


async def test_where_requests_must_be_signed_messages_must_be_as_well(
    serve: Serve, database: Database, market: Market, acme_key: Issued
) -> None:
    signed = settings(database, signatures="required")
    async with serve(sequencer=market.lane.sequencer, **signed) as served:
        told = await Till(served, acme_key.secret).ask("vendorStatementReq")
        assert told.fault == ("ClientIDAuthorisationEx", "signature_refused")


async def test_what_is_not_offered_is_refused_by_the_core_as_well(
    acme: Till, clock: SettableClock
) -> None:
    vendor = Vendor(vendor_id="acme", name="Acme", created_at=clock())
    caller = Caller(vendor=vendor, credential="abc", scopes=USUAL_SCOPES, sandbox=False)
    body = (GOLDEN / "eng_default_credit.strict.xml").read_bytes()
    told = errands.errand(TRIAL, caller, body, Spelling.DEFAULTED)
    with pytest.raises(UseCaseUnsupported):
        await errands.carry(Teller(acme.api.doors), told)


async def test_who_asks_too_often_is_told_when_to_ask_again(
    serve: Serve, database: Database, market: Market, acme_key: Issued
) -> None:
    few = settings(database, day_quota=1)
    async with serve(sequencer=market.lane.sequencer, **few) as served:
        till = Till(served, acme_key.secret)
        first = await till.ask("vendorStatementReq")
        assert (first.status, "RateLimit" in first.headers) == (200, True)
        told = await till.ask("vendorStatementReq")
        assert told.fault == ("SystemEx", "quota_exceeded")
        assert int(told.headers["Retry-After"]) >= 1


async def test_a_server_with_too_much_to_do_says_so(
    serve: Serve, database: Database, market: Market, meter: str, acme_key: Issued
) -> None:
    away = Lease(estimated_wait=float("inf"))
    async with serve(sequencer=away, **settings(database)) as served:
        told = await Till(served, acme_key.secret).sell(meter)
        assert told.fault == ("SystemEx", "overloaded")
        assert int(told.headers["Retry-After"]) >= 1


async def test_a_sale_that_nobody_can_tell_of_is_to_be_asked_for(
    serve: Serve, database: Database, market: Market, meter: str, acme_key: Issued
) -> None:
    assert await market.tokens() == 0
    async with serve(sequencer=Lease(), **settings(database)) as served:
        till = Till(served, acme_key.secret)
        assert (await till.sell(meter)).fault == ("SystemEx", "sale_unavailable")
        assert (await till.advise("LastResp", 1)).fault == ("SystemEx", "sale_unavailable")


async def test_a_message_may_come_gzipped_said_or_not(acme: Till, meter: str) -> None:
    packed = gzip.compress(acme.message("confirmMeterReq", of_meter(meter)))
    for headers in ({}, {"Content-Encoding": "gzip"}, {"SOAPAction": "anything"}):
        assert (await acme.send(packed, headers=headers)).status == 200
    brotli = await acme.send(packed, headers={"Content-Encoding": "br"})
    assert brotli.fault == ("XMLVendSchemaEx", "body_encoded")


async def test_what_is_no_message_is_a_fault_and_no_accident(acme: Till) -> None:
    malformed = ("XMLVendSchemaEx", "xmlvend_malformed")
    for body in (b"", b"<", b"hello", b"<a/>" * 2, b"\x1f\x8bnothing", b"{}"):
        told = await acme.send(body)
        assert (told.status, told.fault) == (500, malformed), body
    doctype = b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + acme.message("loginReq")
    assert (await acme.send(doctype)).fault == malformed
    unknown = await acme.send(acme.message("waterVendReq"))
    assert unknown.fault == ("UseCaseSupportEx", "use_case_unsupported")
    bare = await acme.send(b"<waterVendReq/>")
    assert (bare.status, bare.root.tag.rpartition("}")[2]) == (400, "xmlvendFaultResp")


async def test_a_body_that_is_too_large_is_not_read(acme: Till) -> None:
    told = await acme.send(b"<" + b" " * 70_000)
    assert told.fault == ("XMLVendSchemaEx", "body_too_large")
    bomb = await acme.send(gzip.compress(b" " * 5_000_000))
    assert bomb.fault == ("XMLVendSchemaEx", "xmlvend_malformed")


async def test_a_fault_is_wrapped_and_spelled_as_its_sender_wants(acme: Till, meter: str) -> None:
    mistyped = purchase("12345678901")
    v12 = await acme.send(acme.message("creditVendReq", mistyped, soap=SOAP_12))
    assert (v12.status, v12.root.tag) == (400, f"{{{SOAP_12}}}Envelope")
    assert v12.headers["Content-Type"].startswith("application/soap+xml")
    early = await acme.send(b"<", headers={"Content-Type": "application/soap+xml"})
    assert (early.status, early.root.tag) == (400, f"{{{SOAP_12}}}Envelope")
    prefixed = await acme.ask("creditVendReq", mistyped, query="?spelling=prefixed")
    assert b"<ns2:xmlvendFaultResp" in prefixed.body
    sold = await acme.ask("creditVendReq", purchase(meter), query="?spelling=prefixed")
    assert b"<ns3:creditVendResp" in sold.body


async def test_the_address_is_asked_by_post(api: Served) -> None:
    reply = await api.get("/xmlvend")
    assert (reply.status, reply.json["code"]) == (405, "method_unknown")


async def test_golden_requests_with_things_wrong_get_documented_answers(acme: Till) -> None:
    chance = random.Random(4)
    bodies = [path.read_bytes() for path in sorted(GOLDEN.glob("*.xml"))]
    known = {kind.type_name for kind in FaultKind}
    for _ in range(FUZZED):
        told = await acme.send(mutated(chance.choice(bodies), chance))
        if told.all("xmlvendFaultResp"):
            assert told.fault[0] in known
            assert told.fault[1] not in ("internal", "unavailable"), told.body
            assert told.status in (400, 500)
        else:
            assert told.status == 200


async def once_known(till: Till, body: bytes, auth: dict[str, str]) -> Told:
    """Ask with a fresh credential until the register has read it; return the first real answer."""
    async with asyncio.timeout(5):
        while True:
            told = await till.send(body, auth=auth)
            if not told.all("faultCode") or told.fault != REFUSED:
                return told
            await asyncio.sleep(0.05)
