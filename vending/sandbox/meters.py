"""The magic meters: one for every outcome a vendor's program must know how to meet.

docs/reference/sandbox.md shows this table to developers, and a test holds the page to it.
"""

from enum import StrEnum
from typing import Final

from vending.meters.meter import Meter, MeterState, MeterStatus, MeterUnknown, parse_meter_number
from vending.sandbox import schedule, tokens
from vending.selling.prices import Standing
from vending.tariffs.quote import Debt
from vending.values import Value


class Trick(StrEnum):
    """What a meter does besides what its record says."""

    KEY_CHANGE = "key change"
    KEY_EXPIRED = "key expired"
    ANSWER_LOST = "answer lost"
    DOWN = "down"
    DUPLICATE = "duplicate"
    NO_FLOAT = "no float"


class Magic(Value, frozen=True, kw_only=True):
    """A meter of the sandbox, and what a sale to it comes to, as developers are told.

    A sale takes `seconds`. Its debts stay what they are, however often they are paid, and a key
    change that is due stays due.
    """

    number: str
    name: str
    says: str
    status: MeterStatus = "active"
    tariff: str = schedule.TARIFF
    debts: tuple[Debt, ...] = ()
    seconds: int = 0
    trick: Trick | None = None

    @property
    def standing(self) -> Standing:
        """The meter as prices are made from it."""
        meter = Meter(
            meter_number=self.number, sgc=tokens.SGC, krn=tokens.KRN, ti=1, ea=7, tct=2,
            tid_base=tokens.TID_BASE, ken=tokens.KEN_NEVER, tariff=self.tariff,
            tariff_category=schedule.CATEGORY, status=self.status,
        )  # fmt: skip
        state = MeterState(
            meter_number=self.number, tid_base=tokens.TID_BASE, open_debts=len(self.debts)
        )
        return Standing(meter=meter, state=state, debts=self.debts)


_OWED = (
    Debt(debt_id=1, kind="arrears", priority=1, mode="percent", rate_ppm=300_000,
         balance_minor=1_000_000),
    Debt(debt_id=2, kind="meter", priority=2, mode="fixed", amount_minor=5_000,
         balance_minor=250_000),
)  # fmt: skip

MAGIC: Final = (
    Magic(number="01000000008", name="active", says="201 with a token"),
    Magic(
        number="01000000016", name="blocked", status="blocked", says="422 `meter_blocked`",
    ),
    Magic(
        number="01000000024", name="removed", status="removed", says="422 `meter_removed`",
    ),
    Magic(
        number="01000000040", name="below minimum", tariff=schedule.TARIFF_OF_MINIMUM,
        says="422 `amount_too_small` below 100000 cents, 201 from there on",
    ),
    Magic(
        number="01000000057", name="arrears", debts=_OWED,
        says="201; 30 % of the sum and 5000 cents of it pay debts, as lines of the receipt",
    ),
    Magic(
        number="01000000065", name="key change due", trick=Trick.KEY_CHANGE,
        says="201 with a token, and two codes in `key_change_codes`: print them above the token, "
        "in order",
    ),
    Magic(number="01000000073", name="slow", seconds=3, says="201 after 3 seconds"),
    Magic(
        number="01000000081", name="very slow", seconds=30,
        says="202 however long you wait; done, with its token, after 30 seconds",
    ),
    Magic(
        number="01000000099", name="time-out after issue", trick=Trick.ANSWER_LOST,
        says="the connection is closed without an answer; the token is there on `GET`, and "
        "when the same is sent again",
    ),
    Magic(
        number="01000000107", name="biller down", trick=Trick.DOWN,
        says="503 `sale_unavailable`, `retry` *same-reference*; 201 when the same is sent again",
    ),
    Magic(
        number="01000000115", name="duplicate", trick=Trick.DUPLICATE,
        says="409 `duplicate_suspected` until `confirm` is true; the earlier sale is "
        "`sandbox-earlier`",
    ),
    Magic(
        number="01000000123", name="insufficient float", trick=Trick.NO_FLOAT,
        says="422 `float_insufficient`",
    ),
    Magic(
        number="01000000131", name="key expired", trick=Trick.KEY_EXPIRED,
        says="422 `key_expired`: the utility must have its key changed first",
    ),
)  # fmt: skip
"""The active one is also the example of the API's description."""

NOBODYS: Final = "01000000032"
"""A right number that no meter has: 422 `meter_unknown`, as for every number that is not above."""

EARLIER: Final = "sandbox-earlier"
"""The reference of the sale that the duplicate's meter has always had a moment ago."""

_BY_NUMBER: Final = {magic.number: magic for magic in MAGIC}


def find(typed: str) -> Magic:
    """Return the magic meter somebody means. Raises MeterNumberMalformed, MeterUnknown."""
    number = parse_meter_number(typed)
    magic = _BY_NUMBER.get(number)
    if magic is None:
        raise MeterUnknown(
            meter_number=number, sandbox=f"only its own meters, such as {MAGIC[0].number}, are here"
        )
    return magic
