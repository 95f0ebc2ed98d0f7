"""An operation on its way from a front, which has read it, to the core, which carries it out."""

from vending.values import Value
from vending.vendors.register import Caller


class Errand(Value, frozen=True, kw_only=True):
    """What a front has found a request to be; `query` and `body` are JSON that was decoded once.

    One that `waits` may be answered as late as a sale may be.
    """

    hidden = frozenset({"query", "body"})

    operation: str
    caller: Caller
    path: dict[str, str]
    headers: dict[str, str]
    query: bytes
    body: bytes
    waits: bool = False


class Carried(Value, frozen=True, kw_only=True):
    """What an operation answered, its body written."""

    hidden = frozenset({"body"})

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
