"""A refusal as vendors see it: problem+json (RFC 9457) with members of our own.

`code` is stable and, for each operation, from the closed list the description gives. `advice` tells
the developer what to do about it, `retry` whether and how to ask again, `money_state` what became
of the vendor's money, and `trace_id`, also in the header Trace-Id, is in our log line.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from vending.api import admission, problems
from vending.api.calls import Reply
from vending.api.problems import InternalFault, MoneyState
from vending.api.v1 import callers
from vending.api.v1.asked import ContentTypeWrong, RequestInvalid
from vending.api.v1.callers import CredentialMissing, SandboxOnly, SandboxServer
from vending.api.v1.operation import Operation
from vending.api.v1.pages import CursorMalformed, Page
from vending.api.v1.quotas import QuotaExceeded
from vending.api.v1.shapes import SHAPES, Money, Retry, Shape
from vending.api.v1.signatures import SignatureMissing, SignatureRefused, SignatureRepeated
from vending.errors import VendingError
from vending.postgres.pool import CommitUnknown, DatabaseUnavailable
from vending.vendors.access_tokens import AccessTokenExpired, AccessTokenInvalid, ScopeMissing
from vending.vendors.register import (
    CertificateMissing,
    CredentialExpired,
    CredentialRefused,
    CredentialRevoked,
    RegisterStale,
)
from vending.vendors.vendor import AddressForbidden, VendorSuspended

TRACE: Final = "Trace-Id"

ALWAYS: Final[tuple[type[VendingError], ...]] = (
    CredentialMissing, CredentialRefused, CredentialRevoked, CredentialExpired,
    AccessTokenInvalid, AccessTokenExpired, CertificateMissing, ScopeMissing, SandboxOnly,
    SandboxServer,
    SignatureMissing, SignatureRefused, SignatureRepeated, AddressForbidden, VendorSuspended,
    QuotaExceeded, RequestInvalid,
    RegisterStale, admission.Overloaded, DatabaseUnavailable, InternalFault,
)  # fmt: skip
"""What any operation can answer, whatever it does."""

WITH_BODY: Final[tuple[type[VendingError], ...]] = (
    ContentTypeWrong, admission.BodyTooLarge, admission.BodyEncoded,
)  # fmt: skip

WRITING: Final[tuple[type[VendingError], ...]] = (CommitUnknown,)

Fact = str | int | bool

Facts = Annotated[
    dict[str, Fact],
    Meta(
        description="What `detail` tells, each fact by its name; a program reads these. Which "
        "there are depends on the code. Never a secret or a phone number.",
        examples=[{"minimum_minor": 100_000}],
        extra_json_schema={
            "properties": {
                name: {"type": "integer", "description": told}
                for name, told in (
                    ("minimum_minor", "The smallest sum that buys now, in minor units."),
                    ("maximum_minor", "The largest sum that may be sold at once, in minor units."),
                    ("retry_after_seconds", "As the member of the problem itself."),
                )
            }
            | {
                name: {"type": "string", "description": told}
                for name, told in (
                    ("member", "The member, parameter or header that is wrong."),
                    ("fault", "The rule it breaks."),
                    ("meter_number", "The meter that was asked for."),
                    ("reference", "The sale that was asked for."),
                    ("earlier", "The reference of the sale this one looks like."),
                    ("scope", "The scope that the credential lacks."),
                    ("expired_at", "Until when the quote held."),
                )
            }
        },
    ),
]
"""An error's facts as JSON."""

Code = Annotated[str, Meta(pattern="^[a-z]+(_[a-z]+)*$", description="Stable; see errors.md.")]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused, and what that means for the caller and the money."""

    type: Annotated[str, Meta(description="`urn:stima:error:` and the code.")]
    title: Annotated[str, Meta(description="What happened, in a sentence.")]
    status: int
    detail: Annotated[str, Meta(description="The facts as one line, without anything secret.")]
    facts: Facts
    advice: Annotated[
        str, Meta(description="What to do about it, for who writes the program; may be empty.")
    ]
    instance: Annotated[str, Meta(description="The path that was asked.")]
    code: Code
    retry: Retry
    money_state: Money
    trace_id: Annotated[str, Meta(description="Also in the header Trace-Id; tell us this one.")]
    retry_after_seconds: Annotated[
        Annotated[int, Meta(ge=0)] | UnsetType,
        Meta(description="With `retry` *after*: how long to wait."),
    ] = UNSET


def possible(operation: Operation) -> list[type[VendingError]]:
    """Return every error an operation can answer."""
    kinds = [*ALWAYS, *operation.problems]
    if operation.body is not None:
        kinds += WITH_BODY
    if operation.writes:
        kinds += WRITING
    if operation.query is not None and issubclass(operation.query, Page):
        kinds.append(CursorMalformed)
    return list(dict.fromkeys(kinds))


def shape_of(kind: type[VendingError]) -> Shape:
    """Return how a kind of error looks to vendors."""
    own = next((SHAPES[parent] for parent in kind.__mro__ if parent in SHAPES), None)
    if own is not None:
        return own
    plain = problems.shape_of(kind)
    if plain.money_state is MoneyState.UNKNOWN:
        return Shape(plain.status, Retry.SAME_REFERENCE, Money.HELD)
    return Shape(plain.status, Retry.AFTER if plain.retry else Retry.NEVER)


def facts_of(error: VendingError) -> dict[str, Fact]:
    """Return an error's facts: whole numbers and truths as such, everything else as text."""
    return {
        name: fact if isinstance(fact, Fact) else str(fact)
        for name, fact in error.facts.items()
        if fact is not None
    }


def reply(
    error: VendingError,
    *,
    route: str,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
) -> Reply:
    """Return the reply to an error, and write its one log line.

    `path` goes into the answer alone, `route`, its pattern, into the log.
    """
    shape = shape_of(type(error))
    trace_id, told = problems.noted(error, status=shape.status, route=route)
    more = [*headers, (TRACE, trace_id)]
    after: int | UnsetType = UNSET
    if shape.retry is not Retry.NEVER:
        seconds = error.facts.get("retry_after_seconds", problems.RETRY_AFTER_SECONDS)
        after = int(str(seconds))
        more.append(("Retry-After", str(after)))
    challenged = callers.challenge(error)
    if challenged is not None:
        more.append(("WWW-Authenticate", challenged))
    body = Problem(
        type=f"urn:stima:error:{error.code}",
        title=error.sentence(),
        status=shape.status,
        detail=told,
        facts=facts_of(error),
        advice=error.advice(),
        instance=path,
        code=error.code,
        retry=shape.retry,
        money_state=shape.money,
        trace_id=trace_id,
        retry_after_seconds=after,
    )
    return Reply(
        status=shape.status,
        body=msgspec.json.encode(body),
        content_type=problems.CONTENT_TYPE,
        headers=tuple(more),
    )
