"""A vendor sees its float, its statement, its deposits and its commission: its own, to the cent."""

from datetime import datetime, timedelta

import pytest

from tests.api.v1.conftest import Caller, a_deposit
from tests.conftest import SettableClock
from vending.api.v1 import account, pages
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.vendors import commission, deposits, floats
from vending.vendors.commission import Band

SLIP = {"bank": "kcb", "bank_reference": "ft260001", "amount_minor": 250_000, "note": "branch 7"}


@pytest.fixture
def numbers(clock: SettableClock) -> Numbers:
    return Numbers(clock, node=3)


async def test_a_vendor_sees_its_float(
    acme: Caller, office: Connection, numbers: Numbers, clock: SettableClock
) -> None:
    await a_deposit(office, "acme", next_number=numbers.next, clock=clock)
    await floats.set_limit(office, "acme", limit_minor=50_000, note="", who="Jane", now=clock())
    await floats.set_warning(office, "acme", warning_minor=9_000, note="", who="Jane", now=clock())
    reply = await acme.get("/v1/float")
    assert reply.status == 200
    assert reply.json == {
        "balance_minor": 1_000_000,
        "credit_limit_minor": 50_000,
        "available_minor": 1_050_000,
        "warning_minor": 9_000,
        "currency": "KES",
        "as_of": "2026-11-22T08:00:00Z",
    }


async def test_a_slip_is_proposed_once_however_often_it_is_sent(
    acme: Caller, bolt: Caller, office: Connection
) -> None:
    first = await acme.post("/v1/deposits", SLIP)
    assert first.status == 201
    assert first.json["status"] == "proposed"
    assert first.json["bank_reference"] == "FT260001"
    again = await acme.post("/v1/deposits", SLIP)
    assert (again.status, again.json) == (200, first.json)
    found = await acme.get(first.headers["Location"])
    assert (found.status, found.json) == (200, first.json)
    other_amount = await acme.post("/v1/deposits", {**SLIP, "amount_minor": 1})
    assert (other_amount.status, other_amount.json["code"]) == (409, "deposit_repeated")
    other_vendor = await bolt.post("/v1/deposits", SLIP)
    assert (other_vendor.status, other_vendor.json["code"]) == (409, "deposit_repeated")
    assert [one.vendor_id for one in await deposits.waiting(office)] == ["acme"]


async def test_a_proposed_deposit_counts_once_it_is_confirmed(
    acme: Caller, office: Connection, numbers: Numbers, clock: SettableClock
) -> None:
    slip = (await acme.post("/v1/deposits", SLIP)).json
    assert (await acme.get("/v1/float")).json["balance_minor"] == 0
    number = int(slip["deposit"].removeprefix("dep_"))
    await deposits.confirm(office, number, entry_id=numbers.next, who="Otieno", now=clock())
    assert (await acme.get("/v1/float")).json["balance_minor"] == 250_000
    told = (await acme.get(f"/v1/deposits/{slip['deposit']}")).json
    assert told["status"] == "confirmed"
    assert "Otieno" not in str(told)


async def test_deposits_come_in_pages_newest_first(
    acme: Caller, bolt: Caller, clock: SettableClock
) -> None:
    for number in range(5):
        clock.advance(seconds=1)
        await acme.post("/v1/deposits", {**SLIP, "bank_reference": f"A{number}"})
        await bolt.post("/v1/deposits", {**SLIP, "bank_reference": f"B{number}"})
    seen: list[str] = []
    path = "/v1/deposits?limit=2"
    while True:
        page = (await acme.get(path)).json
        seen += [one["bank_reference"] for one in page["deposits"]]
        if page["next"] is None:
            break
        path = f"/v1/deposits?limit=2&cursor={page['next']}"
    assert seen == ["A4", "A3", "A2", "A1", "A0"]


async def test_a_statement_is_the_ledger_in_pages(
    acme: Caller, office: Connection, numbers: Numbers, clock: SettableClock
) -> None:
    for number in range(5):
        await a_deposit(
            office, "acme", next_number=numbers.next, clock=clock, amount_minor=100 + number
        )
        await a_deposit(office, "bolt", next_number=numbers.next, clock=clock)
        clock.advance(minutes=1)
    clock.advance(minutes=10)
    lines, cursor, more = [], "", True
    while more:
        page = (await acme.get(f"/v1/statement?limit=2{cursor}")).json
        lines += page["lines"]
        cursor, more = f"&cursor={page['next']}", page["more"]
    assert [one["amount_minor"] for one in lines] == [100, 101, 102, 103, 104]
    assert all(one["settled"] and one["kind"] == "deposit" for one in lines)
    booked = await office.fetch(
        "select amount_minor from posting where account = 'float:acme' order by document_id"
    )
    assert [one["amount_minor"] for one in lines] == [-row["amount_minor"] for row in booked]
    assert (
        sum(one["amount_minor"] for one in lines)
        == (await acme.get("/v1/float")).json["balance_minor"]
    )


