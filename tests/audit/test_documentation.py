"""The operator's page lists every rule, under its promise, in the rule's own words."""

import re
from pathlib import Path

from vending.audit import auditor

PAGE = Path(__file__).parents[2] / "docs" / "operating" / "audit.md"


def test_the_page_says_what_each_rule_says_and_what_to_do() -> None:
    told = []
    promise = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## (P[0-9]):", line):
            promise = heading[1]
        elif row := re.fullmatch(r"\| `([a-z-]+)` \| (.+) \| (.+\.) \|", line):
            told.append((promise, row[1], row[2]))
    assert told == [(rule.promise, rule.name, rule.says) for rule in auditor.RULES]


def test_the_page_counts_the_rules() -> None:
    assert f"{len(auditor.RULES)} rules checked" in PAGE.read_text(encoding="utf-8")
