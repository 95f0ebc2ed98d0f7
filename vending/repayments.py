"""Debts that customers pay by themselves, at a vendor's till: money and no token.

They are decided after the batch's sales, on what those leave of the meter's debts and of the
vendor's float, and written with them: the payment, its outcome *account credited*, its entry from
the float to the debts' accounts, and the debts' new balances (P2, P3). All of a payment is taken
off debts, so nobody pays more than is owed. A blocked meter's debts can be paid as well.
"""

from collections.abc import Sequence
from datetime import datetime

from vending import bookings
from vending.batch import Changes
from vending.claims import Account, Claim
from vending.cover import Cover
from vending.errors import Refused
from vending.meters.meter import Meter, parse_meter_number
from vending.payments.outcomes import Outcome
from vending.payments.payment import OutcomeKind
from vending.shelf import Shelf
from vending.tariffs.catalogue import Catalogue
from vending.tariffs.charge import DEBT
from vending.tariffs.quote import AmountTooSmall, Debt
from vending.tariffs.tariff import Tariff

SERVICE_CHARGE = "service_charge"
"""The kind of debts that are charges for a service; every other kind is a debt."""


class DebtNone(Refused):
    """There is no debt to pay.

    Nothing was taken. A look-up tells what a meter owes.
    """

    code = "debt_none"


class ChargeNone(Refused):
    """There is no service charge to pay.

    Nothing was taken. Charges that are due each month are taken with purchases.
    """

    code = "service_charge_none"


class DebtExceeded(Refused):
    """This is more than is owed.

    Nothing was taken. `balance_minor` is what is owed; pay that or less.
    """

    code = "debt_exceeded"


def settle(
    claims: Sequence[Claim],
    changes: Changes,
    *,
    meters: Shelf,
    money: Cover,
    catalogue: Catalogue,
) -> dict[int, Refused]:
    """Take what is paid off debts, one payment after the other, and add it to what changes.

    `meters` and `money` are as the sales leave them, and are left as this leaves them. Returns why
    payments were refused, by their number; nothing is stored of those.
    """
    refusals: dict[int, Refused] = {}
    for claim in claims:
        try:
            _settle(claim, changes, meters=meters, money=money, catalogue=catalogue)
        except Refused as reason:
            refusals[claim.payment.payment_id] = reason
    return refusals


def _settle(
    claim: Claim, changes: Changes, *, meters: Shelf, money: Cover, catalogue: Catalogue
) -> None:
    payment, now = claim.payment, changes.decided_at
    account = claim.terms.pays if claim.terms else None
    meter, _, debts = meters.take(parse_meter_number(claim.reference))
    taken = taken_off(debts, payment.notice.amount_minor, account or Account.ANY)
    tariff = catalogue.in_force(meter.tariff, now)
    money.require(payment)
    meters.repay(meter.meter_number, {debt.debt_id: minor for debt, minor in taken})
    money.draw(payment)
    changes.payments.append(payment)
    changes.outcomes.append(_outcome(claim, meter, taken, tariff=tariff, now=now))
    lines = [(_account(tariff, debt), minor) for debt, minor in taken]
    changes.entries.append(
        bookings.of_repayment(claim, lines, commission=money.commission(payment), now=now)
    )


def taken_off(
    debts: Sequence[Debt], amount_minor: int, account: Account
) -> tuple[tuple[Debt, int], ...]:
    """Return what each debt of an account takes of a sum, in the order they are paid off.

    Raises DebtNone, ChargeNone, DebtExceeded, and AmountTooSmall for nothing.
    """
    asked = [debt for debt in debts if debt.balance_minor and _belongs(debt, account)]
    owed = sum(debt.balance_minor for debt in asked)
    if not owed:
        raise ChargeNone if account is Account.SERVICE_CHARGE else DebtNone
    if amount_minor > owed:
        raise DebtExceeded(balance_minor=owed)
    if amount_minor < 1:
        raise AmountTooSmall(minimum_minor=1)
    taken: list[tuple[Debt, int]] = []
    left = amount_minor
    for debt in sorted(asked, key=lambda one: (one.priority, one.debt_id)):
        minor = min(left, debt.balance_minor)
        if minor:
            taken.append((debt, minor))
            left -= minor
    return tuple(taken)


def _belongs(debt: Debt, account: Account) -> bool:
    if account is Account.ANY:
        return True
    return (debt.kind == SERVICE_CHARGE) == (account is Account.SERVICE_CHARGE)


def _account(tariff: Tariff, debt: Debt) -> str:
    return tariff.debt_accounts.get(debt.kind, tariff.debt_account)


def _outcome(
    claim: Claim,
    meter: Meter,
    taken: Sequence[tuple[Debt, int]],
    *,
    tariff: Tariff,
    now: datetime,
) -> Outcome:
    return Outcome(
        payment_id=claim.payment.payment_id,
        kind=OutcomeKind.ACCOUNT_CREDITED,
        meter_number=meter.meter_number,
        tariff=tariff.code,
        tariff_version=tariff.version,
        lines=tuple((DEBT + debt.kind, minor) for debt, minor in taken),
        decided_at=now,
    )