async def test_a_statement_goes_on_another_day_where_it_ended(
    acme: Caller, office: Connection, numbers: Numbers, clock: SettableClock
) -> None:
    await a_deposit(office, "acme", next_number=numbers.next, clock=clock, amount_minor=1)
    clock.advance(minutes=10)
    await a_deposit(office, "acme", next_number=numbers.next, clock=clock, amount_minor=2)
    first = (await acme.get("/v1/statement")).json
    assert [(one["amount_minor"], one["settled"]) for one in first["lines"]] == [
        (1, True), (2, False),
    ]  # fmt: skip
    assert first["more"] is False
    clock.advance(minutes=10)
    second = (await acme.get(f"/v1/statement?cursor={first['next']}")).json
    assert [(one["amount_minor"], one["settled"]) for one in second["lines"]] == [(2, True)]
    third = (await acme.get(f"/v1/statement?cursor={second['next']}")).json
    assert third == {"lines": [], "next": second["next"], "more": False}


async def test_a_statement_goes_on_to_the_newest_line_and_another_day_from_the_settled_one(
    acme: Caller, office: Connection, numbers: Numbers, clock: SettableClock
) -> None:
    async def read(cursor: str, *, rest: int = 0) -> tuple[list[tuple[int, bool]], str, int]:
        lines, asked, more = [], 0, True
        while more:
            page = (await acme.get(f"/v1/statement?limit=2{cursor}")).json
            lines += [(one["amount_minor"], one["settled"]) for one in page["lines"]]
            cursor, more, asked = f"&cursor={page['next']}", page["more"], asked + 1
            # A reader who takes its time: what was not settled on one page is not on the next.
            clock.advance(seconds=rest)
        return lines, cursor, asked

    async def pay(*amounts: int) -> None:
        for amount in amounts:
            await a_deposit(
                office, "acme", next_number=numbers.next, clock=clock, amount_minor=amount
            )
            clock.advance(seconds=1)

    await pay(1)
    clock.advance(minutes=10)
    await pay(2, 3, 4, 5, 6, 7)
    lines, end, asked = await read("", rest=50)
    assert lines == [(1, True), *((amount, False) for amount in range(2, 8))]
    assert asked == 4
    clock.advance(minutes=10)
    await pay(8)
    lines, end, _ = await read(end)
    assert lines == [*((amount, True) for amount in range(2, 8)), (8, False)]
    clock.advance(minutes=10)
    lines, end, _ = await read(end)
    assert lines == [(8, True)]
    assert (await read(end))[0] == []


async def test_a_statement_that_has_nothing_settled_is_read_to_its_end(
    acme: Caller, office: Connection, numbers: Numbers, clock: SettableClock
) -> None:
    for amount in (1, 2, 3):
        await a_deposit(office, "acme", next_number=numbers.next, clock=clock, amount_minor=amount)
    first = (await acme.get("/v1/statement?limit=2")).json
    assert (len(first["lines"]), first["more"]) == (2, True)
    second = (await acme.get(f"/v1/statement?limit=2&cursor={first['next']}")).json
    assert [one["amount_minor"] for one in second["lines"]] == [3]
    assert (second["next"], second["more"]) == (None, False)


async def test_a_cursor_that_goes_back_is_a_statement_s_and_goes_back(acme: Caller) -> None:
    for path, cursor in (
        ("/v1/deposits", pages.cursor("deposits", 5, back=3)),
        ("/v1/statement", pages.cursor(account.STATEMENT, 3, back=5)),
        ("/v1/statement", pages.cursor(account.STATEMENT, 2**64)),
    ):
        reply = await acme.get(f"{path}?cursor={cursor}")
        assert (reply.status, reply.json["code"]) == (400, "cursor_malformed")
    far = pages.cursor(account.STATEMENT, 2**63 - 1, back=2**63 - 1)
    assert (await acme.get(f"/v1/statement?cursor={far}")).status == 200


async def test_a_statement_of_a_time_holds_what_came_in_then(
    acme: Caller, office: Connection, numbers: Numbers, clock: SettableClock
) -> None:
    for amount in (1, 2, 3):
        await a_deposit(office, "acme", next_number=numbers.next, clock=clock, amount_minor=amount)
        clock.advance(hours=1)
    page = (
        await acme.get("/v1/statement?since=2026-11-22T09:00:00Z&until=2026-11-22T10:00:00Z")
    ).json
    assert [one["amount_minor"] for one in page["lines"]] == [2]


async def test_commission_shows_rates_and_earnings_of_the_month(
    acme: Caller, office: Connection, clock: SettableClock
) -> None:
    await commission.add(
        office, "acme", product="prepaid", effective_from=clock(),
        bands=[Band(rate_ppm=15_000), Band(from_minor=100_000, rate_ppm=10_000, fixed_minor=50)],
        who="Jane", now=clock(),
    )  # fmt: skip
    clock.advance(hours=1)
    reply = await acme.get("/v1/commission")
    assert reply.status == 200
    assert reply.json["earned_minor"] == 0
    # The month begins in the utility's own time zone.
    assert reply.json["since"] == "2026-11-01T00:00:00+03:00"
    (table,) = reply.json["rates"]
    assert [one["rate_ppm"] for one in table["bands"]] == [15_000, 10_000]
    backwards = await acme.get(
        "/v1/commission", params={"since": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"}
    )
    assert (backwards.status, backwards.json["code"]) == (400, "request_invalid")
    assert clock() - timedelta(hours=1) == datetime.fromisoformat(table["effective_from"])
