"""The chart numbers accounts, and writes postings the same however often they come."""

import pytest

from vending.ledger import accounts
from vending.ledger.accounts import Chart
from vending.postgres.pool import Connection

CODES = ["collection:mpesa:888880", "revenue:energy"]


async def a_chart(db: Connection) -> Chart:
    chart = Chart()
    await chart.open(db, CODES)
    return chart


async def test_postings_are_written_alike_though_others_of_their_kind_came_before(
    db: Connection,
) -> None:
    chart = await a_chart(db)
    debit, credit = CODES
    both = f"{{{chart.number(debit)},{chart.number(credit)}}}"
    for minor in (500, 700, 500):
        assert chart.literals(((debit, minor), (credit, -minor))) == (both, f"{{{minor},{-minor}}}")


async def test_only_accounts_of_postings_that_were_never_written_may_be_new(
    db: Connection,
) -> None:
    chart = await a_chart(db)
    debit, credit = CODES
    known, new = ((debit, 500), (credit, -500)), ((debit, 500), ("tax:vat", -500))
    chart.literals(known)
    assert chart.unmet([known]) == set()
    assert chart.unmet([known, new]) == {debit, "tax:vat"}


async def test_postings_with_an_account_that_was_never_opened_cannot_be_written(
    db: Connection,
) -> None:
    chart = await a_chart(db)
    with pytest.raises(KeyError):
        chart.literals(((CODES[0], 500), ("tax:vat", -500)))


async def test_a_chart_forgets_what_is_more_than_it_remembers_and_writes_it_again(
    db: Connection,
) -> None:
    chart = await a_chart(db)
    debit, credit = CODES
    first = ((debit, 1), (credit, -1))
    written = chart.literals(first)
    for minor in range(2, accounts.REMEMBERED_MAX + 2):
        chart.literals(((debit, minor), (credit, -minor)))
    assert chart.unmet([first]) == set(CODES)
    assert chart.literals(first) == written
