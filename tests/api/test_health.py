"""What our own monitoring is told."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import Lease, Serve, Served, paid


async def test_a_server_with_everything_is_alive_started_and_ready(serve: Serve) -> None:
    async with serve(sequencer=Lease(running=True, waiting=7)) as api:
        assert (await api.get("/health/live")).status == 200
        assert (await api.get("/health/start")).status == 200
        ready = await api.get("/health/ready")
    assert ready.status == 200
    assert ready.json == {
        "ready": True,
        "database": "up",
        "keys": "loaded",
        "tariffs": "loaded",
        "sequencer": "owner",
        "waits_because": None,
        "waiting_payments": 7,
    }


async def test_a_server_that_stands_by_is_ready(serve: Serve) -> None:
    async with serve(sequencer=Lease(running=False)) as api:
        ready = await api.get("/health/ready")
    assert (ready.status, ready.json["sequencer"]) == (200, "standby")


@pytest.mark.parametrize("fault", ["dead", "frozen"])
async def test_without_a_database_the_server_is_alive_and_not_ready(
    serve: Serve, dead_dsn: str, frozen_dsn: str, fault: str
) -> None:
    async with serve(readers_dsn={"dead": dead_dsn, "frozen": frozen_dsn}[fault]) as api:
        ready = await api.get("/health/ready")
        assert (ready.status, ready.json["database"]) == (503, "away")
        assert (await api.get("/health/live")).status == 200


async def test_without_keys_the_server_is_not_ready(serve: Serve) -> None:
    async with serve(keys_loaded=False) as api:
        ready = await api.get("/health/ready")
    assert (ready.status, ready.json["keys"]) == (503, "missing")


async def test_without_a_tariff_the_server_is_not_ready(serve: Serve) -> None:
    async with serve(tariffs_loaded=False) as api:
        ready = await api.get("/health/ready")
    assert (ready.status, ready.json["tariffs"]) == (503, "missing")


async def test_a_server_that_still_starts_is_alive_and_neither_started_nor_ready(
    serve: Serve,
) -> None:
    async with serve(started=False) as api:
        assert (await api.get("/health/start")).status == 503
        assert (await api.get("/health/ready")).status == 503
        assert (await api.get("/health/live")).status == 200


async def test_a_server_that_waits_for_its_database_has_started_and_says_why_it_is_not_ready(
    serve: Serve,
) -> None:
    async with serve(waits_because="database_unavailable") as api:
        assert (await api.get("/health/start")).status == 200
        ready = await api.get("/health/ready")
    assert (ready.status, ready.json["waits_because"]) == (503, "database_unavailable")


async def test_metrics_count_callbacks_by_answer(api: Served) -> None:
    async def stored() -> float:
        text = (await api.get("/metrics")).body.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "stima_callbacks_total" and sample.labels["answer"] == "stored"
        )

    before = await stored()
    await api.post("confirm", paid())
    assert await stored() == before + 1
