"""The page is made from the stored result alone, and shows everything that is in it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from benchmarks import report
from benchmarks.goals import GOALS, Result

STORED = Path(__file__).with_name("stored.json")


@pytest.fixture(name="stored")
def _stored() -> Result:
    return msgspec.json.decode(STORED.read_bytes(), type=Result)


class Page(HTMLParser):
    """Collects what a browser would show, and what it would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_needs_nothing_but_itself(stored: Result) -> None:
    page = Page(report.page(stored))
    assert page.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "url(" not in report.page(stored)


def test_every_figure_is_shown_with_its_bounds_and_its_circumstances(stored: Result) -> None:
    text = " ".join(Page(report.page(stored)).text)
    for figure in stored.figures.values():
        assert figure.key in text
        assert report.bound(figure, figure.must) in text
        assert (figure.note or figure.reason) in text


def test_the_pictures_of_a_whole_run_are_all_there(stored: Result) -> None:
    page = report.page(stored)
    assert page.count("<svg") == page.count("</svg>") == 10
    assert "Nothing was measured here" not in page


def test_an_overload_is_told_round_by_round(stored: Result) -> None:
    text = " ".join(Page(report.page(stored)).text)
    for one in stored.details["overload"]:
        assert f"{one['offered']:,.0f}/s {one['goodput']:,.0f}/s" in text
        assert ", ".join(f"{code}: {count:,}" for code, count in one["answers"].items()) in text


def test_what_had_to_be_measured_again_is_told(stored: Result) -> None:
    text = " ".join(Page(report.page(stored)).text)
    assert "2 measurements, 1 of them made more than once" in text
    assert "lost 0.31 cores to other programs" in text


def test_the_machine_and_the_books_are_told(stored: Result) -> None:
    text = " ".join(Page(report.page(stored)).text)
    for says, _holds, told in stored.books:
        assert says in text
        assert told in text
    for value in stored.machine.values():
        assert value in text


def test_books_that_do_not_balance_are_not_to_be_overlooked(stored: Result) -> None:
    stored.books.append(("vend: the ledger", False, "one cent is missing"))
    page = report.page(stored)
    assert "THE BOOKS DO NOT BALANCE" in page
    assert "BROKEN" in page


def test_a_run_of_nothing_still_makes_a_page() -> None:
    empty = Result(made_at="2026-11-22T08:00:00+00:00", command="python -m benchmarks")
    empty.complete()
    page = report.page(empty)
    assert f"0 of {len(GOALS)} figures were measured" in page
    assert "<svg" not in page


def test_what_a_result_says_cannot_become_markup(stored: Result) -> None:
    stored.machine["processor"] = "<script>alert(1)</script>"
    assert "<script" not in report.page(stored)


def test_a_verdict_is_one_of_four(stored: Result) -> None:
    said = {report.judgement(figure) for figure in stored.figures.values()}
    assert said <= {"aim reached", "bound kept", "missed", "not measured"}


def test_the_stored_result_names_no_path_of_the_machine_that_made_it() -> None:
    assert not re.search(r"/(tmp|home|root|work)/", STORED.read_text())
