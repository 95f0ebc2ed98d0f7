"""One call of an endpoint: to a checked address, within its time, whatever it answers.

Names are resolved here and every address of a name must be public; the address is checked once
more where the socket is made for it, so that between check and connection there is nothing to
change. No redirect is followed, no proxy of the environment is used, no cookie is kept, and of an
answer no more is read than is kept.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from enum import StrEnum
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from vending.clock import Clock
from vending.values import Value
from vending.webhooks.addresses import (
    Reach,
    WebhookAddressRefused,
    WebhookUrlRefused,
    check_address,
    check_url,
)
from vending.webhooks.schedule import retry_after

ANSWER_BYTES_KEPT = 500
"""What is kept of an answer's body, for the vendor's developer: an error's first line fits."""

ANSWER_SECONDS_MAX = 2.0
"""How long the rest of an answer is waited for once its status is known; the status decides."""

CONNECT_SECONDS_MAX = 5.0

LOOK_UP_THREADS = 8
"""Name look-ups that may hang at once, in threads of their own: the server's are not for that."""

_GONE = 410
_REDIRECTS = range(300, 400)
_TAKEN = range(200, 300)

_AGENT = "Stima-Webhooks/1"

LookUp = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host; raises OSError when there is none."""


class Failure(StrEnum):
    """Why a try failed; a closed list, so that it may label a metric."""

    NAME_UNKNOWN = "name_unknown"
    """The host name has no address."""
    ADDRESS_REFUSED = "address_refused"
    """The URL leads to an address that is not public, or is not one that may be called."""
    UNREACHABLE = "unreachable"
    """No connection: refused, reset or no route."""
    TLS = "tls"
    """The certificate is not valid for the name, or there is no TLS at all."""
    TIMEOUT = "timeout"
    """No answer within the time."""
    NOT_HTTP = "not_http"
    """The connection ended, or what came was no HTTP answer."""
    REDIRECT = "redirect"
    """A redirect; none is followed."""
    STATUS = "status"
    """An answer other than 2xx."""
    GONE = "gone"
    """410: the endpoint wants nothing any more."""
    STOPPED = "stopped"
    """Our own server stopped in mid-call; the call may have arrived."""
    INTERNAL = "internal"
    """Our own fault; the log has it."""


class Call(Value, frozen=True, kw_only=True):
    """What to send where."""

    hidden = frozenset({"url", "headers", "body"})

    url: str
    headers: dict[str, str]
    body: bytes


class Heard(Value, frozen=True, kw_only=True):
    """What became of a call: delivered when there is no failure.

    `answer` is the beginning of the body, for the vendor to see. `retry_after` is what the
    endpoint asked for.
    """

    hidden = frozenset({"answer"})

    failure: Failure | None
    status: int | None = None
    answer: str | None = None
    retry_after: timedelta | None = None


class Caller:
    """Calls endpoints, over connections that are kept for a little while."""

    def __init__(
        self,
        reach: Reach,
        *,
        clock: Clock,
        seconds_max: float,
        look_up: LookUp | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._reach = reach
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=seconds_max, sock_connect=CONNECT_SECONDS_MAX)
        self._names = _Names(look_up, reach)
        self._trust = trust
        self._client: aiohttp.ClientSession | None = None

    async def call(self, call: Call) -> Heard:
        """Make one call; whatever happens outside is in the result, never raised."""
        if self._client is None:
            self._client = self._open()
        try:
            check_url(call.url, self._reach)
            async with self._client.post(
                call.url, data=call.body, headers=call.headers, allow_redirects=False
            ) as answer:
                return heard(
                    answer.status,
                    await _beginning(answer),
                    asked=retry_after(answer.headers.get("Retry-After"), now=self._clock()),
                )
        except (WebhookUrlRefused, WebhookAddressRefused):
            return Heard(failure=Failure.ADDRESS_REFUSED)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as fault:
            return Heard(failure=_failure(fault))

    async def close(self) -> None:
        """Close the connections and let go of the threads."""
        if self._client is not None:
            await self._client.close()
            self._client = None
        self._names.release()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=self._names,
            use_dns_cache=False,
            happy_eyeballs_delay=None,
            socket_factory=self._socket,
            ssl=self._trust or True,
            limit=0,  # the relay bounds what is in the air
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"User-Agent": _AGENT, "Content-Type": "application/json"},
        )

    def _socket(self, address: Any) -> socket.socket:
        """Make the socket for one address: the last place to refuse it, whoever resolved it."""
        family, kind, protocol, _name, to = address
        check_address(str(to[0]), self._reach)
        return socket.socket(family=family, type=kind, proto=protocol)


def heard(status: int, answer: str | None, *, asked: timedelta | None = None) -> Heard:
    """Return what a status means."""
    if status in _TAKEN:
        return Heard(failure=None, status=status, answer=answer)
    if status == _GONE:
        failure = Failure.GONE
    else:
        failure = Failure.REDIRECT if status in _REDIRECTS else Failure.STATUS
    return Heard(failure=failure, status=status, answer=answer, retry_after=asked)


async def _beginning(answer: aiohttp.ClientResponse) -> str | None:
    """Return the beginning of a body, as text that can be stored; a body that fails is no fault."""
    body = bytearray()
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while len(body) < ANSWER_BYTES_KEPT:
                piece = await answer.content.read(ANSWER_BYTES_KEPT - len(body))
                if not piece:
                    break
                body += piece
    except (aiohttp.ClientError, TimeoutError, OSError):
        answer.close()
    text = bytes(body).decode("utf-8", "replace").replace("\0", "")
    return text or None


def _failure(fault: Exception) -> Failure:
    if isinstance(fault, aiohttp.ClientConnectorDNSError):
        return Failure.NAME_UNKNOWN
    if isinstance(fault, aiohttp.ClientSSLError | ssl.SSLError):
        return Failure.TLS
    if isinstance(fault, TimeoutError):
        return Failure.TIMEOUT
    if isinstance(fault, aiohttp.ClientConnectorError):
        return Failure.UNREACHABLE
    return Failure.NOT_HTTP


class _Names(AbstractResolver):
    """Resolves names for one caller, and refuses a name with any address that is not public."""

    def __init__(self, look_up: LookUp | None, reach: Reach) -> None:
        self._threads = ThreadPoolExecutor(LOOK_UP_THREADS, thread_name_prefix="webhook-names")
        self._look_up = look_up or self._ask
        self._reach = reach

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 -- aiohttp's signature
    ) -> list[ResolveResult]:
        found = await self._look_up(host, port)
        for address in found:
            check_address(address, self._reach)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is held by a session."""

    def release(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, host: str, port: int) -> list[str]:
        answers = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [cast("str", address[0]) for *_kind, address in answers]
