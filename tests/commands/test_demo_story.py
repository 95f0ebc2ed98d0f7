"""The narrator: pictures on a terminal, lines in a pipe, and a summary when too much happens."""

import io
import re
from datetime import UTC, datetime

import pytest
from rich.console import Console

from vending.commands.demo_story import LINES_A_SECOND, Narrator, kwh
from vending.simulation.meter import Entry
from vending.simulation.sms_carrier import Text
from vending.simulation.town import Reading

TOLD = "Mtr:14123456783 Token:1111-1111-1111-1111-1111 Units:15.9"


def narrating(*, terminal: bool) -> tuple[Narrator, io.StringIO]:
    screen = io.StringIO()
    return Narrator(Console(file=screen, force_terminal=terminal, soft_wrap=True)), screen


def a_reading(verdict: str = "Accept") -> Reading:
    text = Text(
        number="+254700000001", body=TOLD, sender="STIMA", message_id="ATXid_1",
        arrived_at=datetime(2026, 11, 22, tzinfo=UTC),
    )  # fmt: skip
    tenths = 159 if verdict == "Accept" else 0
    entry = Entry(
        meter_number="14123456783", verdict=verdict, tenths=tenths,
        before_tenths=41, after_tenths=41 + tenths,
    )  # fmt: skip
    return Reading(text=text, entries=(entry,))


def test_in_a_pipe_a_text_and_its_token_are_two_plain_lines() -> None:
    narrator, screen = narrating(terminal=False)
    narrator.reading(a_reading())
    assert screen.getvalue().splitlines() == [
        f"  phone        +254700000001: {TOLD}",
        "  meter        14123456783 accepts: 4.1 + 15.9 = 20.0 kWh",
    ]


def test_on_a_terminal_a_text_is_shown_on_a_screen() -> None:
    narrator, screen = narrating(terminal=True)
    narrator.reading(a_reading())
    shown = re.sub(r"\x1b\[[0-9;]*m|[│\n]", "", screen.getvalue())
    assert "╭" in shown
    assert "+254700000001" in shown
    assert all(word in shown for word in TOLD.split())


def test_a_refusal_is_told_with_the_meters_own_word() -> None:
    narrator, screen = narrating(terminal=False)
    narrator.reading(a_reading("UsedError"))
    assert "refuses (UsedError): 4.1 + 0.0 = 4.1 kWh" in screen.getvalue()


def test_a_flood_is_summed_up_and_quiet_is_not_commented_on() -> None:
    narrator, screen = narrating(terminal=False)
    for _ in range(LINES_A_SECOND + 10):
        narrator.reading(a_reading())
    assert screen.getvalue().count("phone ") == LINES_A_SECOND
    narrator.sum_up()
    assert "10 more texts; 14 tokens accepted so far" in screen.getvalue()
    written = screen.getvalue()
    narrator.sum_up()
    assert screen.getvalue() == written
    narrator.reading(a_reading())
    assert screen.getvalue().count("phone ") == LINES_A_SECOND + 1


def test_square_brackets_in_a_text_are_shown_and_not_obeyed() -> None:
    narrator, screen = narrating(terminal=False)
    narrator.phone("+254700000001", "[red]Umeme[/red]")
    assert "[red]Umeme[/red]" in screen.getvalue()


@pytest.mark.parametrize(("tenths", "shown"), [(0, "0.0"), (9, "0.9"), (12_345, "1234.5")])
def test_a_display_shows_kilowatt_hours(tenths: int, shown: str) -> None:
    assert kwh(tenths) == shown
