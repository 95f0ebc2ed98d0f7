"""The page for developers says what the sandbox does."""

import re
from datetime import UTC, datetime
from pathlib import Path

from vending.sandbox import meters, schedule, world
from vending.sandbox.meters import MAGIC, NOBODYS
from vending.selling import prices

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md").read_text("utf-8")


def test_the_page_lists_every_magic_meter_and_no_other() -> None:
    rows = re.findall(r"^\| `([0-9]+)` \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
    unknown = rows.pop()
    assert rows == [(magic.number, magic.name, magic.says) for magic in MAGIC]
    assert unknown[0] == NOBODYS


def test_the_page_knows_the_limits_and_the_price() -> None:
    assert f"latest {world.SALES_MAX:,} references" in PAGE
    assert f"latest {world.QUOTES_MAX:,} quotes" in PAGE
    at = datetime(2026, 11, 22, tzinfo=UTC)
    seen = prices.seen(MAGIC[0].standing, tariffs=schedule.catalogue(), at=at)
    kwh_minor = seen.kwh_minor or 0
    assert f"{kwh_minor // 100}.{kwh_minor % 100:02} for a kilowatt-hour" in PAGE


def test_the_example_of_the_page_is_the_active_meter() -> None:
    (active,) = [magic for magic in MAGIC if magic.name == "active"]
    assert PAGE.count(active.number) == 3
    assert meters.find(active.number).trick is None
