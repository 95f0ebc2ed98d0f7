"""What is told after the first word: that a token is on its way, and the same words again.

Neither makes or changes an outcome; a copy carries the digits of the committed outcome row.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from asyncpg import Record

from vending import notices
from vending.errors import Refused, Rejected
from vending.key_data import codes_of
from vending.meters import directory
from vending.meters.meter import Meter, parse_meter_number
from vending.notices import ENERGY, Wording
from vending.numbering import Numbers
from vending.outbox import message
from vending.outbox.message import Message, MessageKind
from vending.payments import outcomes
from vending.payments.payment import OutcomeKind, Payment
from vending.payments.rows import payment_of
from vending.postgres.pool import Session
from vending.sms import wording as words

# The message takes the payment's own number, so that a second one has nowhere to go.
STAGE_COMING = message.INSERT_MESSAGES + " on conflict do nothing returning message_id"

DECIDED = """
select payment_id from outcome where payment_id = any($1::bigint[])
"""

DECISION = """
select payment.payment_id, operator, transaction_id, short_code, product, account_reference,
       amount_minor, paid_at, received_at, payer, payer_kind, raw,
       outcome.kind, outcome.reason, outcome.meter_number, outcome.token, outcome.energy_wh,
       outcome.line_codes, outcome.line_amounts, outcome.decided_at
  from payment
  left join outcome on outcome.payment_id = payment.payment_id
 where payment.payment_id = $1
"""


class NothingToResend(Rejected):
    """The payment has no token and no refund due, so there is nothing to say again.

    `outcome` says where it stands; an undecided payment is decided by itself.
    """

    code = "nothing_to_resend"


class NobodyToTell(Rejected):
    """No phone is known for the payment: none is registered to the meter, and the payer is hidden.

    Register a phone to the meter and send again, or read the token to the customer.
    """

    code = "nobody_to_tell"


async def stage_coming(
    db: Session,
    payments: Sequence[Payment],
    *,
    waited: timedelta,
    wording: Wording,
    now: datetime,
) -> int:
    """Tell whoever paid, once for each payment that has waited so long, that the token will follow.

    Goes to the payer where the operator shows it, else to the first phone registered to the meter.
    Payments decided meanwhile are left out. Returns how many were told.
    """
    late = [one for one in payments if now - one.received_at >= waited]
    if not late:
        return 0
    decided = {row[0] for row in await db.fetch(DECIDED, [one.payment_id for one in late])}
    meters = await _meters(db, late)
    staged = []
    for payment in late:
        meter = meters.get(payment.payment_id)
        phones = notices.phones_of(payment, None) or notices.phones_of(payment, meter)
        if phones and payment.payment_id not in decided:
            text = words.coming(
                _language(meter),
                account_reference=payment.notice.account_reference,
                receipt_number=payment.notice.transaction_id,
                tender_minor=payment.notice.amount_minor,
                currency_symbol=wording.currency_symbol,
                help_line=wording.help_line,
                utility_name=wording.utility_name,
            )
            staged.append(
                Message(
                    message_id=payment.payment_id,
                    payment_id=payment.payment_id,
                    kind=MessageKind.COMING,
                    recipient=phones[0],
                    body=text,
                    due_at=now,
                )
            )
    if not staged:
        return 0
    return len(await db.fetch(STAGE_COMING, *message.columns(staged, due_at=now)))


async def resend(
    db: Session, payment_id: int, *, wording: Wording, numbers: Numbers, now: datetime
) -> list[Message]:
    """Stage a payment's receipt again, marked as a copy, or its word that a refund is due.

    Goes to the phones that hear about the payment by today's records. Returns what was staged;
    the relay of the running server sends it. Raises NothingToResend and NobodyToTell.
    """
    rows = await db.fetch(DECISION, payment_id)
    if not rows or rows[0]["kind"] not in {OutcomeKind.TOKEN_ISSUED, OutcomeKind.REFUND_DUE}:
        raise NothingToResend(outcome=rows[0]["kind"] if rows else "unknown payment")
    row = rows[0]
    payment = payment_of(row)
    found = await directory.find(db, [row["meter_number"]] if row["meter_number"] else [])
    meter = next(iter(found.values()), None)
    if row["kind"] == OutcomeKind.REFUND_DUE:
        staged = notices.apologies(
            payment, meter, reason=row["reason"], wording=wording, numbers=numbers, now=now
        )
    else:
        changes = await outcomes.key_changes(db, [payment_id])
        codes = codes_of(changes.get(payment_id))
        text = _copy(row, codes, language=_language(meter), wording=wording)
        staged = [
            Message(
                message_id=numbers.next(),
                payment_id=payment_id,
                kind=MessageKind.COPY,
                recipient=phone,
                body=text,
                due_at=now,
            )
            for phone in notices.phones_of(payment, meter)
        ]
    if not staged:
        raise NobodyToTell
    await db.fetch(message.INSERT_MESSAGES, *message.columns(staged, due_at=now))
    return staged


def _copy(row: Record, codes: Sequence[str], *, language: str, wording: Wording) -> str:
    lines = zip(row["line_codes"], row["line_amounts"], strict=True)
    energy_minor = sum(minor for code, minor in lines if code.startswith(ENERGY))
    return words.copy(
        language,
        meter_number=row["meter_number"],
        digits=row["token"],
        codes=codes,
        local_time=row["decided_at"].astimezone(wording.time_zone),
        energy_wh=row["energy_wh"],
        tender_minor=row["amount_minor"],
        energy_minor=energy_minor,
        other_minor=row["amount_minor"] - energy_minor,
        currency_symbol=wording.currency_symbol,
    )


async def _meters(db: Session, payments: Sequence[Payment]) -> dict[int, Meter]:
    """Return the meters that payments name, by payment; what names none is left out."""
    named: dict[int, str] = {}
    for payment in payments:
        try:
            named[payment.payment_id] = parse_meter_number(payment.notice.account_reference)
        except Refused:
            continue  # the vend will say so
    found = await directory.find(db, sorted(set(named.values())))
    return {payment: found[number] for payment, number in named.items() if number in found}


def _language(meter: Meter | None) -> str:
    return meter.language if meter else words.LANGUAGES[0]
