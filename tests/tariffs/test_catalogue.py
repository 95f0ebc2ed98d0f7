"""Versions are activated by their examples, never rewritten, and in force by date."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.database import Database
from tests.tariffs.books import TEXTS
from vending.postgres.pool import Connection
from vending.tariffs import catalogue
from vending.tariffs.catalogue import Catalogue, TariffVersionConflict
from vending.tariffs.example import TariffExampleFails
from vending.tariffs.quote import Usage, price
from vending.tariffs.tariff import TariffUnknown

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
THREE_STEP = TEXTS["three-step"]


async def versions(db: Connection) -> list[tuple[str, str]]:
    rows = await db.fetch("select code, version from tariff_version order by code, version")
    return [(row["code"], row["version"]) for row in rows]


async def test_a_loaded_version_prices_from_its_beginning_on(db: Connection) -> None:
    loaded = await catalogue.load(db, THREE_STEP, now=NOW)

    tariffs = await catalogue.read(db)

    assert (loaded.code, loaded.version, loaded.loaded_at) == ("THREE-STEP", "2026-01", NOW)
    tariff = tariffs.in_force("THREE-STEP", loaded.effective_from)
    quote = price(121_00, tariff=tariff, category=None, usage=Usage(), at=loaded.effective_from)
    assert quote.energy_wh == 10_000
    with pytest.raises(TariffUnknown):
        tariffs.in_force("THREE-STEP", loaded.effective_from - timedelta(microseconds=1))


async def test_every_shipped_schedule_can_be_loaded_and_kenyas_years_follow_each_other(
    db: Connection,
) -> None:
    for text in catalogue.shipped().values():
        await catalogue.load(db, text, now=NOW)

    tariffs = await catalogue.read(db)

    assert tariffs.codes() == ("KE-DC", "THREE-STEP", "UG-10.1")
    midnight = datetime(2024, 6, 30, 21, 0, tzinfo=UTC)
    before = tariffs.in_force("KE-DC", midnight - timedelta(microseconds=1))
    assert before.version == "2023-24"
    assert tariffs.in_force("KE-DC", midnight).version == "2024-25"
    assert tariffs.in_force("KE-DC", NOW).version == "2025-26"
    assert tariffs.version("KE-DC", "2023-24") == before


async def test_loading_the_same_file_again_does_nothing(db: Connection) -> None:
    first = await catalogue.load(db, THREE_STEP, now=NOW)

    again = await catalogue.load(db, THREE_STEP, now=NOW + timedelta(days=1))

    assert again == first
    assert await versions(db) == [("THREE-STEP", "2026-01")]


async def test_a_version_is_never_rewritten(db: Connection) -> None:
    await catalogue.load(db, THREE_STEP, now=NOW)

    with pytest.raises(TariffVersionConflict) as conflict:
        await catalogue.load(db, THREE_STEP + "# mended\n", now=NOW)

    assert conflict.value.code == "tariff_version_conflict"
    assert conflict.value.facts["loaded"] == "2026-01"
    stored = await db.fetchval("select source from tariff_version")
    assert stored == THREE_STEP


async def test_two_versions_never_begin_together(db: Connection) -> None:
    await catalogue.load(db, THREE_STEP, now=NOW)
    rival = THREE_STEP.replace('version = "2026-01"', 'version = "2026-01b"')

    with pytest.raises(TariffVersionConflict) as conflict:
        await catalogue.load(db, rival, now=NOW)

    assert conflict.value.facts["loaded"] == "2026-01"
    assert await versions(db) == [("THREE-STEP", "2026-01")]


async def test_a_file_that_contradicts_its_examples_is_not_activated(db: Connection) -> None:
    mistyped = THREE_STEP.replace('rate = "20.00"', 'rate = "20.50"')

    with pytest.raises(TariffExampleFails) as failure:
        await catalogue.load(db, mistyped, now=NOW)

    assert failure.value.facts["example"] == "across the first edge"
    assert await versions(db) == []


async def test_the_servers_own_role_may_load_but_not_rewrite_versions(
    database: Database,
) -> None:
    db = await asyncpg.connect(database.dsn)
    try:
        await catalogue.load(db, THREE_STEP, now=NOW)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("update tariff_version set source = ''")
    finally:
        await db.close()


def test_a_code_without_a_version_is_unknown() -> None:
    with pytest.raises(TariffUnknown) as unknown:
        Catalogue([]).in_force("KE-DC", NOW)

    assert unknown.value.code == "tariff_unknown"


def test_a_version_that_was_never_loaded_is_unknown() -> None:
    with pytest.raises(TariffUnknown):
        Catalogue([]).version("KE-DC", "2026-27")
