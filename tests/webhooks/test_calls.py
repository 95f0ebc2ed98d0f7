"""Calls of endpoints that behave in every way endpoints do, on real sockets."""

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SettableClock
from tests.webhooks.certificates import Authority
from tests.webhooks.receiver import HUGE_BYTES, Receiver, receiving
from vending.config import Config, ConfigInvalid, Webhooks
from vending.numbering import Numbers
from vending.webhooks import opening
from vending.webhooks.addresses import Reach
from vending.webhooks.calls import ANSWER_BYTES_KEPT, Call, Caller, Failure

LOCAL = Reach(loopback=True)


@asynccontextmanager
async def calling(
    clock: SettableClock, reach: Reach = LOCAL, *, seconds_max: float = 30, **more: Any
) -> AsyncIterator[Caller]:
    caller = Caller(reach, clock=clock, seconds_max=seconds_max, **more)
    try:
        yield caller
    finally:
        await caller.close()


def call(url: str) -> Call:
    return Call(url=url, headers={"webhook-id": "evt_1"}, body=b'{"type":"endpoint.test"}')


def names(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def look_up(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return look_up


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_a_delivery(clock: SettableClock, receiver: Receiver, status: int) -> None:
    receiver.always = status
    async with calling(clock) as caller:
        heard = await caller.call(call(receiver.url))
    assert (heard.failure, heard.status) == (None, status)
    (taken,) = receiver.taken
    assert taken.headers["webhook-id"] == "evt_1"
    assert taken.headers["user-agent"].startswith("Stima")
    assert "cookie" not in taken.headers


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, Failure.STATUS),
        (404, Failure.STATUS),
        (410, Failure.GONE),
        (429, Failure.STATUS),
        (500, Failure.STATUS),
        (503, Failure.STATUS),
    ],
)
async def test_any_other_status_is_a_failure(
    clock: SettableClock, receiver: Receiver, status: int, failure: Failure
) -> None:
    receiver.always = status
    async with calling(clock) as caller:
        heard = await caller.call(call(receiver.url))
    assert (heard.failure, heard.status, heard.answer) == (failure, status, "well")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    clock: SettableClock, receiver: Receiver, status: int
) -> None:
    async with receiving() as elsewhere, calling(clock) as caller:
        receiver.always = (status, {"Location": elsewhere.url})
        heard = await caller.call(call(receiver.url))
    assert heard.failure is Failure.REDIRECT
    assert elsewhere.connections == 0
    assert len(receiver.taken) == 1


