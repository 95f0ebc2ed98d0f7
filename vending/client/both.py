"""A method written once for both clients: one returns what comes of it, the other awaits it.

What is written is a story (see `vending.client.steps`). On a client that blocks, `method` makes it
a call that returns its outcome, on one that awaits a call to be awaited; `listing` makes page after
page one iterator. Types go through, so a checker knows both clients as if each were written out.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from vending.client.calls import Call
from vending.client.steps import Story

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Page(Protocol[R_co]):
    """A page of rows."""

    def rows(self) -> Sequence[R_co]:
        """Return what is on the page."""

    def following(self) -> str | None:
        """Return the cursor of the next page, None on the last one."""


Pages = Callable[[str | None], Call[Page[R]]]
"""Asks for the page at a cursor; None is the beginning."""


class Blocks(Protocol):
    """A client whose methods return what came."""

    def _tell(self, story: Story[T]) -> T:
        """Tell a story to its end."""

    def _turn(self, pages: Pages[R]) -> Iterator[R]:
        """Give the rows of all pages."""


class Awaits(Protocol):
    """A client whose methods are awaited."""

    async def _tell(self, story: Story[T]) -> T:
        """Tell a story to its end."""

    def _turn(self, pages: Pages[R]) -> AsyncIterator[R]:
        """Give the rows of all pages."""


class method(Generic[P, T]):  # noqa: N801 -- used like `property`
    """Makes a story a method of either client."""

    def __init__(self, story: Callable[Concatenate[Any, P], Story[T]]) -> None:
        self._story = story
        self.__doc__ = story.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocks, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaits, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Return the method of a client."""
        # A client hides what only this file calls.
        return self if client is None else _bound(self._story, client, client._tell)  # noqa: SLF001


class listing(Generic[P, R]):  # noqa: N801 -- used like `property`
    """Makes a way to ask for pages a method that gives their rows."""

    def __init__(self, pages: Callable[Concatenate[Any, P], Pages[R]]) -> None:
        self._pages = pages
        self.__doc__ = pages.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocks, owner: type) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, client: Awaits, owner: type) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Return the method of a client."""
        return self if client is None else _bound(self._pages, client, client._turn)  # noqa: SLF001


def _bound(
    written: Callable[..., Any], client: object, done: Callable[[Any], Any]
) -> Callable[..., Any]:
    bound = written.__get__(client)

    @wraps(bound)
    def call(*given: Any, **named: Any) -> Any:
        return done(bound(*given, **named))

    return call
