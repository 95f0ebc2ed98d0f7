"""The client that awaits: for servers that sell for many tills at once, on aiohttp."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

from vending.client import calls, steps
from vending.client.access import ApiKey, ClientSecret, Purse
from vending.client.calls import Call, Order
from vending.client.delivery import Terms, address, seconds_of
from vending.client.patience import Pace, Patience
from vending.client.problems import NotDone
from vending.client.steps import Authorize, Reply, Request, Rest, Story
from vending.client.values import (
    Batch,
    BatchTotals,
    Commission,
    Deposit,
    DisputedSale,
    Float,
    Meter,
    Quote,
    Sale,
    Statement,
    StatementLine,
    WithdrawnSale,
)

T = TypeVar("T")

PAGE = 200
CONNECTIONS = 64
"""So many calls at once; more wait for one to end."""

IDLE_SECONDS_MAX = 0.5
"""A full server closes what idles for a second; connecting anew costs less than a doubt."""


class AsyncClient:
    """Sells for one vendor, within a running loop; close it, or use it in an `async with`.

    Every method raises a `NotDone` that says why not. `patience` bounds each call as a whole.
    """

    def __init__(
        self,
        url: str,
        access: ApiKey | ClientSecret,
        *,
        patience: Patience | None = None,
        plain: bool = False,
        context: ssl.SSLContext | None = None,
        connections: int = CONNECTIONS,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **steady: Callable[[], float],
    ) -> None:
        """Name a server and a credential; `steady` may name `seconds` and `chance` of Terms."""
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

    async def look_up(self, meter: str) -> Meter:
        """Return whether a meter can be sold to, whose it is, and at what price."""
        return await self._do(calls.look_up(meter))

    async def quote(
        self, meter: str, *, amount_minor: int | None = None, energy_wh: int | None = None
    ) -> Quote:
        """Return the exact receipt for a sum or a number of units; it stands for minutes."""
        return await self._do(
            calls.make_quote(meter, amount_minor=amount_minor, energy_wh=energy_wh)
        )

    async def sell(  # noqa: PLR0913 -- the members of a sale
        self,
        reference: str,
        *,
        meter: str | None = None,
        amount_minor: int | None = None,
        energy_wh: int | None = None,
        quote: str | None = None,
        outlet: str = "-",
        till: str = "-",
        confirm: bool = False,
        patience: Patience | None = None,
    ) -> Sale:
        """Sell a sum, a number of units or a quote, under your own reference; return the token.

        Store the reference before you call; to cancel the call takes nothing back. The same
        reference is the same sale for ever, so calling again with the same facts is always safe; it
        never sells twice. Raises Refused when nothing was sold, OutcomeUnknown when patience ran
        out before anybody could tell.
        """
        order = Order(
            reference=reference, meter=meter, quote=quote, amount_minor=amount_minor,
            energy_wh=energy_wh, outlet=outlet, till=till, confirm=confirm,
        )  # fmt: skip
        pace = self._terms.pace(patience)
        return await self._run(steps.sold(order, pace))

    async def find(self, reference: str, *, patience: Patience | None = None) -> Sale:
        """Return the truth about a sale; Refused with `sale_unknown` where nothing is known."""
        return await self._truth(reference, bar=False, patience=patience)

    async def settle(self, reference: str, *, patience: Patience | None = None) -> Sale:
        """Return a sale, or see to it that there is none: then Refused, `reference_barred`."""
        return await self._truth(reference, bar=True, patience=patience)

    async def reprint(self, reference: str) -> Sale:
        """Return the same digits again; print COPY and `copy` on it."""
        return await self._do(calls.reprint(reference))

    async def reverse(self, reference: str, *, reason: str) -> WithdrawnSale | DisputedSale:
        """Withdraw a sale that is not made; about one that is, open a dispute."""
        return await self._do(calls.reverse(reference, reason=reason))

    async def read_float(self) -> Float:
        """Return what can still be sold for."""
        return await self._do(calls.read_float())

    async def statement(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> AsyncIterator[StatementLine]:
        """Give every movement of the float, oldest first, page after page."""
        cursor: str | None = None
        while True:
            page = await self.statement_page(since=since, until=until, cursor=cursor, limit=PAGE)
            for line in page.lines:
                yield line
            if not page.more:
                return
            cursor = page.next

    async def statement_page(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Statement:
        """Return one page; the last one's `next` goes on another day without a gap."""
        asked = calls.read_statement(since=since, until=until, cursor=cursor, limit=limit)
        return await self._do(asked)

    async def deposits(self) -> AsyncIterator[Deposit]:
        """Give every deposit, newest first."""
        cursor: str | None = None
        while True:
            page = await self._do(calls.list_deposits(cursor=cursor, limit=PAGE))
            for one in page.deposits:
                yield one
            if page.next is None:
                return
            cursor = page.next

    async def deposit(self, name: str) -> Deposit:
        """Return one deposit."""
        return await self._do(calls.find_deposit(name))

    async def propose_deposit(
        self, *, bank: str, bank_reference: str, amount_minor: int, note: str = ""
    ) -> Deposit:
        """Say what was paid into the bank; the same slip again is the same deposit."""
        return await self._do(
            calls.propose_deposit(
                bank=bank, bank_reference=bank_reference, amount_minor=amount_minor, note=note
            )
        )

    async def batches(self) -> AsyncIterator[Batch]:
        """Give every shift, newest first."""
        cursor: str | None = None
        while True:
            page = await self._do(calls.list_batches(cursor=cursor, limit=PAGE))
            for one in page.batches:
                yield one
            if page.next is None:
                return
            cursor = page.next

    async def batch(self, name: str) -> BatchTotals:
        """Return one shift with its totals."""
        return await self._do(calls.find_batch(name))

    async def open_batch(self, *, outlet: str, till: str = "-", clerk: str = "") -> BatchTotals:
        """Open a shift. After OutcomeUnknown, look at `batches`."""
        return await self._do(calls.open_batch(outlet=outlet, till=till, clerk=clerk))

    async def close_batch(self, name: str) -> BatchTotals:
        """Close a shift and return its totals; again, if need be."""
        return await self._do(calls.close_batch(name))

    async def commission(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Commission:
        """Return the rates, and what was earned: this month so far unless it is said."""
        return await self._do(calls.read_commission(since=since, until=until))

    async def _truth(self, reference: str, *, bar: bool, patience: Patience | None) -> Sale:
        pace = self._terms.pace(patience)
        asked = calls.find_sale(reference, bar=bar)
        return await self._run(steps.told_of(asked, pace, reference=reference))

    async def _do(self, call: Call[T]) -> T:
        return await self._run(steps.done(call, self._terms.pace(None)))

    async def _run(self, story: Story[T]) -> T:
        came: Any = None
        try:
            while True:
                step = story.send(came)
                match step:
                    case Request():
                        came = await self._send(step)
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

    async def _fetched(self, access: ClientSecret, pace: Pace) -> str | NotDone:
        try:
            granted = await self._run(steps.fetched(access, pace))
        except NotDone as fault:
            return fault
        return self._purse.put(granted, at=self._terms.seconds())
