"""What is refused before any operation, the quotas, and what the server says when it cannot."""

import asyncio
import re
from datetime import date, datetime
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.api.conftest import Serve, Served
from tests.api.v1.conftest import Caller, settings
from tests.api.v1.test_callers import refused
from tests.conftest import SettableClock
from tests.database import Database
from vending.api.v1 import description, problems, table
from vending.api.v1.asked import RequestInvalid, read_body
from vending.api.v1.teller import WRITERS
from vending.errors import Rejected
from vending.postgres.pool import Connection
from vending.vendors.credentials import Issued

SLIP: dict[str, Any] = {"bank": "kcb", "bank_reference": "FT1", "amount_minor": 5}


class WithMany(msgspec.Struct):
    """A body with members of kinds whose names differ between languages."""

    page: dict[str, int] | None = None
    at: datetime | None = None


POLICY = '"burst";q=3;w=10, "day";q=2000000;w=86400'


@pytest.mark.parametrize(
    ("change", "member", "fault"),
    [
        ({"amount_minor": "5"}, "amount_minor", "Expected `integer`, got `string`"),
        ({"amount_minor": 0}, "amount_minor", "Expected `integer` >= 1"),
        ({"amount_minor": 5.5}, "amount_minor", "Expected `integer`, got `number`"),
        ({"amount_minor": 10**30}, "amount_minor", None),
        ({"bank": "KCB"}, "bank", None),
        ({"bank": None}, "bank", "Expected `string`, got `null`"),
        ({"note": "a\x00"}, "note", None),
        ({"vendor_id": "bolt"}, "vendor_id", "unknown member"),
        ({"odd name": 1}, "?", "unknown member"),
    ],
)
async def test_a_body_that_is_not_as_described_names_the_member(
    acme: Caller, change: dict[str, Any], member: str, fault: str | None
) -> None:
    reply = await acme.post("/v1/deposits", {**SLIP, **change})
    refused(reply, 400, "request_invalid")
    assert f"member={member}" in reply.json["detail"]
    assert fault is None or f"fault={fault}" in reply.json["detail"]
    assert reply.json["facts"]["member"] == member
    assert fault is None or reply.json["facts"]["fault"] == fault


class ManyFacts(Rejected):
    """Something is wrong in many ways."""

    code = "many_facts"


def test_facts_are_members_by_their_names_as_json_has_them() -> None:
    facts = {"limit_minor": 5, "certain": True, "seen": "a", "never": None, "at": date(2026, 1, 2)}
    told = problems.reply(ManyFacts(**facts), route="/v1/float", path="/v1/float")
    assert msgspec.json.decode(told.body)["facts"] == {
        "limit_minor": 5, "certain": True, "seen": "a", "at": "2026-01-02"
    }  # fmt: skip


def test_the_description_types_the_facts_a_till_shows() -> None:
    facts = description.document()["components"]["schemas"]["Problem"]["properties"]["facts"]
    assert facts["properties"]["minimum_minor"]["type"] == "integer"
    assert facts["properties"]["member"]["type"] == "string"
    kinds = {one["type"] for one in facts["additionalProperties"]["anyOf"]}
    assert kinds == {"string", "integer", "boolean"}


def test_no_type_of_the_language_the_server_is_written_in_is_named() -> None:
    with pytest.raises(RequestInvalid) as refused:
        read_body(b'{"page": 1, "at": 5}', WithMany)
    assert refused.value.facts == {
        "member": "page",
        "fault": "Expected `object | null`, got `integer`",
    }
    with pytest.raises(RequestInvalid) as refused:
        read_body(b'{"at": 5}', WithMany)
    assert refused.value.facts == {
        "member": "at",
        "fault": "Expected `date-time | null`, got `integer`",
    }


async def test_a_missing_member_is_named(acme: Caller) -> None:
    reply = await acme.post("/v1/deposits", {"bank": "kcb", "amount_minor": 1})
    refused(reply, 400, "request_invalid")
    assert reply.json["detail"] == "member=bank_reference, fault=missing"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"bank":"\\ud800"}', b"1" * 5_000]
)
async def test_a_body_that_is_not_json_is_refused(acme: Caller, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    refused(await acme.ask("POST", "/v1/deposits", data=body, headers=headers), 400,
            "request_invalid")  # fmt: skip


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=1&limit=2", "size=1", "cursor=" + "a" * 200],
)
async def test_a_query_that_is_not_as_described_is_refused(acme: Caller, query: str) -> None:
    refused(await acme.get(f"/v1/deposits?{query}"), 400, "request_invalid")


async def test_a_parameter_nobody_reads_is_refused(acme: Caller) -> None:
    reply = await acme.get("/v1/float?currency=KES")
    refused(reply, 400, "request_invalid")
    assert "member=currency" in reply.json["detail"]


