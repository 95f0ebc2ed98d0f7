"""When deliveries are tried again."""

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vending.webhooks.schedule import (
    ATTEMPTS_MAX,
    PAUSES,
    RETRY_AFTER_MAX,
    WAITS,
    retry_after,
    wait_after,
)

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "webhooks.md"


def test_waits_grow_over_three_days_and_up_to_a_quarter_is_chance() -> None:
    assert list(WAITS) == sorted(WAITS)
    assert sum(WAITS, timedelta()) > timedelta(days=3)
    chance = random.Random(1)
    for attempt, wait in enumerate(WAITS, start=1):
        given = [wait_after(attempt, chance=chance) or timedelta() for _ in range(50)]
        assert all(wait <= one <= wait * 5 / 4 for one in given)
        assert len(set(given)) > 10


def test_the_last_try_is_the_last() -> None:
    assert wait_after(ATTEMPTS_MAX, chance=random.Random(1)) is None


def test_a_failing_endpoint_rests_twice_as_long_each_time_up_to_a_minute() -> None:
    assert [pause.total_seconds() for pause in PAUSES] == [1, 2, 4, 8, 16, 32, 60]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 22 Nov 2026 08:10:00 GMT", 600),
        ("Sun, 22 Nov 2026 08:10:00 -0000", 600),
        ("Sun, 22 Nov 2026 07:00:00 GMT", 0),
        ("999999999", RETRY_AFTER_MAX.total_seconds()),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX.total_seconds()),
    ],
)
def test_retry_after_is_read_within_reason(header: str, seconds: float) -> None:
    assert retry_after(header, now=NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("header", [None, "", "-1", "1.5", "soon", "9" * 400, "Sun, 99 Nov 2026"])
def test_a_retry_after_that_makes_no_sense_asks_for_nothing(header: str | None) -> None:
    assert retry_after(header, now=NOW) is None


def test_the_page_for_vendors_shows_this_schedule() -> None:
    told = re.findall(r"^\| (\d+) \| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    units = {"s": 1, "min": 60, "h": 3600}
    waits = [
        timedelta(seconds=int(number) * units[unit])
        for _attempt, said in told[1:]
        for number, unit in [said.split(" ")]
    ]
    assert waits == list(WAITS)
    assert len(told) == ATTEMPTS_MAX