async def test_what_the_endpoint_asks_for_is_heard(
    clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = (503, {"Retry-After": "90"})
    async with calling(clock) as caller:
        heard = await caller.call(call(receiver.url))
    assert heard.retry_after == timedelta(seconds=90)


async def test_no_answer_in_time_is_a_failure(clock: SettableClock, receiver: Receiver) -> None:
    receiver.always = "hang"
    async with calling(clock, seconds_max=0.2) as caller:
        heard = await caller.call(call(receiver.url))
    assert (heard.failure, heard.status) == (Failure.TIMEOUT, None)


async def test_a_body_that_never_comes_does_not_unsay_the_status(
    clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = "silent"
    async with calling(clock, seconds_max=0.3) as caller:
        heard = await caller.call(call(receiver.url))
    assert (heard.failure, heard.status, heard.answer) == (None, 200, None)


async def test_of_a_huge_body_only_the_beginning_is_read(
    clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = "huge"
    async with calling(clock) as caller:
        heard = await caller.call(call(receiver.url))
    assert heard.failure is None
    assert heard.answer == "x" * ANSWER_BYTES_KEPT
    assert receiver.sent_bytes < HUGE_BYTES


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"",
    ],
)
async def test_what_is_no_http_is_a_failure(
    clock: SettableClock, receiver: Receiver, answer: bytes
) -> None:
    receiver.always = answer
    async with calling(clock) as caller:
        heard = await caller.call(call(receiver.url))
    assert heard.failure is Failure.NOT_HTTP


async def test_a_compressed_answer_is_not_unpacked(
    clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = (200, {"Content-Encoding": "gzip"})
    async with calling(clock) as caller:
        heard = await caller.call(call(receiver.url))
    assert (heard.failure, heard.answer) == (None, "well")


async def test_an_answer_that_no_text_column_takes_is_made_one(
    clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = b"HTTP/1.1 500 Oh\r\nContent-Length: 6\r\n\r\n\x00\xff\xfeabc"
    async with calling(clock) as caller:
        heard = await caller.call(call(receiver.url))
    assert heard.answer == "\ufffd\ufffdabc"


async def test_a_refused_connection_is_a_failure(clock: SettableClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with calling(clock) as caller:
        heard = await caller.call(call(f"http://127.0.0.1:{port}/"))
    assert heard.failure is Failure.UNREACHABLE


async def test_a_dropped_connection_is_a_failure(clock: SettableClock, receiver: Receiver) -> None:
    receiver.always = "drop"
    async with calling(clock) as caller:
        heard = await caller.call(call(receiver.url))
    assert heard.failure is Failure.NOT_HTTP


async def test_a_name_without_an_address_is_a_failure(clock: SettableClock) -> None:
    async def nothing(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async with calling(clock, look_up=nothing) as caller:
        heard = await caller.call(call("https://vendor.example/"))
    assert heard.failure is Failure.NAME_UNKNOWN


async def test_a_look_up_that_hangs_ends_with_the_try(clock: SettableClock) -> None:
    async def never(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with calling(clock, look_up=never, seconds_max=0.1) as caller:
        heard = await caller.call(call("https://vendor.example/"))
    assert heard.failure is Failure.TIMEOUT


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("::1",),
        ("10.0.0.7",),
        ("169.254.169.254",),
        ("fd00::7",),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::7f00:1",),
        ("8.8.8.8", "127.0.0.1"),
        ("fe80::1%eth0",),
    ],
)
async def test_a_name_that_leads_inside_is_not_connected_to(
    clock: SettableClock, receiver: Receiver, addresses: tuple[str, ...]
) -> None:
    reach = Reach(ports=frozenset({receiver.port}))
    async with calling(clock, reach, look_up=names(*addresses)) as caller:
        heard = await caller.call(call(f"https://vendor.example:{receiver.port}/"))
    assert heard.failure is Failure.ADDRESS_REFUSED
    assert receiver.connections == 0


async def test_the_machines_own_resolver_is_held_to_the_same(
    clock: SettableClock, receiver: Receiver
) -> None:
    """Nothing but the check of addresses keeps this name from the receiver."""
    reach = Reach(ports=frozenset({receiver.port}))
    caller = Caller(reach, clock=clock, seconds_max=30)
    try:
        with pytest.raises(Exception, match="not public"):
            await caller._names.resolve("localhost", receiver.port)
        with pytest.raises(Exception, match="not public"):
            caller._socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443)))
    finally:
        await caller.close()


async def test_an_address_is_checked_again_where_its_socket_is_made(
    clock: SettableClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that was fooled, or left out, still does not lead inside."""
    monkeypatch.setattr("vending.webhooks.calls._Names.resolve", _fooled(receiver.port))
    reach = Reach(ports=frozenset({receiver.port}))
    async with calling(clock, reach) as caller:
        heard = await caller.call(call(f"https://vendor.example:{receiver.port}/"))
    assert heard.failure is Failure.ADDRESS_REFUSED
    assert receiver.connections == 0


def _fooled(port: int) -> Any:
    async def resolve(*_args: Any, **_more: Any) -> list[dict[str, object]]:
        return [
            {"hostname": "vendor.example", "host": "127.0.0.1", "port": port,
             "family": socket.AF_INET, "proto": 6, "flags": socket.AI_NUMERICHOST}
        ]  # fmt: skip

    return resolve


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.0.0.1", "[::1]", "localhost"])
async def test_a_url_that_has_become_forbidden_is_not_called(
    clock: SettableClock, receiver: Receiver, host: str
) -> None:
    reach = Reach(ports=frozenset({receiver.port}))
    async with calling(clock, reach) as caller:
        heard = await caller.call(call(f"https://{host}:{receiver.port}/"))
    assert heard.failure is Failure.ADDRESS_REFUSED
    assert receiver.connections == 0


async def test_the_proxy_of_the_environment_is_not_used(
    clock: SettableClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy, calling(clock) as caller:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        heard = await caller.call(call(receiver.url))
    assert heard.failure is None
    assert proxy.connections == 0


async def test_a_certificate_of_a_trusted_authority_is_believed(
    clock: SettableClock, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=authority.file)
    async with (
        receiving(authority.server("localhost")) as receiver,
        calling(clock, trust=trust) as caller,
    ):
        heard = await caller.call(call(receiver.url))
    assert heard.failure is None


@pytest.mark.parametrize("wrong", ["another name", "unknown authority"])
async def test_wrong_tls_is_a_failure_and_nothing_is_sent(
    clock: SettableClock, tmp_path: Path, wrong: str
) -> None:
    authority = Authority(tmp_path)
    trust = ssl.create_default_context()
    if wrong == "another name":
        trust.load_verify_locations(authority.file)
    host = "vendor.example" if wrong == "another name" else "localhost"
    async with (
        receiving(authority.server(host)) as receiver,
        calling(clock, trust=trust) as caller,
    ):
        heard = await caller.call(call(receiver.url))
    assert heard.failure is Failure.TLS
    assert receiver.taken == []


async def test_a_server_without_tls_is_not_spoken_to(
    clock: SettableClock, receiver: Receiver
) -> None:
    receiver.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    async with calling(clock) as caller:
        heard = await caller.call(call(f"https://localhost:{receiver.port}/"))
    assert heard.failure is Failure.TLS
    assert receiver.taken == []


async def test_connections_are_kept_for_the_next_call(
    clock: SettableClock, receiver: Receiver
) -> None:
    async with calling(clock) as caller:
        for _ in range(3):
            assert (await caller.call(call(receiver.url))).failure is None
    assert (receiver.connections, len(receiver.taken)) == (1, 3)


async def test_settings_make_a_relay_that_trusts_what_they_name(
    clock: SettableClock, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    settings = Webhooks(loopback=True, ca_file=str(authority.file))
    _relay, caller = opening.relay(
        Config(webhooks=settings), dsn="postgresql:///", numbers=Numbers(clock, node=0),
        clock=clock, chance=random.Random(1),
    )  # fmt: skip
    try:
        async with receiving(authority.server("localhost")) as receiver:
            assert (await caller.call(call(receiver.url))).failure is None
    finally:
        await caller.close()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_is_none_names_its_setting(
    clock: SettableClock, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigInvalid, match=r"webhooks\.ca_file"):
        opening.relay(
            Config(webhooks=Webhooks(ca_file=str(file))), dsn="", numbers=Numbers(clock, node=0),
            clock=clock, chance=random.Random(1),
        )  # fmt: skip


def test_ports_are_the_usual_two_unless_others_are_set() -> None:
    assert opening.reach(Webhooks()).ports == {443, 8443}
    assert opening.reach(Webhooks(ports=[9443])).ports == {9443}


def test_the_passphrase_is_the_key_stores_unless_webhooks_have_their_own() -> None:
    config = Config()
    assert opening.passphrase(config) == config.keys.passphrase
    assert opening.passphrase(Config(webhooks=Webhooks(passphrase="own"))) == "own"
