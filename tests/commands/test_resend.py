"""`vending payments resend` stages the same digits again, for the running server to send."""

import pytest

from tests.builders import a_meter, a_payment
from tests.conftest import SettableClock
from tests.database import Database as Clone
from tests.test_followups import DIGITS, METER, PHONE, issue, staged, store
from vending.commands import payments
from vending.config import Config, Database
from vending.meters import directory
from vending.postgres.pool import Connection
from vending.sms.wording import grouped


async def test_a_receipt_is_staged_again_by_its_number(
    database: Clone, db: Connection, clock: SettableClock
) -> None:
    await directory.register(db, a_meter(meter_number=METER, phones=(PHONE,)), now=clock())
    payment = await store(db, a_payment(account_reference=METER, received_at=clock()))
    await issue(db, payment)
    config = Config(database=Database(dsn=database.dsn))
    assert await payments._resend(config, payment.notice.transaction_id.lower()) == 1
    ((kind, recipient, body),) = await staged(db)
    assert (kind, recipient) == ("copy", PHONE)
    assert grouped(DIGITS) in body


async def test_an_unknown_receipt_is_refused(database: Clone) -> None:
    config = Config(database=Database(dsn=database.dsn))
    with pytest.raises(payments.PaymentUnknown):
        await payments._resend(config, "NOSUCH")
