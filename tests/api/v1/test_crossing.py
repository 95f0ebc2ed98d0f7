"""Two vendors: whatever one names of the other's is not there, and stays as it was."""

from typing import Any

import pytest

from tests.api.v1.conftest import Caller
from tests.api.v1.test_callers import refused
from tests.api.v1.test_webhooks import HOOK, made, spread
from tests.conftest import SettableClock
from vending.api.v1.table import OPERATIONS
from vending.postgres.pool import Connection

BODIES: dict[str, dict[str, Any]] = {
    "changeEndpoint": {"enabled": False, "url": "https://thief.example.com/"},
    "rotateSecret": {"overlap_seconds": 0},
    "replayEvents": {
        "since": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z", "delivered": True,
    },
}  # fmt: skip

# Sales and quotes cross in test_sales.py, where there is something to sell.
NAMED = [one for one in OPERATIONS if "{" in one.path and one.tag != "sales"]


@pytest.fixture
async def acmes(acme: Caller, office: Connection, clock: SettableClock) -> dict[str, str]:
    """Make one of everything for acme; return their names."""
    slip = {"bank": "kcb", "bank_reference": "FT1", "amount_minor": 5}
    deposit = (await acme.post("/v1/deposits", slip)).json["deposit"]
    batch = (await acme.post("/v1/batches", {"outlet": "Kisumu"})).json["batch"]
    endpoint = (await made(acme))["endpoint"]
    event = (await acme.post(f"/v1/webhooks/{endpoint}/test")).json["event"]
    await spread(office, clock)
    return {"deposit": deposit, "batch": batch, "endpoint": endpoint, "event": event}


async def everything(caller: Caller, names: dict[str, str]) -> list[object]:
    paths = (
        "/v1/deposits", f"/v1/batches/{names['batch']}", "/v1/webhooks",
        f"/v1/webhooks/{names['endpoint']}/deliveries",
    )  # fmt: skip
    return [(await caller.get(path)).json for path in paths]


@pytest.mark.parametrize("name", [one.name for one in NAMED])
async def test_what_is_another_vendor_s_is_not_there(
    acme: Caller, bolt: Caller, acmes: dict[str, str], name: str
) -> None:
    (operation,) = [one for one in NAMED if one.name == name]
    before = await everything(acme, acmes)
    path = operation.path.format(**acmes)
    foreign = await bolt.ask(operation.method, path, BODIES.get(name))
    assert foreign.status == 404, foreign.body
    # It looks exactly as what never was.
    nothing = operation.path.format(deposit="dep_1", batch="bat_1", endpoint="ep_1", event="evt_1")
    unknown = await bolt.ask(operation.method, nothing, BODIES.get(name))
    assert (unknown.status, unknown.json["code"]) == (404, foreign.json["code"])
    assert await everything(acme, acmes) == before
    own = await acme.ask(operation.method, path, BODIES.get(name))
    assert own.status < 300 or own.json["code"] == "webhook_event_unknown", own.body


async def test_an_event_is_not_had_by_an_endpoint_of_one_s_own(
    bolt: Caller, acmes: dict[str, str]
) -> None:
    own = (await bolt.post("/v1/webhooks", HOOK)).json["endpoint"]
    path = f"/v1/webhooks/{own}/deliveries/{acmes['event']}"
    refused(await bolt.get(path), 404, "webhook_event_unknown")
    refused(await bolt.post(f"{path}/replay"), 404, "webhook_event_unknown")


async def test_lists_hold_nothing_of_another(
    bolt: Caller, acmes: dict[str, str], office: Connection
) -> None:
    assert acmes
    for path, member in (
        ("/v1/deposits", "deposits"), ("/v1/batches", "batches"),
        ("/v1/webhooks", "endpoints"), ("/v1/statement", "lines"),
    ):  # fmt: skip
        assert (await bolt.get(path)).json[member] == []
    # Nor behind another's cursor.
    number = acmes["deposit"].removeprefix("dep_")
    assert await office.fetchval("select vendor_id from deposit where deposit_id = $1",
                                 int(number)) == "acme"  # fmt: skip


@pytest.mark.parametrize(
    "text", ["dep_", "dep_x", "ep_1", "1", "dep_99999999999999999999", "dep_٣"]
)
async def test_a_name_that_never_was_one_is_not_there(acme: Caller, text: str) -> None:
    refused(await acme.get(f"/v1/deposits/{text}"), 404, "deposit_unknown")
    refused(await acme.get(f"/v1/batches/{text}"), 404, "shift_unknown")
