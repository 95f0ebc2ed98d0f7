"""What vendors ask to be written travels from a front to its core, and so does every refusal."""

import asyncio

import pytest

from tests.fronts.desks import NOW, answering, connected
from vending.api.problems import InternalFault
from vending.api.v1.asked import Answer, Asked
from vending.api.v1.batches import NewBatch
from vending.api.v1.errand import Errand
from vending.api.v1.operation import Handle
from vending.api.v1.table import BY_NAME
from vending.api.v1.teller import Teller
from vending.fronts import line as lines
from vending.postgres.pool import CommitUnknown, DatabaseUnavailable
from vending.values import replace
from vending.vendors.register import Caller
from vending.vendors.shifts import ShiftOpen
from vending.vendors.vendor import USUAL_SCOPES, Vendor

CALLER = Caller(
    vendor=Vendor(vendor_id="acme", name="Acme", created_at=NOW),
    credential="abc",
    scopes=USUAL_SCOPES,
    sandbox=False,
)
ERRAND = Errand(
    operation="openBatch", caller=CALLER, path={}, headers={}, query=b"null",
    body=b'{"outlet":"Kisumu"}',
)  # fmt: skip


def answered_by(monkeypatch: pytest.MonkeyPatch, handle: Handle) -> None:
    """Let the core carry errands of one operation out in another way."""
    monkeypatch.setitem(
        BY_NAME, ERRAND.operation, replace(BY_NAME[ERRAND.operation], handle=handle)
    )


async def test_an_errand_arrives_whole_and_its_answer_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[Asked[object, object]] = []

    async def opened(_teller: Teller, asked: Asked[object, object]) -> Answer:
        heard.append(asked)
        return Answer(status=201, headers=(("Location", "/v1/batches/bat_1"),))

    answered_by(monkeypatch, opened)
    async with connected(answering()) as at:
        carried = await lines.carried(at.line, ERRAND)
    assert (carried.status, carried.body) == (201, b"")
    assert carried.headers == (("Location", "/v1/batches/bat_1"),)
    (asked,) = heard
    assert asked.caller == CALLER
    assert asked.body == NewBatch(outlet="Kisumu")
    assert asked.now == NOW


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ShiftOpen(outlet="Kisumu"), ShiftOpen),
        (ConnectionRefusedError(), DatabaseUnavailable),
        (ZeroDivisionError("a secret"), InternalFault),
    ],
)
async def test_every_refusal_of_the_core_is_the_front_s(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, told: type[Exception]
) -> None:
    async def refuses(_teller: Teller, _asked: Asked[object, object]) -> Answer:
        raise fault

    answered_by(monkeypatch, refuses)
    async with connected(answering()) as at:
        with pytest.raises(told) as raised:
            await lines.carried(at.line, ERRAND)
    assert "secret" not in str(raised.value)


async def test_a_core_that_has_gone_may_have_done_it(monkeypatch: pytest.MonkeyPatch) -> None:
    never = asyncio.Event()

    async def waits(_teller: Teller, _asked: Asked[object, object]) -> Answer:
        await never.wait()
        return Answer(status=204)

    answered_by(monkeypatch, waits)
    async with connected(answering(), seconds=0.2) as at:
        with pytest.raises(CommitUnknown):
            await lines.carried(at.line, ERRAND)
        never.set()
