"""Writes down which refusals came over a test's sockets: where it was asked, the code, the status.

Only what a client has really read is written down. tests/api/produced.py says which test produces
which code, and `require_promised` holds a test to that.
"""

import json
from types import SimpleNamespace
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import aiohttp
import pytest

from tests.api import produced


class Heard(NamedTuple):
    """One refusal."""

    surface: str
    code: str
    status: int


def surface_of(path: str) -> str:
    """Return what was asked: `v1`, `token`, `xmlvend`, or nothing that is listed."""
    if path.startswith("/v1/"):
        return "v1"
    return {"/oauth/token": "token", "/xmlvend": "xmlvend"}.get(path, "")


def code_of(body: bytes) -> str:
    """Return the code that a refusal has in its body, as JSON or as a fault; else nothing."""
    if body.startswith(b"{"):
        told = json.loads(body)
        return str(told.get("code", ""))
    if b"faultCode" not in body:
        return ""
    codes = [one.text or "" for one in ET.fromstring(body).iter() if one.tag.endswith("faultCode")]
    return codes[0]


def listening(written: list[Heard]) -> aiohttp.TraceConfig:
    """Return what has a client session write down the refusals that it reads."""

    async def ended(_session: aiohttp.ClientSession, context: SimpleNamespace, told: Any) -> None:
        context.status = told.response.status

    async def read(_session: aiohttp.ClientSession, context: SimpleNamespace, told: Any) -> None:
        surface, code = surface_of(told.url.path), code_of(told.chunk)
        if surface and code:
            written.append(Heard(surface, code, context.status))

    config = aiohttp.TraceConfig()
    config.on_request_end.append(ended)
    config.on_response_chunk_received.append(read)
    return config


def require_promised(node: pytest.Item, written: list[Heard]) -> None:
    """Fail unless a test heard what it is to, and nothing at all that is not documented."""
    known = produced.documented()
    for one in written:
        expected = (known[one.surface] | produced.ANYWHERE).get(one.code)
        # Of the faults that are not listed a till knows only that they are the system's.
        if one.surface != "xmlvend":
            assert expected == one.status, f"{one} is not documented"
    test = node.nodeid.removeprefix("tests/api/").partition("[")[0]
    for surface, codes in produced.promised(test).items():
        heard = {one.code for one in written if one.surface == surface}
        assert named_in(node, codes) <= heard, f"{test} is to hear {codes} at {surface}"


def named_in(node: pytest.Item, codes: set[str]) -> set[str]:
    """Return those of some codes that this case of a test is to hear."""
    case = getattr(node, "callspec", None)
    if case is None:
        return codes
    marks = repr([mark.args for mark in node.iter_markers("parametrize")])
    mine = repr(list(case.params.values()))
    return {code for code in codes if f"'{code}'" in mine or f"'{code}'" not in marks}
