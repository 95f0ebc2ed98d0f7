"""Each rule is broken once, by hand, in a history that was healthy, and must then be named.

The rows are damaged as the owner, with the constraint that would have refused it taken away first.
"""

import re
from datetime import timedelta

import pytest

from tests.audit.conftest import Books
from tests.audit.damage import Damage
from tests.audit.key_changes import KEY_DAMAGES
from tests.audit.special import SPECIAL_DAMAGES
from vending.audit import auditor

NO_CHECKS = "alter table outcome drop constraint outcome_check, drop constraint outcome_check1"
A_COPY_OF = "insert into {table} select * from {table} where {key} = {{sold[0]}}"

A_QUOTE = (
    "insert into quote (quote_id, vendor_id, meter_number, amount_minor, energy_wh, tariff,"
    " tariff_version, tariff_category, line_codes, line_amounts, quoted_at, expires_at)"
    " select 7, 'acme', meter_number, amount_minor, energy_wh, tariff, tariff_version,"
    " tariff_category, line_codes, line_amounts, decided_at, decided_at + interval '5 minutes'"
    " from outcome join payment using (payment_id) where payment_id = {by_vendor}"
)

DAMAGES = (
    Damage(
        rule="payment-decided",
        statements=("update quarantine set resolved_at = received_at",),
        shown="{aside}",
    ),
    Damage(
        rule="payment-decided-once",
        statements=(
            "alter table outcome drop constraint outcome_pkey",
            "drop index outcome_token",
            A_COPY_OF.format(table="outcome", key="payment_id"),
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="payment-stored-once",
        statements=(
            "alter table payment drop constraint payment_operator_transaction_id_key",
            ("update payment set transaction_id = (select transaction_id from payment"
            " where payment_id = {sold[0]}) where payment_id = {sold[1]}"),
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="token-or-refund",
        statements=(
            NO_CHECKS,
            "update outcome set reason = 'meter_unknown' where payment_id = {sold[0]}",
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="reassignment-told-true",
        statements=("update reassignment set payment_id = {owed}",),
        shown="{owed}",
    ),
    Damage(
        rule="outcome-has-payment",
        statements=("delete from payment where payment_id = {owed}",),
        shown="{owed}",
    ),
    Damage(
        rule="entry-has-outcome",
        statements=("delete from outcome where payment_id = {owed}",),
        shown="{owed}/0",
    ),
    Damage(
        rule="token-booked",
        statements=("delete from entry where document_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="token-booked",
        statements=(
            ("insert into entry select document_id, 1, kind, accounts, amounts, booked_at"
            " from entry where document_id = {sold[0]}"),
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="token-booked",
        statements=(
            "update entry set sequence = 2 where document_id = {moved} and kind = 'sale'",
        ),
        shown="{moved}",
    ),
    Damage(
        rule="refund-booked",
        statements=(
            ("insert into entry select {owed}, 1, kind, accounts, amounts, booked_at"
            " from entry where document_id = {moved} and kind = 'sale'"),
        ),
        shown="{owed}",
    ),
    Damage(
        rule="refund-booked",
        statements=("delete from entry where document_id = {owed}",),
        shown="{owed}",
    ),
    Damage(
        rule="entry-sums-to-zero",
        statements=(
            "alter table entry drop constraint entry_amounts_check",
            "update entry set amounts[1] = amounts[1] + 1 where document_id = {sold[0]}",
        ),
        shown="{sold[0]}/0",
    ),
    Damage(
        rule="entry-sums-to-zero",
        statements=("update entry set accounts[2] = 9999 where document_id = {sold[0]}",),
        shown="{sold[0]}/0",
    ),
    Damage(
        rule="ledger-sums-to-zero",
        statements=(
            "delete from account where code = 'suspense:refund_due'",
        ),
        shown="total 50000",
    ),
    Damage(
        rule="tender-booked",
        statements=("update payment set amount_minor = 1 where payment_id = {owed}",),
        shown="{owed}",
    ),
    Damage(
        rule="tender-booked",
        statements=("update payment set short_code = '1' where payment_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="suspense-owed",
        statements=(
            "delete from entry where document_id = {moved} and kind = 'sale'",
        ),
        shown="{moved}",
    ),
    Damage(
        rule="history-append-only",
        statements=("grant update (amounts) on entry to stima_app",),
        shown="entry UPDATE",
    ),
    Damage(
        rule="history-append-only",
        statements=("grant delete on payment to stima_app",),
        shown="payment DELETE",
    ),
    Damage(
        rule="history-append-only",
        statements=("grant delete on outcome to stima_app",),
        shown="outcome DELETE",
    ),
    Damage(
        rule="message-has-outcome",
        statements=(("update message set payment_id = 77 where payment_id = {owed}"
                    " or payment_id = {sold[0]}"),),
        shown="{messages[0]}",
    ),
    Damage(
        rule="receipt-has-token",
        statements=("update message set payment_id = {owed} where payment_id = {sold[0]}",),
        shown="{messages[0]}",
    ),
    Damage(
        rule="receipt-digits",
        statements=(
            ("update message set body = regexp_replace(body, '[0-9]{{4}}(-[0-9]{{4}}){{4}}',"
            " '0000-1111-2222-3333-4444') where payment_id = {sold[0]}"),
        ),
        shown="{messages[0]}",
    ),
    Damage(
        rule="receipt-digits",
        statements=(
            "update message set body = 'Thank you' where payment_id = {sold[0]}",
        ),
        shown="{messages[0]}",
    ),
    Damage(
        rule="token-only-on-receipts",
        statements=("update message set kind = 'coming' where payment_id = {sold[0]}",),
        shown="{messages[0]}",
    ),
    Damage(
        rule="sale-told",
        statements=("delete from message where payment_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="entry-has-outcome",
        statements=(
            "update deposit set entry_id = 1 where deposit_id = {deposit}",
        ),
        shown="",
    ),
    Damage(
        rule="tender-booked",
        statements=("update payment set operator = 'vendor:b' where payment_id = {by_vendor}",),
        shown="{by_vendor}",
    ),
    Damage(
        rule="receipt-booked",
        statements=(("update entry set accounts[cardinality(accounts)] = accounts[1]"
                    " where document_id = {by_vendor}"),),
        shown="{by_vendor}",
    ),
    Damage(
        rule="history-append-only",
        statements=("grant update on act to stima_app",),
        shown="act UPDATE",
    ),
    Damage(
        rule="float-booked",
        statements=("update vendor_float set balance_minor = balance_minor + 1",),
        shown="acme",
    ),
    Damage(
        rule="float-booked",
        statements=("delete from vendor_float",),
        shown="acme",
    ),
    Damage(
        rule="float-covered",
        statements=(
            "alter table vendor_float drop constraint vendor_float_covered",
            "update vendor_float set balance_minor = -1",
        ),
        shown="acme",
    ),
    Damage(
        rule="vendor-has-float",
        statements=("update vendor_float set vendor_id = 'other'",),
        shown="acme",
    ),
    Damage(
        rule="deposit-booked",
        statements=("delete from entry where kind = 'deposit'",),
        shown="{deposit}",
    ),
    Damage(
        rule="deposit-booked",
        statements=("update deposit set amount_minor = 1 where deposit_id = {deposit}",),
        shown="{deposit}",
    ),
    Damage(
        rule="deposit-booked",
        statements=("delete from deposit where deposit_id = {deposit}",),
        shown="",
    ),
    Damage(
        rule="deposit-checked",
        statements=(
            "alter table deposit drop constraint deposit_checked",
            "update deposit set settled_by = 'JANE' where deposit_id = {deposit}",
        ),
        shown="{deposit}",
    ),
    Damage(
        rule="deposit-once",
        statements=(
            "drop index deposit_reference",
            "update deposit set bank_reference = 'FT1'",
        ),
        shown="kcb FT1",
    ),
    Damage(
        rule="credential-issued",
        statements=("update api_key set prefix = 'planted2'",),
        shown="acme planted2",
    ),
    Damage(
        rule="acts-chained",
        statements=("update act set who = 'Jane2' where number = 2",),
        shown="act 2",
    ),
    Damage(
        rule="acts-chained",
        statements=("delete from act where number = 3",),
        shown="act 4",
    ),
    Damage(
        rule="acts-chained",
        statements=("update act_head set digest = sha256('x')",),
        shown="act 8",
    ),
    Damage(
        rule="identifier-once",
        statements=(
            "drop index outcome_token",
            ("update outcome set tid = (select tid from outcome where payment_id = {sold[0]})"
            " where payment_id = {sold[1]}"),
        ),
        shown="{meter} 14/",
    ),
    Damage(
        rule="identifiers-rise",
        statements=(
            ("update outcome set decided_at = decided_at - interval '1 day'"
            " where payment_id = {sold[1]}"),
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="identifier-not-reserved",
        statements=(
            "update outcome set tid = tid + 1440 - tid % 1440 + 1 where payment_id = {sold[1]}",
        ),
        shown="{sold[1]}",
    ),
    Damage(
        rule="identifier-possible",
        statements=("update outcome set tid = tid - 10 where payment_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="identifier-possible",
        statements=("update outcome set tid = 16777216 where payment_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="identifier-possible",
        statements=("update outcome set tid_base = 15 where payment_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="meter-remembers",
        statements=(("update meter_state set last_tid = last_tid - 1"
                    " where meter_number = '{meter}'"),),
        shown="{meter}",
    ),
    Damage(
        rule="meter-remembers",
        statements=("delete from meter_state where meter_number = '{meter}'",),
        shown="{meter}",
    ),
    Damage(
        rule="token-has-meter",
        statements=("delete from meter where meter_number = '{meter}'",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="energy-carried",
        statements=("update outcome set energy_wh = energy_wh + 1 where payment_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="energy-carried",
        statements=("update outcome set energy_wh = 1638500 where payment_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="receipt-sums",
        statements=(
            ("update outcome set line_amounts[1] = line_amounts[1] + 1"
            " where payment_id = {sold[0]}"),
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="receipt-booked",
        statements=(
            ("update outcome set line_amounts[1] = line_amounts[2],"
            " line_amounts[2] = line_amounts[1] where payment_id = {sold[0]}"),
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="tariff-kept",
        statements=(
            "update outcome set tariff_version = 'never' where payment_id = {sold[0]}",
        ),
        shown="{sold[0]}",
    ),
    Damage(
        rule="tariff-kept",
        statements=(("update tariff_version set effective_from = '2026-11-23T00:00Z'"
                    " where code = 'KE-DC'"),),
        shown="{sold[0]}",
    ),
    Damage(
        rule="tariff-unaltered",
        statements=(("update tariff_version set source = replace(source, '12.14', '12.15')"
                    " where code = 'KE-DC' and version = '2025-26'"),),
        shown="KE-DC 2025-26",
    ),
    Damage(
        rule="month-energy",
        statements=(("update meter_state set month_energy_wh = month_energy_wh + 100"
                    " where meter_number = '{meter}'"),),
        shown="{meter} 202611",
    ),
    Damage(
        rule="quote-sums",
        statements=(A_QUOTE, "update quote set amount_minor = amount_minor + 1"),
        shown="quote 7",
    ),
    Damage(
        rule="quote-kept",
        statements=(A_QUOTE, ("update payment set raw = '{{\"quote\":7}}'"
                    " where payment_id = {by_vendor}"), "update quote set energy_wh = 1"),
        shown="{by_vendor}",
    ),
    Damage(
        rule="barred-unsold",
        statements=(("insert into sale_barred (operator, reference, barred_at)"
                    " select operator, transaction_id, received_at from payment"
                    " where payment_id = {by_vendor}"),),
        shown="{by_vendor}",
    ),
    Damage(
        rule="vendor-sale-made",
        statements=("delete from outcome where payment_id = {by_vendor}",),
        shown="{by_vendor}",
    ),
    Damage(
        rule="repayment-booked",
        statements=(
            NO_CHECKS,
            ("update outcome set kind = 'account_credited', reason = null"
            " where payment_id = {owed}"),
        ),
        shown="{owed}",
    ),
    Damage(
        rule="repayment-booked",
        statements=("update entry set kind = 'repayment' where document_id = {sold[0]}",),
        shown="{sold[0]}",
    ),
    Damage(
        rule="copies-counted",
        statements=(("insert into reprint (payment_id, copy, asked_by, asked_at)"
                    " values ({by_vendor}, 2, 'till', '2026-11-22')"),),
        shown="{by_vendor}",
    ),
    Damage(
        rule="dispute-of-sale",
        statements=(("insert into dispute (dispute_id, payment_id, vendor_id, reason, opened_by,"
                    " opened_at) values (9, {by_vendor}, 'bolt', 'typo', 'till', '2026-11-22')"),),
        shown="dispute 9",
    ),
    Damage(
        rule="month-energy",
        statements=("update meter_state set month = 202612 where meter_number = '{meter}'",),
        shown="{meter} 202611",
    ),
    *SPECIAL_DAMAGES,
    *KEY_DAMAGES,
)  # fmt: skip


async def test_a_healthy_history_breaks_no_rule(books: Books) -> None:
    kinds = await books.db.fetch("select kind, count(*) from outcome group by kind order by kind")
    assert [tuple(row) for row in kinds] == [("refund_due", 1), ("token_issued", 8)]
    assert await books.broken() == {}


def test_every_rule_is_broken_by_some_test() -> None:
    names = [rule.name for rule in auditor.RULES]
    assert len(names) == len(set(names))
    assert set(names) == {damage.rule for damage in DAMAGES}


@pytest.mark.parametrize(
    "damage",
    [pytest.param(one, id=f"{one.rule}-{place}") for place, one in enumerate(DAMAGES)],
)
async def test_a_broken_rule_is_named_with_what_broke_it(books: Books, damage: Damage) -> None:
    messages = await books.db.fetch(
        "select message_id from message where payment_id = $1 order by message_id", books.sold[0]
    )
    names = (
        "meter", "sold", "moved", "owed", "aside", "deposit", "by_vendor", "special", "rekeyed",
    )  # fmt: skip
    facts = {name: getattr(books, name) for name in names}
    facts["messages"] = [row["message_id"] for row in messages]
    for statement in damage.statements:
        done = await books.db.execute(statement.format(**facts))
        assert not done.endswith(" 0"), statement
    broken = await books.broken()
    assert damage.rule in broken
    found = broken[damage.rule]
    assert found.fault is None
    assert len(found.first) == min(found.count, auditor.FIRST_MAX)
    shown = damage.shown.format(**facts)
    assert any(one.startswith(shown) for one in found.first), found.first


async def test_a_payment_that_is_still_young_may_be_undecided(books: Books) -> None:
    await books.db.execute("update quarantine set resolved_at = received_at")
    assert "payment-decided" in await books.broken()
    assert await books.broken(older_than=timedelta(hours=2)) == {}


async def test_a_payment_released_a_moment_ago_may_be_undecided(books: Books) -> None:
    await books.db.execute("update quarantine set resolved_at = $1", books.now)
    assert await books.broken() == {}


async def test_a_rule_that_cannot_be_checked_counts_as_broken_and_stops_no_other(
    books: Books,
) -> None:
    await books.db.execute("alter table reassignment drop column result")
    broken = await books.broken()
    assert {name: one.fault for name, one in broken.items()} == {
        "reassignment-told-true": "UndefinedColumnError"
    }


async def test_only_the_first_few_violations_are_named_and_all_are_counted(books: Books) -> None:
    await books.db.execute("update outcome set energy_wh = energy_wh + 1 where tid is not null")
    found = (await books.broken())["energy-carried"]
    assert (found.count, len(found.first)) == (8, auditor.FIRST_MAX)


async def test_no_violation_names_a_token_or_a_phone(books: Books) -> None:
    await books.db.execute("delete from entry where sequence = 0")
    await books.db.execute("delete from payment")
    await books.db.execute("update message set body = 'x', payment_id = 1")
    broken = await books.broken()
    assert len(broken) > 5
    for found in broken.values():
        for one in found.first:
            assert not re.search(r"[0-9]{20}|\+254", one)
