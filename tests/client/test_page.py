"""The page about the client names what there is, and its programs are programs."""

import inspect
import re
from pathlib import Path

import pytest

from vending import client
from vending.client import AsyncClient, Client
from vending.client.methods import Methods

PAGE = (Path(__file__).parents[2] / "docs" / "operating" / "client.md").read_text(encoding="utf-8")
METHODS = [name for name in vars(Methods) if not name.startswith("_")]
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_method_is_listed_and_none_that_is_not_there() -> None:
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    listed = re.findall(r"`(\w+)`", " ".join(cells))
    assert len(METHODS) > 25
    problems = {"Refused", "Busy", "Unreachable", "OutcomeUnknown", "AnswerMalformed"}
    assert set(listed) - problems == set(METHODS)
    assert problems <= set(client.__all__)


@pytest.mark.parametrize("name", METHODS)
def test_both_clients_have_a_method_and_say_what_it_is_for(name: str) -> None:
    for kind in (Client, AsyncClient):
        assert inspect.getdoc(getattr(kind, name)), name


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_asks_only_for_what_there_is(program: str) -> None:
    compile(program, "client.md", "exec")
    asked = re.findall(r"\bacme\.(\w+)\(", program)
    assert set(asked) <= set(METHODS)
