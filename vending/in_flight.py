"""What a batch that is being written will leave behind, for the next one that is prepared on it.

The next batch is read while this one commits, and its reads may or may not see it. So what is in
flight is laid over whatever was read: seen or not, the result is the same. When this batch is not
written after all, what was prepared on it is thrown away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vending.key_data import KeyData
from vending.meters.meter import MeterState
from vending.payments.outcomes import Outcome
from vending.payments.payment import PaymentNotice
from vending.payments.rows import Key
from vending.tariffs.quote import Debt
from vending.tokens.key_requests import KeysMade
from vending.tokens.special import SpecialToken


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """Everything that a later decision reads and a batch changes.

    `sales` are the payments stored with their outcome, by operator and reference: their number and
    their facts. `barred` are references that vendors may not use any more. `states` are the meters
    as the batch leaves them, and `owed` their debts with a balance, for each meter in `states` that
    had any. `rekeyed` are the new keys of those whose key it changes. `drawn` is what the batch
    takes off vendors' floats, which are marked with its number.
    `specials` are the special tokens it makes and `keys` the codes that vendors asked for, by their
    callers' references.
    """

    sales: Mapping[Key, tuple[int, PaymentNotice]] = field(default_factory=dict, repr=False)
    barred: frozenset[Key] = frozenset()
    outcomes: Mapping[int, Outcome] = field(default_factory=dict, repr=False)
    states: Mapping[str, MeterState] = field(default_factory=dict, repr=False)
    owed: Mapping[str, tuple[Debt, ...]] = field(default_factory=dict, repr=False)
    rekeyed: Mapping[str, KeyData] = field(default_factory=dict, repr=False)
    drawn: Mapping[str, int] = field(default_factory=dict, repr=False)
    specials: Mapping[Key, SpecialToken] = field(default_factory=dict, repr=False)
    keys: Mapping[Key, KeysMade] = field(default_factory=dict, repr=False)
    batch: int = 0


NOTHING = InFlight()
"""No batch is being written: what is read is how things are."""
