"""What the documents say about the code is true of the code."""

import re
from collections import Counter

import pytest

from tests import errors_page, reference_pages


def test_the_errors_page_is_what_the_error_classes_say() -> None:
    """Run `python -m tests.errors_page` after adding or rewording an error."""
    assert errors_page.PAGE.read_text(encoding="utf-8") == errors_page.page()


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = errors_page.kinds()
    assert len(kinds) > 20
    assert all("code" in vars(kind) for kind in kinds)
    codes = Counter(kind.code for kind in kinds)
    assert [code for code, times in codes.items() if times > 1] == []
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", code) for code in codes)


def test_every_error_says_what_happened_in_a_sentence_of_one_line() -> None:
    for kind in errors_page.kinds():
        assert re.fullmatch("[A-Z].*[.]", kind.sentence()), kind


@pytest.mark.parametrize("name", reference_pages.PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    """Run `python -m tests.reference_pages` after changing a setting, a metric or a command."""
    page = reference_pages.PAGES[name]()
    assert (reference_pages.REFERENCE / name).read_text(encoding="utf-8") == page


def test_every_metric_has_a_sentence() -> None:
    rows = [row for row in reference_pages.metrics_page().splitlines() if row.startswith("| `")]
    assert len(rows) > 10
    assert all(re.search(r"[.;][^|]*\|$", row) for row in rows), rows
