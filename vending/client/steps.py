"""The story of a call, told once for both clients: what to send, when to rest, when to stop.

A story is a generator. It yields a step, is sent what came of it, and returns the outcome; whoever
drives it has the sockets and the clock. The one about sales is `sold`.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

import msgspec

from vending.client.access import Granted, Proof
from vending.client.calls import Call, Order, find_sale, sell
from vending.client.patience import Pace
from vending.client.problems import (
    AnswerMalformed,
    Busy,
    MoneyState,
    NotDone,
    OutcomeUnknown,
    Refused,
    Retry,
    Told,
    Unreachable,
)
from vending.client.values import PendingSale, Sale

T = TypeVar("T")

TOKEN_PATH = "/oauth/token"  # noqa: S105 -- a path
UNAUTHORIZED = 401
TOO_MANY = 429
SERVER_FAULT = 500
AGAIN_SECONDS = 1
"""How soon a sale that is being made is asked for again."""

SETTLING = frozenset({400, 404, 409, 410, 422})
"""Statuses of refusals that are about the thing itself, not about who asks or how busy it is."""

STALE = frozenset({"access_token_expired", "access_token_invalid"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes to send, and how many seconds the answer may take."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    seconds: float

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path.partition('?')[0]})"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `sent` is False where nothing can have reached the server."""

    status: int = 0
    body: bytes = b""
    retry_after: int | None = None
    trace_id: str = ""
    sent: bool = True

    def __repr__(self) -> str:
        return f"Reply({self.status}, {len(self.body)} bytes)"


