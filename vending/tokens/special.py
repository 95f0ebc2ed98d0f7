"""Special tokens: those that nobody pays for. What may be asked for, by whom, and how much of it.

Free units are credit (class 0) without money; engineering tokens set one meter (class 2), or have
any meter test or show something (class 1). Whatever is for one meter takes the next of its token
identifiers, as a sale does (P4). A caller and its own reference are one token for ever (P2).
"""

from datetime import date, datetime
from enum import StrEnum

import msgspec

from vending.errors import Refused
from vending.quantities import WH_PER_TENTH
from vending.values import Value

PERSON_PREFIX = "person:"

POWER_W_MAX = 18_201_624
"""The largest power that a token carries, by the rule of amounts (IEC 62055-41, 6.3.6)."""

REGISTERS = (0, 1, 2, 3, 4, 5, 6, 7, 0xFFFF)
"""What CLEAR_CREDIT clears: electricity, water, gas, time, the same in currency; 65535 is all."""

FACTOR_MAX = 0xFFFF

TESTS = (*range(12), *range(14, 19))
"""Tests and displays by their number: 0 is all of them (IEC 62055-41, table 27)."""


class SpecialKind(StrEnum):
    """What a special token does; `value` is its energy, power, register, factor or test."""

    FREE_BASIC = "free_basic"
    """A month's free basic units: watt-hours, and how many is the utility's rule."""
    FREE_ISSUE = "free_issue"
    """Free units for another reason: watt-hours."""
    POWER_LIMIT = "power_limit"
    """Set the greatest power: watts."""
    PHASE_UNBALANCE = "phase_unbalance"
    """Set how unlike the phases may be: watts."""
    CLEAR_CREDIT = "clear_credit"
    """Set a register of credit to nought: its number, 65535 for all."""
    CLEAR_TAMPER = "clear_tamper"
    """Forget that the meter was tampered with: 0."""
    WATER_FACTOR = "water_factor"
    """Set the factor of a water meter: the raw sixteen bits."""
    METER_TEST = "meter_test"
    """Test or show something, on any meter: the number of the test, 0 for all."""

    @property
    def free(self) -> bool:
        """Whether it is energy for nothing."""
        return self in (SpecialKind.FREE_BASIC, SpecialKind.FREE_ISSUE)


class Reason(StrEnum):
    """Why a special token is made: the closed list of reason codes."""

    ENTITLEMENT = "entitlement"
    """The utility's rule gives it: a month's free basic units, a new meter's first units."""
    COMPENSATION = "compensation"
    """Units made good, for a fault or an overcharge."""
    METER_REPLACED = "meter_replaced"
    """Units that were left in the meter before this one."""
    REGULATOR = "regulator"
    """A regulator's order."""
    COMMISSIONING = "commissioning"
    """The meter is being put into service."""
    LOAD_CHANGE = "load_change"
    """The customer's connection has changed."""
    TAMPER_INSPECTED = "tamper_inspected"
    """Somebody has been there and found it in order."""
    FAULT_FINDING = "fault_finding"
    """The meter is being looked at."""
    FIELD_WORK = "field_work"
    """A vendor's technician asked; XMLVend has no word for why."""


class SpecialMalformed(Refused):
    """No token can be asked for like that.

    `field` is what is wrong: the meter (a meter test has none, all the others have one) or the
    value, which is none that a token of that kind carries.
    """

    code = "special_malformed"


class SpecialConflicts(Refused):
    """This reference was used for another token, or for a sale.

    What was made under it stands. Ask again under a reference of its own.
    """

    code = "special_conflicts"


class FreeUnitsNone(Refused):
    """No free units are due to this meter.

    It has had those of the month, or has had its first ones, or the utility gives none. Nothing was
    made.
    """

    code = "free_units_none"


class DailyCapReached(Refused):
    """A cap of a day is reached: so many tokens without money, or so much free energy.

    `cap` says which. Nothing was made; it can be asked for again tomorrow, under the same
    reference.
    """

    code = "daily_cap_reached"


class Caps(Value, frozen=True, kw_only=True):
    """What one caller may issue in a day: tokens of all kinds, and free energy in watt-hours."""

    tokens: int
    energy_wh: int


class SpecialAsked(Value, frozen=True, kw_only=True):
    """What is asked for. The meter is beside it, as it is for a sale; a meter test has none.

    `entitlement` is what it uses up: a month (yyyymm) or "once"; None where two persons decided.
    `day` is the caller's day, in the utility's zone, for which `caps` hold. `request_id` is the
    number of the request that two persons stand behind.
    """

    kind: SpecialKind
    value: int
    entitlement: str | None = None
    reason: Reason
    asked_by: str
    approved_by: str | None = None
    day: date
    caps: Caps
    request_id: int | None = None


class SpecialToken(Value, frozen=True, kw_only=True):
    """A special token that was made. `value` is what it really carries, as its kind counts.

    `nth` and `day_energy_wh` are the caller's tokens and free energy of the day, with this one.
    """

    hidden = frozenset({"token", "facts"})

    special_id: int
    operator: str
    reference: str
    kind: SpecialKind
    meter_number: str | None
    tid_base: int | None
    tid: int | None
    token: str
    value: int
    entitlement: str | None
    reason: Reason
    asked_by: str
    approved_by: str | None
    facts: bytes
    day: date
    nth: int
    day_energy_wh: int
    day_tokens_max: int
    day_energy_max_wh: int
    decided_at: datetime

    @property
    def key(self) -> tuple[str, str]:
        """What the token is called for ever."""
        return self.operator, self.reference

    @property
    def energy_wh(self) -> int:
        """The energy it gives."""
        return self.value if self.kind.free else 0


class _Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked, in its one writing."""

    kind: str
    place: str
    meter: str | None = None
    value: int | None = None
    reason: str | None = None


def facts_of(
    kind: SpecialKind,
    *,
    place: str,
    meter: str | None = None,
    value: int | None = None,
    reason: Reason | None = None,
) -> bytes:
    """Return the facts of what was asked, as they are stored and compared.

    What the caller did not say is left out: the units that a rule gives may be others tomorrow.
    """
    return msgspec.json.encode(
        _Facts(kind=kind.value, place=place, meter=meter, value=value, reason=reason)
    )


def require_possible(kind: SpecialKind, value: int, *, meter: str | None) -> None:
    """Raise SpecialMalformed for a value no token carries, or a meter where none belongs."""
    if (kind is SpecialKind.METER_TEST) is not (meter is None):
        raise SpecialMalformed(field="meter")
    possible = {
        SpecialKind.FREE_BASIC: value > 0 and value % WH_PER_TENTH == 0,
        SpecialKind.FREE_ISSUE: value > 0 and value % WH_PER_TENTH == 0,
        SpecialKind.POWER_LIMIT: 0 <= value <= POWER_W_MAX,
        SpecialKind.PHASE_UNBALANCE: 0 <= value <= POWER_W_MAX,
        SpecialKind.CLEAR_CREDIT: value in REGISTERS,
        SpecialKind.CLEAR_TAMPER: value == 0,
        SpecialKind.WATER_FACTOR: 0 <= value <= FACTOR_MAX,
        SpecialKind.METER_TEST: value in TESTS,
    }
    if not possible[kind]:
        raise SpecialMalformed(field="value", kind=kind.value)


def caller_of(person: str) -> str:
    """Return the operator under which a person's tokens are stored."""
    return PERSON_PREFIX + person
