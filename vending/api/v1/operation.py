"""What an operation is: one line of the table that routes, decoding and description come from."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from vending.api.admission import RequestClass
from vending.api.v1.asked import Answer, Asked
from vending.api.v1.teller import Teller
from vending.errors import VendingError
from vending.values import Value
from vending.vendors.vendor import Scope

Handle = Callable[[Teller, Asked[Any, Any]], Awaitable[Answer]]


class Header(Value, frozen=True, kw_only=True):
    """A request header an operation reads: what it says, and the pattern of what it may hold."""

    name: str
    says: str
    pattern: str
    required: bool = False


class Operation(Value, frozen=True, kw_only=True):
    """One thing that vendors can ask.

    `name` is its operationId. `answers` are its statuses with their bodies' types, None for no
    body. `problems` are the errors it can give besides those that any operation can
    (`vending.api.v1.problems.possible`). One that `writes` is carried out by the core, never by a
    front; one that `waits` may take the core as long as a sale may wait. One that `sells` is let in
    as a sale is. One without `sandbox` refuses credentials of the sandbox.
    """

    name: str
    method: str
    path: str
    tag: str
    summary: str
    scope: Scope
    handle: Handle
    answers: dict[int, type[msgspec.Struct] | None]
    problems: tuple[type[VendingError], ...] = ()
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    headers: tuple[Header, ...] = ()
    writes: bool = False
    waits: bool = False
    sells: bool = False
    shed: RequestClass = RequestClass.LOOK_UP
    sandbox: bool = False
