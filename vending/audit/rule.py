"""What a rule of the audit is, what it may be told, and what comes of checking it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Setting = Literal["decided_before", "paid_at_future", "paid_at_past"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the tables alone do not say.

    A payment received (or released from quarantine) before `decided_before` must have its outcome.
    The other two are the settings by which a time of payment is believed.
    """

    decided_before: datetime
    paid_at_future: timedelta
    paid_at_past: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that must hold of the stored rows.

    `violations` is a query with one text column: a row for each violation, naming the payment,
    meter, message or table it is about, and never a token, a phone or a text. `needs` are the
    terms it takes as parameters, in order.
    """

    name: str
    promise: str
    says: str
    violations: str
    needs: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What checking one rule found: how many violations, and the first few of them.

    `fault` is set when the check itself could not be made, which is no better than a violation.
    """

    rule: Rule
    count: int
    first: tuple[str, ...]
    fault: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the rule was checked and no violation found."""
        return self.count == 0 and self.fault is None
