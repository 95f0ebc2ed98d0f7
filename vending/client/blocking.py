"""The client that blocks: for tills, scripts and servers with threads."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from vending.client import steps
from vending.client.access import Access, ApiKey, ClientKey, ClientSecret, Purse
from vending.client.both import Pages
from vending.client.delivery import Terms, address
from vending.client.methods import Methods
from vending.client.patience import Pace, Patience
from vending.client.problems import NotDone
from vending.client.steps import Authorize, Request, Rest, Story
from vending.client.wires import Wires

T = TypeVar("T")
R = TypeVar("R")


class Client(Methods):
    """Sells for one vendor. May be shared by threads; close it, or use it in a `with`.

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
        rest: Callable[[float], None] = time.sleep,
        **steady: Callable[[], float],
    ) -> None:
        """Name a server and a credential; `steady` may name the clocks and the chance of Terms."""
        where = address(url, plain=plain)
        self._terms = Terms(url=where, access=access, patience=patience or Patience(), **steady)
        self._wires = Wires(where, context=context)
        self._purse = Purse()
        self._fetching = threading.Lock()
        self._rest = rest

    def __repr__(self) -> str:
        return f"Client({self._terms.url!r}, {self._terms.access!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._wires.close()

    def _turn(self, pages: Pages[R]) -> Iterator[R]:
        cursor: str | None = None
        while True:
            page = self._tell(self._do(pages(cursor)))
            yield from page.rows()
            cursor = page.following()
            if cursor is None:
                return

    def _tell(self, story: Story[T]) -> T:
        came: Any = None
        try:
            while True:
                step = story.send(came)
                match step:
                    case Request():
                        came = self._wires.send(self._terms.signed(step), at=self._terms.seconds())
                    case Authorize():
                        came = self._bearer(step)
                    case Rest():
                        came = None
                        self._rest(step.seconds)
        except StopIteration as end:
            outcome: T = end.value
            return outcome

    def _bearer(self, step: Authorize) -> str | NotDone:
        access = self._terms.access
        if isinstance(access, ApiKey):
            return access.bearer
        with self._fetching:
            held = self._purse.good(at=self._terms.seconds(), stale=step.stale)
            return held or self._fetched(access, step.pace)

    def _fetched(self, access: ClientSecret | ClientKey, pace: Pace) -> str | NotDone:
        proof = access.proof(self._terms.audience, at=self._terms.wall())
        try:
            granted = self._tell(steps.fetched(proof, pace))
        except NotDone as fault:
            return fault
        return self._purse.put(granted, at=self._terms.seconds())