class Authorize(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for what to show as Bearer: not the one that was just refused as `stale`."""

    stale: str | None
    pace: Pace

    def __repr__(self) -> str:
        return "Authorize(...)"


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """Rest for so many seconds."""

    seconds: float


Step = Request | Authorize | Rest
Story = Generator[Step, Any, T]


def done(call: Call[T], pace: Pace) -> Story[T]:
    """Do a call that moves no money, as often as its refusals allow.

    As with a sale, no later "nothing has happened" takes the doubt from a try that was lost.
    """
    doubtful = False
    while True:
        got = yield from _once(call, pace)
        if not isinstance(got, NotDone):
            return got
        if got.retry is Retry.NEVER:
            if doubtful and call.method != "GET" and not _settles(got):
                raise _unknown(got) from got
            raise got
        doubtful = doubtful or got.retry is Retry.SAME_REFERENCE
        rest = pace.rest(at_least=got.retry_after_seconds)
        if rest is None or (doubtful and not call.repeatable):
            raise _unknown(got) if doubtful and call.method != "GET" else got
        yield Rest(seconds=rest)


def sold(order: Order, pace: Pace) -> Story[Sale]:
    """Sell, by one reference, until there is a token or a refusal; OutcomeUnknown if neither.

    Once a try may have reached the lane, the truth is asked for before selling is tried again, and
    no later "nothing has happened" of another try takes the doubt away.
    """
    selling, finding = sell(order), find_sale(order.reference)
    fault: NotDone = _pending(order.reference)
    doubtful = ask = False
    while True:
        got = yield from _once(finding if ask else selling, pace)
        if isinstance(got, Sale) and (not ask or order.fits(got)):
            return got
        if isinstance(got, Sale):
            # Sold, perhaps as another sale: only the server can say whether the facts agree.
            doubtful, ask, after = True, False, None
        elif isinstance(got, PendingSale):
            doubtful = ask = True
            fault, after = _pending(order.reference), AGAIN_SECONDS
        else:
            fault, after = got, got.retry_after_seconds
            if got.code == "sale_unknown":
                ask = False
            elif got.retry is Retry.NEVER:
                if doubtful and not _settles(got):
                    raise _unknown(got, order.reference) from got
                raise got
            elif got.retry is Retry.SAME_REFERENCE:
                doubtful = ask = True
        rest = pace.rest(at_least=after)
        if rest is None:
            raise _given_up(fault, doubtful=doubtful, reference=order.reference)
        yield Rest(seconds=rest)


def told_of(call: Call[Sale | PendingSale], pace: Pace, *, reference: str) -> Story[Sale]:
    """Ask about a sale until it is no longer pending; raises what it was refused with."""
    while True:
        got = yield from done(call, pace)
        if isinstance(got, Sale):
            return got
        rest = pace.rest(at_least=AGAIN_SECONDS)
        if rest is None:
            raise _pending(reference)
        yield Rest(seconds=rest)


def fetched(proof: Proof, pace: Pace) -> Story[Granted]:
    """Fetch an access token, in one try: whoever needs it tries again, with a proof made anew."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if proof.authorization:
        headers["Authorization"] = proof.authorization
    reply: Reply = yield Request(
        method="POST", path=TOKEN_PATH, headers=headers, body=proof.form,
        seconds=pace.limit(held=False),
    )  # fmt: skip
    if reply.status == 200:  # noqa: PLR2004 -- HTTP's
        return cast(Granted, _read(reply, Granted))
    told = _decoded(reply.body, TokenRefusal)
    if told is None:
        # A token that was made and lost is no harm: nothing has happened.
        raise _fault(reply, certain=True)
    later = reply.status == TOO_MANY or reply.status >= SERVER_FAULT
    problem = Told(
        code=told.code or told.error,
        title=told.error_description,
        status=reply.status,
        retry=Retry.AFTER if later else Retry.NEVER,
        trace_id=told.trace_id,
        retry_after_seconds=reply.retry_after,
    )
    raise _KINDS[problem.retry](problem)


class TokenRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why `/oauth/token` gave no token (TokenRefusal)."""

    error: str
    error_description: str = ""
    code: str = ""
    trace_id: str = ""


def _once(call: Call[T], pace: Pace) -> Story[T | NotDone]:
    """Try a call once, with a fresh token if the one in hand has run out."""
    bearer: str | NotDone = yield Authorize(stale=None, pace=pace)
    while not isinstance(bearer, NotDone):
        reply: Reply = yield _request(call, bearer, pace)
        if reply.status in call.answers:
            return _answer(call, reply)
        fault = _fault(reply, certain=call.method == "GET")
        if fault.status != UNAUTHORIZED or fault.code not in STALE:
            return fault
        fresh: str | NotDone = yield Authorize(stale=bearer, pace=pace)
        if fresh == bearer:
            return fault
        if isinstance(fresh, NotDone) or pace.left() <= 0:
            return fresh if isinstance(fresh, NotDone) else fault
        bearer = fresh
    return bearer


def _answer(call: Call[T], reply: Reply) -> T | NotDone:
    kind = call.answers[reply.status]
    try:
        return cast(T, None if kind is None else _read(reply, kind))
    except AnswerMalformed as fault:
        # It was done, and cannot be read: asking again may bring it whole.
        return _unknown(fault)


def _request(call: Call[Any], bearer: str, pace: Pace) -> Request:
    headers = {"Authorization": f"Bearer {bearer}", "Accept": "application/json"}
    if call.body:
        headers["Content-Type"] = "application/json"
    if call.held:
        headers["Prefer"] = f"wait={pace.held}"
    return Request(
        method=call.method, path=call.path, headers=headers, body=call.body,
        seconds=pace.limit(held=call.held),
    )  # fmt: skip


def _fault(reply: Reply, *, certain: bool) -> NotDone:
    """Return what a reply that is no answer means. `certain`: a lost one changes nothing."""
    if not reply.status:
        lost = reply.sent and not certain
        told = Told(
            code="answer_lost" if reply.sent else "unreachable",
            title="No answer came." if reply.sent else "The server cannot be reached.",
            retry=Retry.SAME_REFERENCE if lost else Retry.AFTER,
            money_state=MoneyState.HELD if lost else MoneyState.NOT_TAKEN,
        )
        return Unreachable(told)
    told_or_none = _decoded(reply.body, Told)
    if told_or_none is not None and told_or_none.code:
        return _KINDS[told_or_none.retry](told_or_none)
    if reply.status == TOO_MANY or reply.status >= SERVER_FAULT:
        # Something in between answered; what lies behind it may have done the work.
        told = Told(
            code="answer_malformed",
            title="Something in between answered.",
            status=reply.status,
            retry=Retry.AFTER if certain else Retry.SAME_REFERENCE,
            money_state=MoneyState.NOT_TAKEN if certain else MoneyState.HELD,
            retry_after_seconds=reply.retry_after,
        )
        return AnswerMalformed(told)
    return _malformed(reply)


_KINDS: dict[Retry, Callable[[Told], NotDone]] = {
    Retry.NEVER: Refused,
    Retry.AFTER: Busy,
    Retry.SAME_REFERENCE: OutcomeUnknown,
}


def _read(reply: Reply, kind: Any) -> Any:
    found = _decoded(reply.body, kind)
    if found is None:
        raise _malformed(reply)
    return found


def _decoded(body: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _malformed(reply: Reply) -> AnswerMalformed:
    return AnswerMalformed(
        Told(
            code="answer_malformed", title="The answer is none of the vendors' API.",
            status=reply.status, retry=Retry.NEVER, trace_id=reply.trace_id,
        )
    )  # fmt: skip


def _pending(reference: str) -> OutcomeUnknown:
    told = Told(
        code="sale_pending", title="The sale is still being made.", status=202,
        retry=Retry.SAME_REFERENCE, money_state=MoneyState.HELD, retry_after_seconds=AGAIN_SECONDS,
    )  # fmt: skip
    return OutcomeUnknown(told, reference=reference)


def _settles(fault: NotDone) -> bool:
    return isinstance(fault, Refused) and fault.status in SETTLING


def _unknown(fault: NotDone, reference: str | None = None) -> OutcomeUnknown:
    return OutcomeUnknown.because(fault, money_state=MoneyState.HELD, reference=reference)


def _given_up(fault: NotDone, *, doubtful: bool, reference: str) -> NotDone:
    if doubtful:
        return _unknown(fault, reference)
    fault.reference = reference
    return fault
