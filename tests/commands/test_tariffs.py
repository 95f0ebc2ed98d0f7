"""`vending tariffs`, run as a person runs it."""

from pathlib import Path

import pytest

from tests.commands.demo_process import ran
from tests.commands.offices import TARIFF
from tests.database import Database


async def tariffs(database: Database, *arguments: str | Path) -> tuple[int, str]:
    """Run one command on a database; return its exit code and all it printed."""
    environment = {"STIMA_DATABASE__DSN": database.dsn, "COLUMNS": "100"}
    code, told = await ran("tariffs", *arguments, environment=environment)
    assert "Traceback" not in told
    return code, told


async def test_a_version_is_loaded_once_and_listed(database: Database) -> None:
    first = await tariffs(database, "load", TARIFF)
    assert first[0] == 0, first[1]
    assert first[1].startswith("KE-DC ")
    assert await tariffs(database, "load", TARIFF) == first
    code, listed = await tariffs(database, "list")
    assert (code, listed.count("KE-DC")) == (0, 1)


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        ('tender = "1000.00"', 'tender = "1000.01"', "tariff_example_fails"),
        ('taxes = "added"', 'taxes = "gone"', "tariff_malformed"),
        ("[tender]", "[tender", "tariff_malformed"),
    ],
    ids=["its example", "a word", "the form"],
)
async def test_a_file_at_odds_with_itself_is_not_activated(
    database: Database, tmp_path: Path, was: str, becomes: str, named: str
) -> None:
    text = TARIFF.read_text(encoding="utf-8")
    assert was in text
    path = tmp_path / "tariff.toml"
    path.write_text(text.replace(was, becomes, 1), encoding="utf-8")
    code, told = await tariffs(database, "load", path)
    assert code == 1
    assert named in told
    assert "KE-DC" not in (await tariffs(database, "list"))[1]


async def test_a_file_that_cannot_be_read_is_named(database: Database, tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"title = '\xff'")
    for name in ("none.toml", "latin.toml"):
        code, told = await tariffs(database, "load", tmp_path / name)
        assert code == 1
        assert "tariff_file_unreadable" in told
        assert name in told
