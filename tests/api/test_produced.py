"""Every documented code of the vendors' interfaces is produced by a test, over a real socket."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import aiohttp
import pytest

from tests.api import produced
from tests.api.conftest import settings
from tests.api.heard import Heard, listening
from tests.api.v1.conftest import (  # noqa: F401 -- fixtures are found by their names
    SECRET,
    a_vendor,
    office,
    seals,
)
from tests.conftest import SettableClock
from tests.database import Database
from vending import sandbox_server
from vending.postgres.pool import Connection
from vending.vendors.seals import Seals

HERE = Path(__file__).parent
DOCUMENTED = [
    (surface, code) for surface, codes in produced.documented().items() for code in sorted(codes)
]
NAMED = sorted({test for tests in produced.PRODUCED.values() for test in tests})


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((HERE / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


@pytest.mark.parametrize(("surface", "code"), DOCUMENTED)
def test_a_documented_code_is_produced_by_one_test(surface: str, code: str) -> None:
    told = Counter(code for codes in produced.PRODUCED[surface].values() for code in codes.split())
    assert told[code] == 1, "name in tests/api/produced.py the test that produces it"


def test_nothing_is_said_to_be_produced_that_is_not_documented() -> None:
    said = {
        (surface, code)
        for surface, tests in produced.PRODUCED.items()
        for codes in tests.values()
        for code in codes.split()
    }
    assert said - set(DOCUMENTED) == set()


@pytest.mark.parametrize("test", NAMED)
def test_what_is_said_to_produce_codes_is_a_test(test: str) -> None:
    path, *_, name = test.split("::")
    assert name in names_in(path)


async def test_a_live_key_is_told_that_a_server_is_a_sandbox(
    database: Database,
    office: Connection,  # noqa: F811
    seals: Seals,  # noqa: F811
    clock: SettableClock,
    heard: list[Heard],
) -> None:
    live = await a_vendor(office, "acme", seals=seals, clock=clock)
    config = settings(vendors={"secret": SECRET}, database={"dsn": database.dsn})
    async with (
        sandbox_server.running(config, clock=clock) as url,
        aiohttp.ClientSession(trace_configs=[listening(heard)]) as session,
        session.get(
            f"{url}/v1/sales/a", headers={"Authorization": f"Bearer {live.secret}"}
        ) as response,
    ):
        assert response.status == 403
        assert (await response.json(content_type=None))["code"] == "sandbox_server"
