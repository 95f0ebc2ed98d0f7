"""M-PESA's two calls on a real socket and a real database."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.typing import EventDict

from tests.api.conftest import (
    BLOCKED,
    METER,
    REMOVED,
    SECRET,
    NoticingClock,
    Reply,
    Serve,
    Served,
    paid,
)
from tests.conftest import SettableClock
from vending import metrics
from vending.operators import mpesa
from vending.payments.intake import Intake
from vending.postgres.pool import Connection

GOLDEN = Path(__file__).parent.parent / "golden" / "mpesa"
BODIES = sorted(path for path in GOLDEN.glob("*.json") if path.name != "replies.json")
ACKNOWLEDGED = mpesa.confirmation_reply()

COUNT_ROWS = """
select (select count(*) from payment) as payments,
       (select count(*) from quarantine) as quarantined,
       (select count(*) from outcome) as outcomes
"""


async def rows(db: Connection) -> tuple[int, int, int]:
    row = await db.fetchrow(COUNT_ROWS)
    assert row is not None
    return tuple(row)


def result_code(reply: Reply) -> str:
    assert reply.status == 200, reply
    assert isinstance(reply.json["ResultCode"], str)
    return str(reply.json["ResultCode"])


def problem(reply: Reply, *, status: int, code: str, money_state: str = "none") -> dict[str, Any]:
    assert reply.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = reply.json
    assert (reply.status, told["status"], told["code"]) == (status, status, code)
    assert told["money_state"] == money_state
    assert "Traceback" not in reply.body.decode()
    return told


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("meters")
async def test_every_known_callback_body_gets_its_answer(
    path: Path, version: str, serve: Serve
) -> None:
    golden = json.loads(path.read_text())
    async with serve(mpesa={"amount_minor_min": 5_000}) as api:
        reply = await api.post(golden["call"], golden["body"], version=version)
    assert reply.status == 200
    answer = reply.json
    third_party_id = answer.pop("ThirdPartyTransID", "")
    assert answer == golden["answer"]
    assert bool(third_party_id) == (golden["answer"]["ResultCode"] == "0")


async def test_a_confirmation_is_on_disk_before_it_is_acknowledged(
    api: Served, db: Connection, clock: SettableClock
) -> None:
    sent = json.dumps(paid()).encode() + b"  "
    reply = await api.post("confirm", sent)
    assert (reply.status, reply.body) == (200, ACKNOWLEDGED)
    row = await db.fetchrow("select * from payment")
    assert row is not None
    payment_id = row["payment_id"]
    assert dict(row) == {
        "payment_id": payment_id,
        "operator": "mpesa",
        "transaction_id": "TGE7Q2M4ZK",
        "short_code": "888880",
        "product": "prepaid",
        "account_reference": METER,
        "amount_minor": 50_000,
        "paid_at": datetime.fromisoformat("2026-11-22T07:59:00+00:00"),
        "received_at": clock(),
        "payer": "2547 ***** 149",
        "payer_kind": "masked",
        "raw": sent,
    }
    assert api.stored.get_nowait().payment_id == payment_id


async def test_fifty_copies_at_once_are_one_payment_and_fifty_equal_acknowledgements(
    api: Served, db: Connection
) -> None:
    replies = await asyncio.gather(*(api.post("confirm", paid()) for _ in range(50)))
    assert {(reply.status, reply.body) for reply in replies} == {(200, ACKNOWLEDGED)}
    assert await rows(db) == (1, 0, 0)
    assert api.stored.qsize() == 1


async def test_a_copy_through_the_other_version_is_still_a_copy(
    api: Served, db: Connection
) -> None:
    await api.post("confirm", paid(), version="v1")
    again = await api.post("confirm", paid(MSISDN="bb" * 32, FirstName=None), version="v2")
    assert again.body == ACKNOWLEDGED
    assert await rows(db) == (1, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"TransAmount": "900.00"},
        {"BillRefNumber": "37009188428"},
        {"TransTime": "20261122105901"},
        {"BusinessShortCode": "888888"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_known_transaction_with_other_facts_is_kept_aside_and_acknowledged(
    api: Served, db: Connection, lines: list[EventDict], change: dict[str, str]
) -> None:
    await api.post("confirm", paid())
    before = metrics.quarantined.labels(reason="notice_conflicts")._value.get()
    conflicting = await api.post("confirm", paid(**change))
    assert (conflicting.status, conflicting.body) == (200, ACKNOWLEDGED)
    assert await rows(db) == (1, 1, 0)
    row = await db.fetchrow("select amount_minor, account_reference from payment")
    assert row is not None
    assert tuple(row) == (50_000, METER)
    assert metrics.quarantined.labels(reason="notice_conflicts")._value.get() == before + 1
    assert [line["log_level"] for line in lines] == ["error"]


async def test_a_malformed_confirmation_is_quarantined_and_answered_400(
    api: Served, db: Connection, clock: SettableClock, lines: list[EventDict]
) -> None:
    sent = json.dumps(paid(TransAmount="-500.00", FirstName="ACHIENG")).encode()
    told = problem(
        await api.post("confirm", sent), status=400, code="notice_malformed", money_state="held"
    )
    assert told["detail"] == "reason=pattern, field=TransAmount"
    assert not told["retry"]
    row = await db.fetchrow(
        "select operator, reason, payload, detail, received_at, transaction_id from quarantine"
    )
    assert row is not None
    assert tuple(row) == (
        "mpesa", "notice_malformed", sent, "reason=pattern, field=TransAmount", clock(), None,
    )  # fmt: skip
    assert len(lines) == 1
    assert lines[0]["trace_id"] == told["trace_id"]
    assert "ACHIENG" not in str(lines)
    assert "-500" not in str(lines)


async def test_the_same_malformed_bytes_are_quarantined_once(api: Served, db: Connection) -> None:
    for _ in range(3):
        assert (await api.post("confirm", b"\xff\xfe")).status == 400
    assert await rows(db) == (0, 1, 0)


async def test_money_for_an_unknown_short_code_is_stored_without_a_product(
    api: Served, db: Connection
) -> None:
    reply = await api.post("confirm", paid(BusinessShortCode="123456"))
    assert reply.body == ACKNOWLEDGED
    assert await db.fetchval("select product from payment") == ""


@pytest.mark.parametrize(
    "change",
    [
        {"TransTime": "20991231235959"},
        {"TransTime": "19700101000000"},
        {"BillRefNumber": "who knows"},
        {"BillRefNumber": ""},
        {"TransAmount": "0.01"},
        {"TransAmount": "92233720368547758.07"},
    ],
    ids=str,
)
async def test_money_that_has_moved_is_stored_however_odd_it_is(
    api: Served, db: Connection, change: dict[str, str]
) -> None:
    assert (await api.post("confirm", paid(**change))).body == ACKNOWLEDGED
    assert await rows(db) == (1, 0, 0)


async def test_an_ordinary_request_writes_no_line(api: Served, lines: list[EventDict]) -> None:
    await api.post("confirm", paid())
    await api.post("check", paid())
    await api.get("/health/live")
    assert lines == []


# Forged, lost and hung-up callers


async def test_a_forged_address_is_refused_and_stores_nothing(
    serve: Serve, db: Connection, lines: list[EventDict]
) -> None:
    async with serve(source="127.0.0.2") as api:
        for call in ("confirm", "check"):
            told = problem(await api.post(call, paid()), status=403, code="source_forbidden")
            assert told["detail"] == "source=127.0.0.2"
    assert await rows(db) == (0, 0, 0)
    assert len(lines) == 2
    assert SECRET not in str(lines)


async def test_a_header_cannot_lend_an_address(serve: Serve, db: Connection) -> None:
    async with serve(source="127.0.0.2") as api:
        reply = await api.post("confirm", paid(), headers={"X-Forwarded-For": "127.0.0.1"})
        problem(reply, status=403, code="source_forbidden")
    assert await rows(db) == (0, 0, 0)


async def test_a_wrong_secret_is_like_a_path_that_does_not_exist(
    api: Served, db: Connection, lines: list[EventDict]
) -> None:
    wrong = SECRET[:-1] + "0"
    told = problem(await api.post("confirm", paid(), secret=wrong), status=404, code="path_unknown")
    nowhere = problem(await api.get("/op/other"), status=404, code="path_unknown")
    assert {**told, "trace_id": ""} == {**nowhere, "trace_id": ""}
    assert await rows(db) == (0, 0, 0)
    assert wrong not in str(lines)


async def test_without_a_configured_secret_no_callback_is_taken(serve: Serve) -> None:
    async with serve(mpesa={"secret": None}) as api:
        for path in ("", "%20", "%00"):
            reply = await api.post("confirm", paid(), secret=path)
            problem(reply, status=404, code="path_unknown")


async def test_without_configured_addresses_no_callback_is_taken(serve: Serve) -> None:
    async with serve(mpesa={"allowed_addresses": []}) as api:
        problem(await api.post("confirm", paid()), status=403, code="source_forbidden")


async def test_a_caller_that_hangs_up_has_paid_all_the_same(
    serve: Serve, db: Connection, clock: SettableClock
) -> None:
    noticing = NoticingClock(clock)
    async with serve(inbox_runs=False, now=noticing) as api:
        sent = json.dumps(paid()).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
        writer.write(
            f"POST /op/saf/{SECRET}/v2/confirm HTTP/1.1\r\nHost: x\r\n"
            f"Content-Length: {len(sent)}\r\n\r\n".encode()
            + sent
        )
        await noticing.asked.wait()
        writer.transport.abort()
        while api.listener.connections:
            await asyncio.sleep(0)
        api.start_inbox()
        await api.stored.get()
    assert await rows(db) == (1, 0, 0)


async def test_malformed_bytes_are_kept_though_the_caller_hangs_up(
    serve: Serve, db: Connection
) -> None:
    async with serve() as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
        writer.write(
            f"POST /op/saf/{SECRET}/v2/confirm HTTP/1.1\r\nHost: x\r\n"
            "Content-Length: 3\r\n\r\nBAD".encode()
        )
        await writer.drain()
        writer.close()
        while not (await rows(db))[1]:
            await asyncio.sleep(0)
    assert await rows(db) == (0, 1, 0)


@pytest.mark.parametrize("sent", [paid(), paid(TransID="")], ids=["good", "malformed"])
async def test_without_a_database_money_is_acknowledged_from_the_spool(
    serve: Serve, dead_dsn: str, db: Connection, sent: dict[str, Any], tmp_path: Path
) -> None:
    async with serve(writer_dsn=dead_dsn, spool_name="spool") as api:
        first = await api.post("confirm", sent)
        again = await api.post("confirm", sent)
        assert [first.status, again.status] == ([200, 200] if sent["TransID"] else [400, 400])
        assert isinstance(api.doors.intake, Intake)
        assert api.doors.intake.spooling
    assert [path.stat().st_size > 0 for path in tmp_path.glob("spool/*.spool")] == [True]
    assert await rows(db) == (0, 0, 0)
    async with serve(spool_name="spool"):  # the next start, with the database
        while any(tmp_path.glob("spool/*.spool")):
            await asyncio.sleep(0.01)
    assert await rows(db) == ((1, 0, 0) if sent["TransID"] else (0, 1, 0))


@pytest.mark.parametrize("sent", [paid(), paid(TransID="")], ids=["good", "malformed"])
async def test_without_a_database_and_with_a_full_spool_nothing_is_acknowledged(
    serve: Serve, dead_dsn: str, sent: dict[str, Any]
) -> None:
    async with serve(writer_dsn=dead_dsn, spool_bytes_max=0) as api:
        reply = await api.post("confirm", sent)
    told = problem(reply, status=503, code="inbox_unavailable", money_state="unknown")
    assert told["retry"]
    assert int(reply.headers["Retry-After"]) > 0


# Validation


@pytest.mark.usefixtures("meters")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "0"),
        ({"BillRefNumber": " 1412-345 6783 "}, "0"),
        ({"BillRefNumber": 14123456783}, "0"),
        ({"BillRefNumber": "14123456784"}, "C2B00012"),
        ({"BillRefNumber": "07083X"}, "C2B00012"),
        ({"BillRefNumber": ""}, "C2B00012"),
        ({"BillRefNumber": "58000000005"}, "C2B00012"),
        ({"BillRefNumber": BLOCKED}, "C2B00012"),
        ({"BillRefNumber": REMOVED}, "C2B00012"),
        ({"BillRefNumber": [METER]}, "C2B00012"),
        ({"TransAmount": "0.99"}, "C2B00013"),
        ({"TransAmount": "1.00"}, "0"),
        ({"TransAmount": "250000.00"}, "0"),
        ({"TransAmount": "250000.01"}, "C2B00013"),
        ({"TransAmount": "-500"}, "C2B00013"),
        ({"TransAmount": "NaN"}, "C2B00013"),
        ({"TransAmount": "500.001"}, "C2B00013"),
        ({"BusinessShortCode": "123456"}, "C2B00015"),
        ({"BusinessShortCode": "x"}, "C2B00015"),
        ({"BusinessShortCode": "888888"}, "C2B00016"),
        ({"MSISDN": None, "FirstName": None, "TransTime": None}, "0"),
        ({"MSISDN": {}}, "C2B00011"),
        ({"TransID": None}, "C2B00016"),
    ],
    ids=str,
)
async def test_a_validation_is_answered_by_what_would_become_of_the_payment(
    api: Served, db: Connection, change: dict[str, Any], code: str
) -> None:
    assert result_code(await api.post("check", paid(**change))) == code
    assert await rows(db) == (0, 0, 0)
    assert api.stored.empty()


@pytest.mark.parametrize("sent", [b"", b"[]", b"{", b"\xff", b'{"TransID":1,"TransID":2}'])
async def test_a_validation_that_cannot_be_read_is_a_problem_and_nothing_is_kept(
    api: Served, db: Connection, lines: list[EventDict], sent: bytes
) -> None:
    problem(await api.post("check", sent), status=400, code="notice_malformed")
    assert await rows(db) == (0, 0, 0)
    assert len(lines) == 1


async def test_a_refused_member_of_a_validation_is_one_line_without_its_value(
    api: Served, lines: list[EventDict]
) -> None:
    await api.post("check", paid(TransAmount="-12345"))
    assert [(line["field"], line["reason"]) for line in lines] == [("TransAmount", "pattern")]
    assert "12345" not in str(lines)


@pytest.mark.parametrize(("policy", "code"), [("accept", "0"), ("refuse", "C2B00016")])
async def test_a_validation_without_a_database_follows_the_utilitys_policy(
    serve: Serve, dead_dsn: str, lines: list[EventDict], policy: str, code: str
) -> None:
    async with serve(readers_dsn=dead_dsn, mpesa={"when_blind": policy}) as api:
        assert result_code(await api.post("check", paid())) == code
        assert result_code(await api.post("check", paid(BillRefNumber="1"))) == "C2B00012"
    assert [line["policy"] for line in lines] == [policy]


@pytest.mark.parametrize(("policy", "code"), [("accept", "0"), ("refuse", "C2B00016")])
async def test_a_validation_does_not_wait_for_a_frozen_database(
    serve: Serve, frozen_dsn: str, policy: str, code: str
) -> None:
    blind = metrics.callbacks.labels("mpesa", "check", f"blind_{policy}")
    before = blind.value
    changed = {"when_blind": policy, "validation_milliseconds": 20}
    async with serve(readers_dsn=frozen_dsn, mpesa=changed) as api:
        replies = await asyncio.gather(*(api.post("check", paid()) for _ in range(10)))
    assert [result_code(reply) for reply in replies] == [code] * 10
    assert blind.value == before + 10


async def test_a_validation_does_not_wait_for_a_look_up_that_hangs(
    serve: Serve, db: Connection
) -> None:
    """A lock on the table holds the query itself, and then the driver's cancel request."""
    async with serve(mpesa={"validation_milliseconds": 50}) as api, db.transaction():
        await db.execute("lock table meter in access exclusive mode")
        assert result_code(await api.post("check", paid())) == "0"


