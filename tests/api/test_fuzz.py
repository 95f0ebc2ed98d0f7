"""Whatever is sent to the callbacks, they answer shortly, keep what matters and stay alive."""

import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.api.conftest import SECRET, Served, paid
from vending import metrics
from vending.postgres.pool import Connection

FUZZED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

WANTED = ("TransID", "TransTime", "TransAmount", "BusinessShortCode", "BillRefNumber", "MSISDN")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=80)
    | st.sampled_from(
        ["1e3", "NaN", "-1", "\0", "\ud800", "\u0665\u0660", "0x10", "500.00 ", "9" * 400]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
MEMBERS = st.dictionaries(st.sampled_from(WANTED) | st.text(max_size=12), VALUES, max_size=6)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Return bytes from nearly right to hopeless."""
    members = {**paid(), **draw(MEMBERS)}
    text = json.dumps(members)
    if draw(st.booleans()):
        twice = draw(st.sampled_from(WANTED))
        text = text[:-1] + f', "{twice}": {json.dumps(draw(SCALARS))}}}'
    sent = text.encode(
        draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le", "latin-1"])), "replace"
    )
    if draw(st.booleans()):
        at = draw(st.integers(0, len(sent)))
        sent = sent[:at] + draw(st.binary(max_size=8)) + sent[at + draw(st.integers(0, 8)) :]
    return sent


ODD_BODIES = bodies() | st.binary(max_size=400)


async def kept(db: Connection, sent: bytes) -> bool:
    """Return whether these very bytes are a payment or in quarantine."""
    return bool(
        await db.fetchval(
            "select exists (select from payment where raw = $1)"
            " or exists (select from quarantine where payload = $1)",
            sent,
        )
    )


@FUZZED
@given(sent=ODD_BODIES)
async def test_a_confirmation_is_stored_or_put_aside_and_never_lost(
    api: Served, db: Connection, sent: bytes
) -> None:
    await db.execute("truncate payment, quarantine")
    refused = metrics.requests_refused.labels(code="notice_malformed")
    before = refused.value
    with capture_logs() as lines:
        reply = await api.post("confirm", sent)
    assert reply.status in {200, 400}
    if reply.status == 400:
        assert reply.json["code"] == "notice_malformed"
        assert reply.json["money_state"] == "held"
        assert refused.value == before + 1
    assert len(lines) <= 1
    assert await kept(db, sent)


@FUZZED
@given(sent=ODD_BODIES)
async def test_a_validation_is_answered_and_leaves_no_trace(
    api: Served, db: Connection, sent: bytes
) -> None:
    reply = await api.post("check", sent)
    assert reply.status in {200, 400}
    assert reply.json.keys() >= ({"ResultCode"} if reply.status == 200 else {"code", "retry"})
    assert not await db.fetchval(
        "select exists (select from payment) or exists (select from quarantine)"
    )


@FUZZED
@given(
    head=st.binary(max_size=200) | st.just(f"POST /op/saf/{SECRET}/v1/check HTTP/1.1\r\n".encode()),
    tail=st.lists(
        st.binary(max_size=40)
        | st.sampled_from(
            [
                b"\r\n", b"\r\n\r\n", b"Host: x\r\n", b"Content-Length: 3\r\n", b"\0",
                b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
                b"Upgrade: websocket\r\n", b"Connection: upgrade\r\n", b"Content-Length: 0\r\n",
            ]
        ),
        max_size=8,
    ),
)  # fmt: skip
async def test_bytes_on_the_bare_socket_never_get_a_server_error(
    api: Served, head: bytes, tail: list[bytes]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
    writer.write(head + b"".join(tail) + b"\r\n\r\n")
    writer.write_eof()
    answer: bytes = b""
    try:
        answer = await asyncio.wait_for(reader.read(65_536), 0.05)
    except TimeoutError:
        pass  # It waits for the rest of a body; the listener's own tests see it cut off.
    finally:
        writer.transport.abort()
    assert b" 500 " not in answer[:20]
    assert (await api.get("/health/live")).status == 200


def test_the_odd_bodies_hold_good_ones_too() -> None:
    """The fuzz would prove little if everything it sent were refused."""
    found: list[Any] = []

    @settings(max_examples=100, database=None, derandomize=True)
    @given(bodies())
    def collect(sent: bytes) -> None:
        try:
            found.append(json.loads(sent.decode("utf-8"))["TransID"] == "TGE7Q2M4ZK")
        except (ValueError, KeyError, TypeError):
            found.append(False)

    collect()
    assert any(found)
    assert not all(found)
