"""The page, drawn from a stored run."""

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.loadtest.records import record, samples, second
from vending.loadtest import charts, report
from vending.loadtest.charts import Bar, Limit, Mark, Series
from vending.loadtest.run import Look
from vending.loadtest.scenarios import SCENARIOS, named


def page(scenario: str = "panic-retries", **but: Any) -> str:
    return report.page(record(scenario, **but), named(scenario))


def test_next_to_nothing_does_not_look_like_a_peak() -> None:
    drawn = charts.lines(
        "Age", [Series(name="oldest", points=[(0, 0.0), (1, 0.001)])], unit="seconds"
    )
    assert ">1</text>" in drawn
    assert "0.001</text>" not in drawn


def test_sales_that_were_refused_are_not_drawn_as_vended_and_the_verdict_says_why() -> None:
    refused = {
        'stima_outcomes_total{kind="nothing_sold",reason="float_insufficient"}': 20.0,
        'stima_requests_refused_total{code="float_insufficient"}': 20.0,
    }
    looks = [
        Look(at=0.0, samples=samples()),
        Look(at=1.0, samples=samples(decided=5) | refused),
    ]
    seconds = [second(0, confirms=20, status="422")]
    drawn = page("vendor-day", seconds=seconds, looks=looks)
    assert "20 answered 422; the server&#x27;s reasons are 20 float_insufficient" in drawn
    assert "vended: at most 5 per second" in drawn
    assert "vended: at most 25 per second" in page(seconds=seconds, looks=looks)


class Tags(HTMLParser):
    """Counts elements and keeps the attributes that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        self.loads += [name for name, _ in attrs if name in {"src", "href", "data"}]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_page_loads_nothing_and_every_drawing_is_well_formed(scenario: str) -> None:
    whole = page(scenario)
    tags = Tags()
    tags.feed(whole)
    assert tags.open == []
    assert tags.loads == []
    assert "<script" not in whole
    assert "url(" not in whole
    drawings = re.findall(r"<svg.*?</svg>", whole, re.DOTALL)
    assert len(drawings) >= 6
    for drawing in drawings:
        ET.fromstring(drawing)


def test_the_verdict_is_the_first_paragraph() -> None:
    whole = page()
    assert re.search(r"<h1>Panic after a stop <span[^>]*>Passed</span></h1><p", whole)
    first = re.search(r"<p[^>]*>(.*?)</p>", whole)
    assert first is not None
    assert first[1].startswith("Panic after a stop: 100 payments")


def test_what_was_injected_is_told_in_the_table_and_on_the_charts() -> None:
    whole = page()
    assert whole.count("200 copies at once") > 2
    assert "<td>vending is back</td>" in whole


def test_answers_and_reasons_are_counted() -> None:
    looks = [
        Look(at=0, samples=samples()),
        Look(
            at=3,
            samples=samples(stored=20, decided=20)
            | {'stima_requests_refused_total{code="overloaded"}': 7.0},
        ),
    ]
    whole = page(seconds=[second(0), second(1, status="503"), second(2)], looks=looks)
    assert "<td>503</td>" in whole
    assert "<td>overloaded</td>" in whole


def test_a_target_without_metrics_leaves_its_charts_empty() -> None:
    whole = page(looks=[Look(at=0, samples=None), Look(at=5, samples=None)])
    assert "Nothing was measured here." in whole
    assert "Not proven" not in whole
    assert "Failed" in whole


def test_the_page_names_the_command_that_makes_it_again() -> None:
    assert "vending loadtest panic-retries --target http://127.0.0.1:8080 --seed 7" in page()


def test_names_from_outside_cannot_break_the_page() -> None:
    evil = '<script>alert("x")</script>'
    drawn = charts.lines(
        evil,
        [Series(name=evil, points=[(0, 1.0), (1, 2.0)])],
        unit=evil,
        says=evil,
        marks=[Mark(at=0.5, text=evil)],
        limit=Limit(at=1.5, text=evil),
    ) + charts.bars(evil, [Bar(name=evil, value=1, says=evil)], unit=evil)
    assert "<script" not in drawn


def test_a_gap_in_a_line_is_a_gap() -> None:
    drawn = charts.lines(
        "x", [Series(name="y", points=[(0, 1.0), (1, 2.0), (2, None), (3, 1.0)])], unit="u"
    )
    path = re.search(r'd="([^"]*)"', drawn)
    assert path is not None
    assert path[1].count("M") == 2


def test_nothing_measured_is_said_and_not_drawn() -> None:
    assert "Nothing was measured here." in charts.lines("x", [], unit="u")
    assert "Nothing was measured here." in charts.bars("x", [Bar(name="a", value=0)], unit="u")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12345.6, "12,346"), (0.25, "0.25"), (3.0, "3"), (99.95, "100")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert charts.number(value) == text
