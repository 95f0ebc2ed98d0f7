"""Delivery reports on a real socket: what they change, and what they may not."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.api.conftest import Serve, Served
from tests.conftest import SettableClock
from vending import metrics
from vending.postgres.pool import Connection

SECRET = "sms-0123456789abcdef"
SMS: dict[str, Any] = {"callback_secret": SECRET, "callback_addresses": ["127.0.0.1"]}


@pytest.fixture
async def api(serve: Serve) -> AsyncIterator[Served]:
    async with serve(sms=SMS) as served:
        yield served


@pytest.fixture
async def sent(db: Connection, clock: SettableClock) -> None:
    await db.execute(
        """insert into message (bucket, message_id, kind, recipient, body, state, next_attempt_at,
                                created_at, sent_at, gateway_id)
           values (0, 1, 'receipt', '+254708374149', 'x', 'sent', $1, $1, $1, 'ATXid_1'),
                  (0, 2, 'receipt', '+254708374149', 'x', 'waiting', $1, $1, null, null)""",
        clock(),
    )


async def report(
    served: Served, status: str, *, gateway_id: str = "ATXid_1", reason: str = ""
) -> int:
    form = {
        "id": gateway_id,
        "status": status,
        "phoneNumber": "+254708374149",
        "networkCode": "63902",
        "failureReason": reason,
        "retryCount": "0",
    }
    async with served.session.post(f"{served.url}/sms/{SECRET}/report", data=form) as answer:
        return answer.status


async def first(db: Connection) -> asyncpg.Record:
    row = await db.fetchrow("select * from message where message_id = 1")
    assert row is not None
    return row


def counted(status: str) -> float:
    return metrics.delivery_reports.labels(status).value


async def test_a_delivery_is_written_down_once(
    api: Served, db: Connection, sent: None, clock: SettableClock
) -> None:
    before = counted("delivered")
    assert await report(api, "Success") == 200
    row = await first(db)
    assert (row["state"], row["settled_at"]) == ("delivered", clock())
    clock.advance(hours=1)
    assert await report(api, "Success") == 200
    assert await report(api, "Failed", reason="DeliveryFailure") == 200
    assert await first(db) == row
    assert counted("delivered") == before + 2


@pytest.mark.parametrize("status", ["Failed", "Rejected"])
async def test_a_failure_is_written_down_with_its_reason(
    api: Served, db: Connection, sent: None, status: str
) -> None:
    assert await report(api, status, reason="UserInBlacklist") == 200
    row = await first(db)
    assert (row["state"], row["last_failure"]) == ("failed", "UserInBlacklist")


@pytest.mark.parametrize("status", ["Sent", "Submitted", "Buffered", "Whatever", ""])
async def test_what_is_not_final_changes_nothing(
    api: Served, db: Connection, sent: None, status: str
) -> None:
    before = await first(db)
    assert await report(api, status) == 200
    assert await first(db) == before


async def test_a_report_of_a_message_nobody_sent_is_counted_and_acknowledged(
    api: Served, db: Connection, sent: None
) -> None:
    before = counted("unknown_message")
    assert await report(api, "Success", gateway_id="ATXid_9") == 200
    assert counted("unknown_message") == before + 1
    assert (await first(db))["state"] == "sent"


async def test_a_report_without_an_id_is_refused(api: Served, sent: None) -> None:
    assert await report(api, "Success", gateway_id="") == 400
    assert await report(api, "Success", gateway_id="x" * 300) == 400


async def test_only_the_carrier_with_the_secret_is_heard(
    api: Served, serve: Serve, db: Connection, sent: None
) -> None:
    data = {"id": "ATXid_1", "status": "Failed"}
    async with api.session.post(f"{api.url}/sms/wrong/report", data=data) as answer:
        assert answer.status == 404
    async with serve(sms={**SMS, "callback_addresses": ["10.0.0.1"]}) as elsewhere:
        assert await report(elsewhere, "Failed") == 403
    async with serve(sms={**SMS, "callback_secret": ""}) as closed:
        assert await report(closed, "Failed") == 404
    assert (await first(db))["state"] == "sent"


async def test_without_a_database_the_carrier_is_asked_to_come_again(
    serve: Serve, dead_dsn: str
) -> None:
    async with serve(sms=SMS, readers_dsn=dead_dsn) as served:
        assert await report(served, "Success") == 503
