"""Payments as rows: the insert that inbox and vend share, and the read of known ones."""

from collections.abc import Collection, Sequence

from asyncpg import Record

from vending.payments.payment import PayerKind, Payment, PaymentNotice
from vending.postgres.columns import (
    any_text_array,
    any_texts,
    instant,
    instant_array,
    instants,
    number_array,
    numbers,
    side_by_side,
)
from vending.postgres.pool import Session

PARAMETERS = 12
"""How many parameters `insert_payments` takes."""

Key = tuple[str, str]
"""An operator and its own transaction id: what makes a payment that payment."""

# One look-up for each: the limit keeps the planner from turning the loop inside out.
READ_KNOWN = f"""
select found.payment_id, found.operator, found.transaction_id, found.short_code,
       found.account_reference, found.amount_minor, found.paid_at
  from unnest({any_text_array(1)}, {any_text_array(2)}) as asked (operator, transaction_id)
 cross join lateral (
        select payment_id, operator, transaction_id, short_code, account_reference, amount_minor,
               paid_at
          from payment
         where payment.operator = asked.operator
           and payment.transaction_id = asked.transaction_id
         limit 1
       ) as found
"""  # noqa: S608 -- only parameter numbers are put into the text


def key_of(notice: PaymentNotice) -> Key:
    """Return what identifies a notice's payment for ever."""
    return notice.operator, notice.transaction_id


def columns(payments: Sequence[Payment]) -> tuple[object, ...]:
    """Return payments as the parameters of `insert_payments`, one a column."""
    notices = [payment.notice for payment in payments]
    paid_at = [notice.paid_at for notice in notices]
    received_at = [payment.received_at for payment in payments]
    received = instants(received_at)
    return (
        numbers([payment.payment_id for payment in payments]),
        any_texts([notice.operator for notice in notices]),
        any_texts([notice.transaction_id for notice in notices]),
        any_texts([notice.short_code for notice in notices]),
        any_texts([payment.product for payment in payments]),
        any_texts([notice.account_reference for notice in notices]),
        numbers([notice.amount_minor for notice in notices]),
        # What is sold directly is paid as it arrives: the same text, made once.
        received if paid_at == received_at else instants(paid_at),
        received,
        any_texts([notice.payer for notice in notices]),
        any_texts([notice.payer_kind.value for notice in notices]),
        # Bytes stay an array: sent as one text they cost three times as much.
        [notice.raw for notice in notices],
    )


def insert_payments(first: int) -> str:
    """Return the insert of a batch of payments, its parameters numbered from `first`.

    The unique (operator, transaction_id) is what makes a repeat a repeat.
    """
    told = side_by_side(
        {
            "payment_id": number_array(first, "bigint"),
            "operator": any_text_array(first + 1),
            "transaction_id": any_text_array(first + 2),
            "short_code": any_text_array(first + 3),
            "product": any_text_array(first + 4),
            "account_reference": any_text_array(first + 5),
            "amount_minor": number_array(first + 6, "bigint"),
            "paid": instant_array(first + 7),
            "received": instant_array(first + 8),
            "payer": any_text_array(first + 9),
            "payer_kind": any_text_array(first + 10),
            "raw": f"${first + 11}::bytea[]",
        }
    )
    return f"""
insert into payment (payment_id, operator, transaction_id, short_code, product,
                     account_reference, amount_minor, paid_at, received_at, payer, payer_kind, raw)
select payment_id, operator, transaction_id, short_code, product, account_reference, amount_minor,
       {instant("paid")}, {instant("received")}, payer, payer_kind, raw
  from {told} as told
"""  # noqa: S608 -- only parameter numbers and type names are put into the text


async def known(db: Session, keys: Collection[Key]) -> dict[Key, tuple[int, PaymentNotice]]:
    """Return the number and the facts of those of these payments that are stored."""
    if not keys:
        return {}
    operators, transactions = zip(*keys, strict=True)
    rows = await db.fetch(READ_KNOWN, any_texts(operators), any_texts(transactions))
    return {
        (row["operator"], row["transaction_id"]): (row["payment_id"], _facts(row)) for row in rows
    }


def payment_of(row: Record) -> Payment:
    """Return the payment of a row that has every column of one."""
    return Payment(
        payment_id=row["payment_id"],
        product=row["product"],
        received_at=row["received_at"],
        notice=PaymentNotice(
            operator=row["operator"],
            transaction_id=row["transaction_id"],
            short_code=row["short_code"],
            account_reference=row["account_reference"],
            amount_minor=row["amount_minor"],
            paid_at=row["paid_at"],
            payer=row["payer"],
            payer_kind=PayerKind(row["payer_kind"]),
            raw=row["raw"],
        ),
    )


def _facts(row: Record) -> PaymentNotice:
    return PaymentNotice(
        operator=row["operator"],
        transaction_id=row["transaction_id"],
        short_code=row["short_code"],
        account_reference=row["account_reference"],
        amount_minor=row["amount_minor"],
        paid_at=row["paid_at"],
        payer="",
        payer_kind=PayerKind.ABSENT,
        raw=b"",
    )
