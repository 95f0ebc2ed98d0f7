"""docs/reference/bad-input.md names real codes and real tests, for all that it lists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests import errors_page

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "bad-input.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (.+?) \| (.+?) \| (?:`(\w+)`|none) \| `([\w/.]+)::(\w+)` \|$", re.MULTILINE)
ROWS: list[tuple[str, str, str, str, str]] = ROW.findall(PAGE)

MUST_BE_LISTED = (
    "malformed meter number", "unknown short code", "not the operator's", "wrong secret",
    "negative, zero, huge, with fractions", "future or an ancient", "with other facts",
    "every fault a row can have", "contradicts its examples", "check value (KCV), parity",
    "another PostgreSQL version", "busy port", "disk that is full", "fills up",
)  # fmt: skip


@cache
def named_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_line_of_the_tables_is_read() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    headings = [line for line in lines if line.startswith("| input |")]
    assert len(ROWS) == len(lines) - len(headings)
    assert len(headings) == 5


@pytest.mark.parametrize(("bad", "_outcome", "code", "path", "name"), ROWS)
def test_bad_input_has_its_code_and_its_test(
    bad: str, _outcome: str, code: str, path: str, name: str
) -> None:
    assert name in named_in(path), bad
    assert not code or code in {kind.code for kind in errors_page.kinds()}, bad


@pytest.mark.parametrize("bad", MUST_BE_LISTED)
def test_what_every_release_must_stand_is_listed(bad: str) -> None:
    assert any(bad in row[0] for row in ROWS)