@pytest.mark.parametrize(
    "instant",
    [
        "yesterday",
        "null",
        "Null",
        "2026-11-22T08:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
async def test_an_instant_nobody_can_mean_is_refused(acme: Caller, instant: str) -> None:
    for path in ("/v1/statement", "/v1/commission"):
        refused(await acme.get(path, params={"since": instant}), 400, "request_invalid")


@pytest.mark.parametrize(
    "cursor",
    ["x", "é", "c3RhdGVtZW50OjE", "YmF0Y2hlczo5OTk5OTk5OTk5OTk5OTk5OTk5", "ZGVwb3NpdHM6eA"],
)
async def test_a_cursor_of_another_list_is_refused(acme: Caller, cursor: str) -> None:
    refused(await acme.get("/v1/deposits", params={"cursor": cursor}), 400, "cursor_malformed")


async def test_a_body_in_another_form_is_refused(acme: Caller) -> None:
    reply = await acme.ask("POST", "/v1/deposits", data={"bank": "kcb"})
    refused(reply, 415, "content_type_wrong")
    assert reply.json["advice"].startswith("Send application/json, in UTF-8")
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    refused(await acme.ask("POST", "/v1/deposits", data=b"x", headers=packed), 415,
            "body_encoded")  # fmt: skip


async def test_a_body_that_is_too_large_is_refused(acme: Caller) -> None:
    headers = {"Content-Type": "application/json"}
    refused(await acme.ask("POST", "/v1/deposits", data=b" " * 70_000, headers=headers), 413,
            "body_too_large")  # fmt: skip


async def test_a_caller_that_hangs_up_in_its_body_is_no_fault_of_the_database(
    acme: Caller, lines: list[Any]
) -> None:
    port = int(acme.api.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        "POST /v1/deposits HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {acme.key}\r\nContent-Length: 100\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    assert b"100" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"{")
    writer.close()
    await writer.wait_closed()
    assert (await acme.get("/v1/float")).status == 200
    assert [one for one in lines if one["event"] == "a request was refused"] == []


async def test_what_is_nowhere_served_is_said_in_the_same_words(acme: Caller) -> None:
    refused(await acme.get("/v1/nothing"), 404, "path_unknown")
    reply = await acme.ask("PUT", "/v1/float")
    refused(reply, 405, "method_unknown")
    assert reply.headers["Allow"] == "GET"


async def test_every_answer_tells_the_quotas_and_the_last_one_when_to_come_back(
    serve: Serve, database: Database, acme_key: Issued, bolt_key: Issued
) -> None:
    async with serve(**settings(database, burst_quota=3)) as served:
        acme = Caller(served, "acme", acme_key.secret)
        for left in (2, 1, 0):
            reply = await acme.get("/v1/float")
            assert reply.status == 200
            assert reply.headers["RateLimit-Policy"] == POLICY
            assert f'"burst";r={left};t=' in reply.headers["RateLimit"]
        reply = await acme.get("/v1/float")
        refused(reply, 429, "quota_exceeded")
        assert (reply.json["retry"], reply.json["detail"].split(",")[0]) == (
            "after", "policy=burst",
        )  # fmt: skip
        assert 1 <= int(reply.headers["Retry-After"]) <= 7
        assert reply.headers["RateLimit-Policy"] == POLICY
        other = await Caller(served, "bolt", bolt_key.secret).get("/v1/float")
        assert other.status == 200


async def test_a_day_has_its_quota_and_the_next_one_another(
    serve: Serve, database: Database, acme_key: Issued, clock: SettableClock
) -> None:
    async with serve(**settings(database, day_quota=2)) as served:
        acme = Caller(served, "acme", acme_key.secret)
        assert (await acme.get("/v1/float")).status == 200
        assert (await acme.get("/v1/float")).status == 200
        reply = await acme.get("/v1/float")
        refused(reply, 429, "quota_exceeded")
        assert '"day";r=0;t=57600' in reply.headers["RateLimit"]
        assert int(reply.headers["Retry-After"]) >= 57_600
        clock.advance(hours=16)
        assert (await acme.get("/v1/float")).status == 200


async def test_a_server_without_the_secret_has_no_vendors(serve: Serve, database: Database) -> None:
    async with serve(**settings(database, secret=None)) as served:
        for path in ("/v1/float", "/openapi.json"):
            assert (await served.get(path)).status == 404


async def test_what_vendors_wait_is_measured_by_operation(acme: Caller) -> None:
    await acme.get("/v1/float")
    page = (await acme.api.get("/metrics")).body.decode()
    assert 'stima_vendor_request_seconds_count{operation="readFloat"}' in page


async def test_the_description_is_served(vendors_api: Served) -> None:
    reply = await vendors_api.get("/openapi.json")
    assert (reply.status, reply.json["openapi"]) == (200, "3.1.0")
    assert "/v1/float" in reply.json["paths"]


async def test_a_server_with_too_much_to_do_says_when_to_come_back(
    acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.api.admission.LOOP_LAG_SECONDS", {"p2": -1.0, "p3": -1.0})
    reply = await acme.get("/v1/float")
    refused(reply, 503, "overloaded")
    assert reply.json["retry"] == "after"
    assert reply.json["retry_after_seconds"] == int(reply.headers["Retry-After"])


async def test_a_database_that_is_away_is_said(
    serve: Serve, database: Database, acme_key: Issued, dead_dsn: str
) -> None:
    away = settings(database)
    away["database"] = {"dsn": dead_dsn}
    async with serve(**away) as served:
        acme = Caller(served, "acme", acme_key.secret)
        refused(await acme.post("/v1/deposits", SLIP), 503, "database_unavailable")
        assert (await acme.get("/v1/float")).status == 200  # the reads have another address here


async def test_a_write_whose_end_nobody_has_seen_is_settled_by_asking_again(
    acme: Caller, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.api.v1.teller.WRITE_SECONDS", 0.3)
    async with db.transaction():
        await db.execute("select from act_head for update")
        reply = await acme.post("/v1/deposits", SLIP)
    assert (reply.status, reply.json["code"]) == (503, "commit_unknown")
    assert (reply.json["retry"], reply.json["money_state"]) == ("same-reference", "held")
    monkeypatch.setattr("vending.api.v1.teller.WRITE_SECONDS", 5.0)
    async with asyncio.timeout(10):
        while (again := await acme.post("/v1/deposits", SLIP)).status not in (200, 201):
            await asyncio.sleep(0.1)
    assert again.json["bank_reference"] == "FT1"


async def test_acts_that_wait_too_long_for_their_turn_are_sent_away(
    acme: Caller, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.api.v1.teller.TURN_SECONDS", 0.2)
    async with db.transaction():
        await db.execute("select from act_head for update")
        slips = [{**SLIP, "bank_reference": f"FT{number}"} for number in range(WRITERS + 1)]
        sent = [asyncio.create_task(acme.post("/v1/deposits", slip)) for slip in slips]
        done, _ = await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        refused(done.pop().result(), 503, "overloaded")
    replies = await asyncio.gather(*sent)
    assert sorted(reply.status for reply in replies) == [201, 201, 503]


async def test_what_nobody_foresaw_is_told_without_a_word_of_it(
    acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object, **_more: object) -> object:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("vending.vendors.floats.find", broken)
    reply = await acme.get("/v1/float")
    refused(reply, 500, "internal")
    assert b"secret" not in reply.body
    assert b"Zero" not in reply.body


async def test_a_refusal_is_one_line_in_the_log_without_the_key(
    acme: Caller, lines: list[Any]
) -> None:
    reply = await acme.get("/v1/deposits/dep_77")
    refused(reply, 404, "deposit_unknown")
    (line,) = [one for one in lines if one["event"] == "a request was refused"]
    assert line["trace_id"] == reply.json["trace_id"]
    assert line["route"] == "/v1/deposits/{deposit}"
    assert acme.key not in str(lines)
    assert acme.key.rsplit("_", 1)[1] not in str(lines)


def test_every_operation_has_a_name_of_its_own() -> None:
    assert len(table.BY_NAME) == len(table.OPERATIONS)
    assert len({(one.method, one.path) for one in table.OPERATIONS}) == len(table.OPERATIONS)
    for one in table.OPERATIONS:
        assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", one.name)
        assert one.path.startswith("/v1/")


async def test_a_caller_that_hangs_up_has_proposed_all_the_same(
    acme: Caller, db: Connection
) -> None:
    async with db.transaction():
        await db.execute("select from act_head for update")
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            await acme.post("/v1/deposits", SLIP, timeout=aiohttp.ClientTimeout(total=0.3))
    async with asyncio.timeout(10):
        while not (await acme.get("/v1/deposits")).json["deposits"]:
            await asyncio.sleep(0.05)
    assert (await acme.post("/v1/deposits", SLIP)).status == 200


@pytest.mark.parametrize(
    ("asked", "member"),
    [
        ({"units": 20}, "units"),
        ({"kwh": 20}, "kwh"),
        ({"energy_wh": "20 kWh"}, "energy_wh"),
        ({"amount_minor": 50_000, "currency": "USD"}, "currency"),
    ],
)
async def test_a_sale_in_units_nobody_knows_names_the_member(
    acme: Caller, asked: dict[str, Any], member: str
) -> None:
    reply = await acme.post("/v1/sales", {"reference": "odd-1", "meter": "14123456783", **asked})
    refused(reply, 400, "request_invalid")
    assert f"member={member}" in reply.json["detail"]
