"""The client that awaits: for servers that sell for many tills at once, on aiohttp."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

from vending.client import steps
from vending.client.access import Access, ApiKey, ClientKey, ClientSecret, Purse
from vending.client.both import Pages
from vending.client.delivery import Terms, address, seconds_of
from vending.client.methods import Methods
from vending.client.patience import Pace, Patience
from vending.client.problems import NotDone
from vending.client.steps import Authorize, Reply, Request, Rest, Story

T = TypeVar("T")
R = TypeVar("R")

CONNECTIONS = 64
"""So many calls at once; more wait for one to end."""

IDLE_SECONDS_MAX = 0.5
"""A full server closes what idles for a second; connecting anew costs less than a doubt."""


class AsyncClient(Methods):
    """Sells for one vendor, within a running loop; close it, or use it in an `async with`.

    Every method raises a `NotDone` that says why not. `patience` bounds each call as a whole.
    """

    def __init__(
        self,
        url: str,
        access: Access,
        *,
        patience: Patience | None = None,
        plain: bool = False,
        context: ssl.SSLContext | None = None,
        connections: int = CONNECTIONS,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **steady: Callable[[], float],
    ) -> None:
        """Name a server and a credential; `steady` may name the clocks and the chance of Terms."""
        where = address(url, plain=plain)
        self._terms = Terms(url=where, access=access, patience=patience or Patience(), **steady)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections, keepalive_timeout=IDLE_SECONDS_MAX, ssl=context or True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._purse = Purse()
        self._fetching = asyncio.Lock()
        self._rest = rest

    def __repr__(self) -> str:
        return f"AsyncClient({self._terms.url!r}, {self._terms.access!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _turn(self, pages: Pages[R]) -> AsyncIterator[R]:
        cursor: str | None = None
        while True:
            page = await self._tell(self._do(pages(cursor)))
            for row in page.rows():
                yield row
            cursor = page.following()
            if cursor is None:
                return

    async def _tell(self, story: Story[T]) -> T:
        came: Any = None
        try:
            while True:
                step = story.send(came)
                match step:
                    case Request():
                        came = await self._send(self._terms.signed(step))
                    case Authorize():
                        came = await self._bearer(step)
                    case Rest():
                        came = None
                        await self._rest(step.seconds)
        except StopIteration as end:
            outcome: T = end.value
            return outcome

    async def _send(self, request: Request) -> Reply:
        # Encoded already, and not to be put in order: names are any text.
        url = URL(self._terms.url + request.path, encoded=True)
        try:
            async with self._session.request(
                request.method, url, data=request.body or None, headers=request.headers,
                allow_redirects=False, timeout=aiohttp.ClientTimeout(total=request.seconds),
            ) as answer:  # fmt: skip
                return Reply(
                    status=answer.status,
                    body=await answer.read(),
                    retry_after=seconds_of(answer.headers.get("Retry-After")),
                    trace_id=answer.headers.get("Trace-Id", ""),
                )
        except aiohttp.ClientConnectorError:
            return Reply(sent=False)
        except (aiohttp.ClientError, TimeoutError):
            return Reply()

    async def _bearer(self, step: Authorize) -> str | NotDone:
        access = self._terms.access
        if isinstance(access, ApiKey):
            return access.bearer
        async with self._fetching:
            held = self._purse.good(at=self._terms.seconds(), stale=step.stale)
            return held or await self._fetched(access, step.pace)

    async def _fetched(self, access: ClientSecret | ClientKey, pace: Pace) -> str | NotDone:
        proof = access.proof(self._terms.audience, at=self._terms.wall())
        try:
            granted = await self._tell(steps.fetched(proof, pace))
        except NotDone as fault:
            return fault
        return self._purse.put(granted, at=self._terms.seconds())
