"""What the documents say about the code is true of the code."""

import re
from collections import Counter

from tests import errors_page


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
