"""The operator's bodies have the shapes that Daraja documents."""

import hashlib
import json
import random
from datetime import UTC, datetime

import pytest

from vending.simulation import pay_bill
from vending.simulation.pay_bill import CustomerPayment, PayerShown

PAID_AT = datetime(2026, 7, 14, 15, 22, 31, tzinfo=UTC)

PAYMENT = CustomerPayment(
    transaction_id="TGE7Q2M4ZK",
    account="14123456783",
    amount_minor=50_000,
    short_code="888880",
    paid_at=PAID_AT,
    msisdn="254708374149",
    third_party_id="01K04Q9T6X5M8N2R",
)

# Safaricom's documented confirmation, version 2.
DOCUMENTED = {
    "TransactionType": "Pay Bill",
    "TransID": "TGE7Q2M4ZK",
    "TransTime": "20260714182231",
    "TransAmount": "500.00",
    "BusinessShortCode": "888880",
    "BillRefNumber": "14123456783",
    "InvoiceNumber": "",
    "OrgAccountBalance": "49873422.00",
    "ThirdPartyTransID": "01K04Q9T6X5M8N2R",
    "MSISDN": "2547 ***** 149",
    "FirstName": "ACHIENG",
    "MiddleName": "",
    "LastName": "",
}


def test_a_confirmation_is_the_documented_one_to_the_letter() -> None:
    body = pay_bill.body(PAYMENT, shown=PayerShown.MASKED, org_balance_minor=4_987_342_200)
    assert json.loads(body) == DOCUMENTED


def test_a_validation_has_the_same_keys_and_no_balance() -> None:
    told = json.loads(pay_bill.body(PAYMENT, shown=PayerShown.MASKED))
    assert told == DOCUMENTED | {"OrgAccountBalance": ""}


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (PayerShown.HASHED, hashlib.sha256(b"254708374149").hexdigest()),
        (PayerShown.MASKED, "2547 ***** 149"),
        (PayerShown.CLEAR, "254708374149"),
    ],
)
def test_the_payer_is_hidden_as_the_version_hides_him(shown: PayerShown, text: str) -> None:
    assert pay_bill.payer_text("254708374149", shown) == text


def test_the_documented_hash_is_that_of_the_documented_number() -> None:
    assert pay_bill.payer_text("254708374149", PayerShown.HASHED) == (
        "bbff37cea44ac0b2d964ee0dfb8d2df8513dc7ba1b36129a929fc3fbd6dd4af4"
    )


def test_a_receipt_number_begins_with_the_day_it_was_made() -> None:
    receipt = pay_bill.receipt_number(PAID_AT, random.Random(1))
    assert receipt.startswith("TGE")
    assert len(receipt) == 10
    assert receipt.isalnum()
    assert receipt == receipt.upper()


def test_a_payment_late_in_the_evening_carries_the_day_of_nairobi() -> None:
    at = datetime(2026, 7, 31, 21, 30, tzinfo=UTC)
    assert pay_bill.receipt_number(at, random.Random(1)).startswith("TH1")


def test_the_payers_number_is_not_in_what_a_payment_prints() -> None:
    assert "254708374149" not in repr(PAYMENT)


def test_every_malformed_body_differs_from_a_good_one() -> None:
    faults = pay_bill.malformed(PAYMENT)
    assert len(set(faults.values())) == len(faults)
    assert pay_bill.body(PAYMENT, shown=PayerShown.MASKED) not in faults.values()
