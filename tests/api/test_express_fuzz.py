"""The short way and aiohttp give the same answers; a way that does not is found out."""

import re
from collections.abc import Callable

import pytest

from tests.api.express_fuzz import fuzz
from tests.api.express_requests import Pen
from vending.api.express import Asked, Reading, Way

REQUESTS = 12_000
"""A few seconds; `python -m tests.api.express_fuzz` asks for more."""

SABOTAGED = 60_000
"""At most: it ends with the first round that differs."""


async def test_both_ways_answer_alike_whatever_is_asked() -> None:
    found = await fuzz(requests=REQUESTS, seed=20261122)
    assert found.differences == []
    assert 0.3 < found.express / found.requests < 0.7
    assert found.whole > found.requests // 50
    assert found.doubted > found.requests // 5
    assert found.statuses.keys() >= {200, 201, 400, 403, 404, 405, 409, 413, 500, 503}
    assert found.statuses[200] + found.statuses[201] > found.sent // 4


def test_a_seed_writes_the_same_requests_again() -> None:
    one, same, other = Pen(1), Pen(1), Pen(2)
    written = [one.request() for _ in range(100)]
    assert [same.request() for _ in range(100)] == written
    assert [other.request() for _ in range(100)] != written


class Sabotaged(Way):
    """A way that does not see what is sent, but something plainer."""

    def __init__(self, way: Way, seen: Callable[[bytes], bytes]) -> None:
        self.__dict__.update(way.__dict__)
        self._seen = seen

    def read(self, data: bytes, peer: str | None) -> Asked | Reading | bytes:
        """Read what is seen of the data."""
        return super().read(self._seen(data), peer)


def _without(name: bytes) -> Callable[[bytes], bytes]:
    pattern = re.compile(rb"(?im)^" + name + rb":[^\n]*\n")
    return lambda data: pattern.sub(b"", data)


def _length_as_it_is(data: bytes) -> bytes:
    head, end, body = data.partition(b"\r\n\r\n")
    return re.sub(rb"(?im)^(content-length: )\d+", rb"\g<1>%d" % len(body), head) + end + body


def _first_only(data: bytes) -> bytes:
    at = data.find(b"POST ", 5)
    return data[:at] if at > 0 else data


def _lines_end_anyhow(data: bytes) -> bytes:
    head, end, body = data.partition(b"\r\n\r\n")
    return re.sub(rb"(?<!\r)\n", b"\r\n", head) + end + body


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(_without(rb"transfer-encoding"), id="no Transfer-Encoding"),
        pytest.param(_length_as_it_is, id="no wrong Content-Length"),
        pytest.param(_without(rb"expect"), id="no Expect"),
        pytest.param(_without(rb"connection"), id="no Connection"),
        pytest.param(_without(rb"content-encoding"), id="no Content-Encoding"),
        pytest.param(_without(rb"x-forwarded-for"), id="no X-Forwarded-For"),
        pytest.param(_first_only, id="no second request"),
        pytest.param(_lines_end_anyhow, id="no bare line feed"),
        pytest.param(lambda data: data.replace(b"HTTP/1.0", b"HTTP/1.1"), id="no HTTP/1.0"),
        pytest.param(lambda data: data.replace(b"//internal", b"/internal"), id="single slashes"),
        pytest.param(lambda data: data[: data.find(b"\0")] if b"\0" in data else data, id="no NUL"),
    ],
)
async def test_a_way_that_overlooks_something_is_found_out(seen: Callable[[bytes], bytes]) -> None:
    found = await fuzz(requests=SABOTAGED, seed=1, short=lambda way: Sabotaged(way, seen))
    assert found.differences