@pytest.mark.usefixtures("meters")
async def test_an_accepted_validation_carries_a_number_of_ours_and_no_two_alike(
    api: Served,
) -> None:
    replies = [await api.post("check", paid()) for _ in range(3)]
    ids = {reply.json["ThirdPartyTransID"] for reply in replies}
    assert len(ids) == 3
    assert all(given.isdecimal() and len(given) <= 20 for given in ids)


# Behind our own proxies


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("196.201.214.200", 200),
        ("203.0.113.9, 196.201.214.200", 200),
        ("196.201.214.200, 10.0.0.7", 200),
        ("196.201.214.200,10.0.0.7,10.0.0.8", 200),
        ("196.201.214.200, 203.0.113.9", 403),
        ("203.0.113.9", 403),
        ("196.201.214.200, unknown", 403),
        ("196.201.214.200, ", 403),
        ("10.0.0.7", 403),
        ("", 403),
        ("::ffff:196.201.214.200", 200),
    ],
)
async def test_behind_a_proxy_the_last_hop_that_is_not_ours_counts(
    serve: Serve, forwarded: str, status: int
) -> None:
    async with serve(
        server={"trusted_proxies": ["127.0.0.1", "10.0.0.0/24"]},
        mpesa={"allowed_addresses": ["196.201.214.0/24"]},
    ) as api:
        reply = await api.post("confirm", paid(), headers={"X-Forwarded-For": forwarded})
    assert reply.status == status


async def test_several_forwarding_headers_are_read_as_one(serve: Serve) -> None:
    async with serve(
        server={"trusted_proxies": ["127.0.0.1"]},
        mpesa={"allowed_addresses": ["196.201.214.0/24"]},
    ) as api:
        for last, status in (("203.0.113.9", 403), ("196.201.214.200", 200)):
            headers = [("X-Forwarded-For", "196.201.214.200"), ("X-Forwarded-For", last)]
            async with api.session.post(
                api.path("confirm"), json=paid(), headers=headers
            ) as response:
                assert response.status == status
