"""Why something was not done, and what that means for the money.

Catch `Refused` to tell the customer why not, `OutcomeUnknown` to keep the reference and ask later;
everything else that is a `NotDone` has sold nothing and may be asked again.
"""

from enum import StrEnum
from typing import Any, Self

import msgspec


class Retry(StrEnum):
    """Whether the same request may have another answer later."""

    NEVER = "never"
    """Not without a change: of the request, of the account, of the meter."""

    SAME_REFERENCE = "same-reference"
    """It may have happened: ask by the same reference, which settles it."""

    AFTER = "after"
    """Nothing has happened: send the same again later."""


class MoneyState(StrEnum):
    """What became of the vendor's money because of a request."""

    NOT_TAKEN = "not_taken"
    HELD = "held"
    """It may have left the float; the reference tells."""
    TAKEN = "taken"
    RETURNED = "returned"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of a refusal (Problem), or what we say where none answered.

    `retry` is never guessed: JSON without it is of something in between, and refuses nothing.
    """

    code: str
    retry: Retry
    title: str = ""
    detail: str = ""
    facts: dict[str, Any] = {}
    advice: str = ""
    status: int = 0
    money_state: MoneyState = MoneyState.NOT_TAKEN
    trace_id: str = ""
    retry_after_seconds: int | None = None


class NotDone(Exception):
    """What was asked was not done, or nobody knows.

    `code` is stable, and one of docs/reference/errors.md where a server has answered. Tell the
    utility the `trace_id`. `advice` says what to do about it, `status` is HTTP's, 0 where there
    was no answer. `facts` are what it is about, by name: `fault.facts["minimum_minor"]` of
    `amount_too_small` is a number.
    """

    def __init__(self, told: Told, *, reference: str | None = None) -> None:
        self.code = told.code
        self.title = told.title
        self.detail = told.detail
        self.facts = told.facts
        self.advice = told.advice
        self.status = told.status
        self.retry = told.retry
        self.money_state = told.money_state
        self.trace_id = told.trace_id
        self.retry_after_seconds = told.retry_after_seconds
        self.reference = reference
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        facts = {
            "detail": self.detail, "reference": self.reference, "retry": self.retry.value,
            "money_state": self.money_state.value, "trace_id": self.trace_id,
        }  # fmt: skip
        listed = ", ".join(f"{name}={value}" for name, value in facts.items() if value)
        return f"{self.code}: {self.title} ({listed})"

    @classmethod
    def because(cls, fault: "NotDone", *, money_state: MoneyState, reference: str | None) -> Self:
        """Return this kind of problem for what another one leaves behind."""
        told = Told(
            code=fault.code, title=fault.title, detail=fault.detail, facts=fault.facts,
            advice=fault.advice, status=fault.status, retry=Retry.SAME_REFERENCE,
            money_state=money_state, trace_id=fault.trace_id,
            retry_after_seconds=fault.retry_after_seconds,
        )  # fmt: skip
        return cls(told, reference=reference)


class Refused(NotDone):
    """The server has said no, and will again unless something is changed."""


class Busy(NotDone):
    """The server could not do it for as long as we had patience; nothing has happened."""


class Unreachable(NotDone):
    """No server could be reached for as long as we had patience; nothing has happened."""


class OutcomeUnknown(NotDone):
    """It may have happened, and patience has run out before anybody could tell.

    For a sale: keep the `reference` and ask by it later (`find`, or `sell` with the same facts),
    or make sure that nothing is sold (`settle`). Never sell the same under another reference.
    """


class AnswerMalformed(NotDone):
    """What answered is no vendors' API: look at the URL, and at what lies in between."""
