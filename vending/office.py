"""The office: what every sale draws on, and what it means that there is none."""

from dataclasses import dataclass
from datetime import timedelta

from vending.errors import Unavailable
from vending.ledger.accounts import Chart
from vending.notices import Wording
from vending.numbering import Numbers
from vending.tariffs.catalogue import Catalogue
from vending.tokens.issuer import Issuer


class OfficeClosed(Unavailable):
    """The vending keys are not open or no tariff is loaded; paid work waits.

    `/health/ready` says which of them is missing. Vending begins within seconds of it being there.
    """

    code = "office_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What every sale draws on: keys, tariffs, accounts, words, and how far a clock is believed."""

    issuer: Issuer
    catalogue: Catalogue
    chart: Chart
    numbers: Numbers
    wording: Wording
    paid_at_future: timedelta
    paid_at_past: timedelta
