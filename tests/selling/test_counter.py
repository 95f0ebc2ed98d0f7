"""The counter: one reference is one sale, whatever was lost on the way."""

import asyncio
from datetime import timedelta

import pytest

from tests.builders import a_meter_number
from tests.selling.shop import PATIENT, Shop, asked, tokens
from tests.vendors.market import PRICE
from vending.claims import PriceChanged
from vending.earlier import DuplicateSuspected
from vending.meters import directory
from vending.meters.meter import MeterBlocked, MeterNumberMalformed, MeterUnknown
from vending.pipeline import AHEAD_MIN
from vending.selling.disputes import Dispute
from vending.selling.sale import (
    MeterMissing,
    Pending,
    QuoteExpired,
    QuoteUnknown,
    ReferenceReused,
    ReprintsExhausted,
    Sale,
    SaleAmountMissing,
    SalePending,
    SaleUnknown,
    Withdrawn,
)
from vending.tariffs.quote import AmountTooLarge, AmountTooSmall
from vending.values import replace
from vending.vendors import accounts
from vending.vendors.barred import ReferenceBarred
from vending.vendors.floats import FloatInsufficient
from vending.vendors.vendor import VendorSuspended


async def test_a_sale_is_made_and_found_again_by_its_reference(shop: Shop) -> None:
    meter = await shop.meter()
    sale = await shop.sells(meter, reference="R1", point_of_sale="Kisumu-1/7")
    assert sale.outcome.token is not None
    assert (sale.outlet, sale.till, sale.copies) == ("Kisumu-1", "7", 0)
    assert not sale.repeated
    assert await shop.counter.find("acme", "R1") == sale
    assert await shop.market.balance() == 99 * PRICE


async def test_fifty_copies_of_one_reference_at_once_are_one_sale(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    sales = await asyncio.gather(*(shop.begin(wanted) for _ in range(50)))
    assert len(tokens(sales)) == 1
    assert sum(isinstance(one, Sale) and not one.repeated for one in sales) == 1
    assert await shop.market.balance() == 99 * PRICE


async def test_a_reference_that_comes_again_gets_the_same_digits(shop: Shop) -> None:
    wanted = asked(await shop.meter(), energy_wh=10_000)
    first = await shop.sold(wanted)
    shop.clock.advance(days=40)  # a month has begun: the same units would cost something else now
    again = await shop.sold(wanted)
    assert again == replace(first, repeated=True)
    assert await shop.market.tokens() == 1


async def test_a_reference_with_other_facts_is_refused(shop: Shop) -> None:
    meter, other = await shop.meter(), await shop.meter()
    await shop.sells(meter, reference="R1")
    for changed in (
        {"amount_minor": 50_001}, {"meter": other}, {"point_of_sale": "Kisumu-2"},
        {"energy_wh": 10_000},
    ):  # fmt: skip
        with pytest.raises(ReferenceReused):
            await shop.sold(asked(**{"meter": meter, "reference": "R1"} | changed))
    assert await shop.market.tokens() == 1


async def test_other_facts_are_refused_while_the_first_sale_is_being_made(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    async with shop.busy():
        first = shop.begin(wanted)
        await shop.waiting(2)
        with pytest.raises(ReferenceReused):
            await shop.sold(replace(wanted, amount_minor=1_000))
    assert isinstance(await first, Sale)


async def test_the_same_meter_typed_with_spaces_is_the_same_sale(shop: Shop) -> None:
    meter = await shop.meter()
    first = await shop.sells(meter, reference="R1")
    typed = f"{meter[:4]} {meter[4:]}"
    assert (await shop.sells(typed, reference="R1")).outcome == first.outcome


async def test_a_slow_sale_is_pending_and_goes_on(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    async with shop.busy():
        slow = await shop.counter.sell(wanted, wait_seconds=0)
        assert slow == Pending(reference=wanted.reference)
        assert await shop.counter.find("acme", wanted.reference) == slow
        with pytest.raises(SalePending):
            await shop.counter.reprint("acme", wanted.reference, who="till 1")
        again = shop.begin(wanted)
    sale = await again
    assert isinstance(sale, Sale)
    assert sale.repeated
    found = await shop.counter.find("acme", wanted.reference)
    assert isinstance(found, Sale)
    assert found.outcome == sale.outcome


async def test_whoever_stops_waiting_takes_nothing_back(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    async with shop.busy():
        gone = shop.begin(wanted)
        await shop.waiting(2)
        gone.cancel()
    assert (await shop.sold(wanted)).outcome.token is not None
    assert await shop.market.tokens() == 2  # the other is whoever kept the lane busy


async def test_two_vendors_may_use_one_reference(shop: Shop) -> None:
    meter = await shop.meter()
    ours = await shop.sells(meter, reference="R1")
    with pytest.raises(SaleUnknown):
        await shop.counter.find("bolt", "R1")
    theirs = await shop.sells(meter, reference="R1", vendor_id="bolt")
    assert ours.outcome.token != theirs.outcome.token
    found = await shop.counter.find("bolt", "R1")
    assert isinstance(found, Sale)
    assert found.outcome == theirs.outcome


async def test_a_refusal_is_remembered_and_the_reference_may_sell_later(shop: Shop) -> None:
    wanted = asked(await shop.meter(), vendor_id="bolt", amount_minor=11 * PRICE)
    with pytest.raises(FloatInsufficient):
        await shop.sold(wanted)
    with pytest.raises(FloatInsufficient):
        await shop.counter.find("bolt", wanted.reference)
    assert await shop.count("payment") == 0
    await shop.market.deposit(PRICE, "bolt")
    sale = await shop.sold(wanted)
    found = await shop.counter.find("bolt", wanted.reference)
    assert isinstance(found, Sale)
    assert found.outcome == sale.outcome


async def test_only_the_latest_refusals_are_remembered(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.selling.counter.REFUSALS_MAX", 1)
    for reference in ("R1", "R2"):
        with pytest.raises(MeterUnknown):
            await shop.sells(a_meter_number(98_765_432), reference=reference)
    with pytest.raises(SaleUnknown):
        await shop.counter.find("acme", "R1")
    with pytest.raises(MeterUnknown):
        await shop.counter.find("acme", "R2")


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ({"meter": "123"}, MeterNumberMalformed),
        ({"meter": None}, MeterMissing),
        ({"amount_minor": None}, SaleAmountMissing),
        ({"energy_wh": 100, "amount_minor": 100}, SaleAmountMissing),
        ({"amount_minor": 1}, AmountTooSmall),
        ({"amount_minor": 10**12}, AmountTooLarge),
        ({"energy_wh": 10**11}, AmountTooLarge),
        ({"quote_id": 7}, QuoteUnknown),
    ],
    ids=str,
)
async def test_what_cannot_be_sold_is_refused_and_nothing_is_kept(
    shop: Shop, facts: dict[str, object], refusal: type[Exception]
) -> None:
    meter = await shop.meter()
    with pytest.raises(refusal):
        await shop.sold(asked(**{"meter": meter} | facts))  # type: ignore[arg-type]
    assert await shop.count("payment") == 0
    assert await shop.market.balance() == 100 * PRICE


# Tombstones.


async def test_an_unknown_reference_is_barred_for_whatever_comes_later(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    with pytest.raises(SaleUnknown):
        await shop.counter.find("acme", wanted.reference)
    for _ in range(2):
        with pytest.raises(ReferenceBarred):
            await shop.counter.settle("acme", wanted.reference, wait_seconds=PATIENT)
    with pytest.raises(ReferenceBarred):
        await shop.sold(wanted)
    with pytest.raises(ReferenceBarred):
        await shop.counter.find("acme", wanted.reference)
    assert await shop.count("sale_barred") == 1
    assert await shop.count("payment") == 0
    theirs = await shop.sold(replace(wanted, vendor_id="bolt"))
    assert theirs.outcome.token is not None


async def test_a_reference_with_a_sale_is_not_barred(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    sale = await shop.sold(wanted)
    assert await shop.counter.settle("acme", wanted.reference, wait_seconds=PATIENT) == sale
    assert (await shop.sold(wanted)).outcome == sale.outcome
    assert await shop.count("sale_barred") == 0


async def test_a_sale_that_waits_before_the_bar_is_made(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    async with shop.busy():
        slow = shop.begin(wanted)
        await shop.waiting(2)
        settling = asyncio.create_task(
            shop.counter.settle("acme", wanted.reference, wait_seconds=PATIENT)
        )
        pending = await shop.counter.settle("acme", wanted.reference, wait_seconds=0)
        assert pending == Pending(reference=wanted.reference)
    sale = await slow
    assert isinstance(sale, Sale)
    settled = await settling
    assert isinstance(settled, Sale)
    assert settled.outcome == sale.outcome
    assert await shop.count("sale_barred") == 0


async def test_a_sale_that_comes_after_the_bar_in_one_batch_is_refused(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    async with shop.busy():
        settling = asyncio.create_task(
            shop.counter.settle("acme", wanted.reference, wait_seconds=PATIENT)
        )
        await shop.waiting(2)
        late = shop.begin(wanted)
        await shop.waiting(3)
    for one in (settling, late):
        with pytest.raises(ReferenceBarred):
            await one
    assert await shop.count("sale_barred") == 1


async def test_a_bar_behind_a_sale_that_was_refused_bars_after_all(shop: Shop) -> None:
    wanted = asked(await shop.meter(), vendor_id="bolt", amount_minor=11 * PRICE)
    async with shop.busy():
        refused = shop.begin(wanted)
        await shop.waiting(2)
        bar = shop.counter._bar(wanted.key, withdraw=False)
        barring = asyncio.create_task(bar)
        await shop.waiting(3)
    with pytest.raises(FloatInsufficient):
        await refused
    with pytest.raises(ReferenceBarred):
        await barring
    await shop.market.deposit(PRICE, "bolt")
    with pytest.raises(ReferenceBarred):
        await shop.sold(wanted)


async def test_a_batch_that_bars_is_known_to_the_next_one_before_it_is_written(shop: Shop) -> None:
    """Two batches in flight: the first bars a reference, the second brings its sale."""
    meter = await shop.meter()
    late = asked(meter)
    market = shop.market
    async with market.held():
        settling = asyncio.create_task(
            shop.counter.settle("acme", late.reference, wait_seconds=PATIENT)
        )
        await shop.waiting(1)
        # AHEAD_MIN behind it: they are prepared while the bar is being written, the sale first.
        sale = shop.begin(late)
        others = [shop.begin(asked(meter, confirmed=True)) for _ in range(AHEAD_MIN)]
        await shop.waiting(AHEAD_MIN + 2)
        async with asyncio.timeout(20):
            while not market.diary.batches:
                await asyncio.sleep(0.005)
        assert await shop.count("sale_barred") == 0
    with pytest.raises(ReferenceBarred):
        await sale
    with pytest.raises(ReferenceBarred):
        await settling
    assert len(tokens(await asyncio.gather(*others))) == AHEAD_MIN


async def test_a_bar_behind_a_sale_in_flight_finds_the_sale(shop: Shop) -> None:
    """Two batches in flight: the first makes a sale, the second would bar its reference."""
    meter = await shop.meter()
    wanted = asked(meter)
    market = shop.market
    async with market.held():
        sale = shop.begin(wanted)
        async with asyncio.timeout(20):
            while not market.diary.batches:
                await asyncio.sleep(0.005)
        bar = asyncio.create_task(shop.counter._bar(wanted.key, withdraw=True))
        others = [shop.begin(asked(meter, confirmed=True)) for _ in range(AHEAD_MIN)]
        async with asyncio.timeout(20):
            while len(market.diary.batches) < 2:
                await asyncio.sleep(0.005)
    found = await bar
    made = await sale
    assert isinstance(made, Sale)
    assert found.outcome == made.outcome
    assert await shop.count("sale_barred") == 0
    assert len(tokens(await asyncio.gather(*others))) == AHEAD_MIN


# Quotes.


async def test_a_quote_is_what_the_sale_costs(shop: Shop) -> None:
    meter = await shop.meter()
    quoted = await shop.counter.quote("acme", meter, amount_minor=50_000)
    assert sum(minor for _, minor in quoted.lines) == 50_000
    assert await shop.counter.quoted("acme", quoted.quote_id) == quoted
    shop.clock.advance(minutes=4)
    sale = await shop.sells(None, quote_id=quoted.quote_id)
    assert (sale.outcome.lines, sale.outcome.energy_wh) == (quoted.lines, quoted.energy_wh)
    assert sale.amount_minor == 50_000


async def test_another_vendors_quote_is_unknown(shop: Shop) -> None:
    quoted = await shop.counter.quote("acme", await shop.meter(), amount_minor=50_000)
    with pytest.raises(QuoteUnknown):
        await shop.counter.quoted("bolt", quoted.quote_id)
    with pytest.raises(QuoteUnknown):
        await shop.sells(None, quote_id=quoted.quote_id, vendor_id="bolt")
    with pytest.raises(QuoteUnknown):
        await shop.sells(await shop.meter(), quote_id=quoted.quote_id)


async def test_an_expired_quote_sells_nothing_and_one_that_sold_is_answered_for_ever(
    shop: Shop,
) -> None:
    meter = await shop.meter()
    one = await shop.counter.quote("acme", meter, amount_minor=50_000)
    two = await shop.counter.quote("acme", meter, amount_minor=60_000)
    wanted = asked(None, quote_id=one.quote_id)
    sale = await shop.sold(wanted)
    shop.clock.advance(minutes=5)
    with pytest.raises(QuoteExpired):
        await shop.sells(None, quote_id=two.quote_id)
    assert (await shop.sold(wanted)).outcome == sale.outcome
    shop.clock.advance(days=2)
    await shop.counter.quote("acme", meter, amount_minor=50_000)
    assert await shop.count("quote") == 1  # those long expired are gone
    assert (await shop.sold(wanted)).outcome == sale.outcome


async def test_a_quote_whose_price_has_changed_sells_nothing(shop: Shop) -> None:
    meter = await shop.meter()
    quoted = await shop.counter.quote("acme", meter, amount_minor=50_000)
    await _owes(shop, meter)
    with pytest.raises(PriceChanged):
        await shop.sells(meter, quote_id=quoted.quote_id)
    assert await shop.count("payment") == 0


async def test_a_meter_blocked_after_its_quote_buys_nothing(shop: Shop) -> None:
    meter = await shop.meter()
    quoted = await shop.counter.quote("acme", meter, amount_minor=50_000)
    await directory.block(shop.market.app, meter, now=shop.clock())
    with pytest.raises(MeterBlocked):
        await shop.sells(meter, quote_id=quoted.quote_id)
    with pytest.raises(MeterBlocked):
        await shop.counter.quote("acme", meter, amount_minor=50_000)


async def test_units_cost_the_smallest_sum_that_buys_them(shop: Shop) -> None:
    for indebted in (False, True):
        meter = await shop.meter()
        if indebted:
            await _owes(shop, meter)
        quoted = await shop.counter.quote("acme", meter, energy_wh=20_000)
        assert quoted.energy_wh >= 20_000
        less = await shop.counter.quote("acme", meter, amount_minor=quoted.amount_minor - 1)
        assert less.energy_wh < 20_000
        sale = await shop.sells(meter, energy_wh=20_000)
        assert sale.amount_minor == quoted.amount_minor
        assert sale.outcome.energy_wh == quoted.energy_wh


async def test_units_are_priced_anew_when_the_price_changes_on_the_way(shop: Shop) -> None:
    meter = await shop.meter()
    async with shop.busy():
        one = shop.begin(asked(meter, energy_wh=20_000))
        await shop.waiting(2)
        await _owes(shop, meter)
    sale = await one
    assert isinstance(sale, Sale)
    assert (sale.outcome.energy_wh or 0) >= 20_000
    assert "debt:meter" in dict(sale.outcome.lines)


# Duplicates.


async def test_the_same_again_within_half_a_minute_must_be_confirmed(shop: Shop) -> None:
    meter = await shop.meter()
    first = await shop.sells(meter, point_of_sale="Kisumu-1/1")
    shop.clock.advance(seconds=30)
    again = asked(meter, point_of_sale="Kisumu-1/2")
    with pytest.raises(DuplicateSuspected) as refused:
        await shop.sold(again)
    assert refused.value.facts == {"earlier": first.reference}
    confirmed = await shop.sold(replace(again, confirmed=True))
    assert confirmed.outcome.token != first.outcome.token
    shop.clock.advance(seconds=31)
    assert (await shop.sells(meter)).outcome.token is not None


@pytest.mark.parametrize(
    "other",
    [{"amount_minor": 50_100}, {"point_of_sale": "Kisumu-2"}, {"vendor_id": "bolt"}],
    ids=str,
)
async def test_what_differs_is_no_duplicate(shop: Shop, other: dict[str, object]) -> None:
    meter = await shop.meter()
    await shop.sells(meter)
    assert (await shop.sells(meter, **other)).outcome.token is not None
    assert (await shop.sells(await shop.meter())).outcome.token is not None


async def test_duplicates_in_one_batch_are_suspected(shop: Shop) -> None:
    meter = await shop.meter()
    async with shop.busy():
        both = [shop.begin(asked(meter)) for _ in range(2)]
        await shop.waiting(3)
    sale = await both[0]
    with pytest.raises(DuplicateSuspected):
        await both[1]
    assert isinstance(sale, Sale)


async def test_a_duplicate_of_a_sale_in_flight_is_suspected(shop: Shop) -> None:
    meter, other = await shop.meter(), await shop.meter()
    market = shop.market
    async with market.held():
        first = shop.begin(asked(meter))
        async with asyncio.timeout(20):
            while not market.diary.batches:
                await asyncio.sleep(0.005)
        again = shop.begin(asked(meter))
        others = [shop.begin(asked(other, confirmed=True)) for _ in range(AHEAD_MIN)]
        async with asyncio.timeout(20):
            while len(market.diary.batches) < 2:
                await asyncio.sleep(0.005)
    assert isinstance(await first, Sale)
    with pytest.raises(DuplicateSuspected):
        await again
    assert len(tokens(await asyncio.gather(*others))) == AHEAD_MIN


# Copies and reversals.


async def test_copies_have_the_same_digits_and_are_counted(shop: Shop) -> None:
    sale = await shop.sells(await shop.meter())
    reprint = shop.counter.reprint
    copies = await asyncio.gather(*(reprint("acme", sale.reference, who="till") for _ in range(5)))
    assert {one.outcome.token for one in copies} == {sale.outcome.token}
    assert (await reprint("acme", sale.reference, who="till 2")).copies == 6
    with pytest.raises(SaleUnknown):
        await reprint("bolt", sale.reference, who="till")
    who = await shop.market.app.fetch("select asked_by from reprint order by copy")
    assert [row[0] for row in who] == ["till"] * 5 + ["till 2"]


async def test_a_receipt_has_ten_copies_however_many_are_asked_for_at_once(shop: Shop) -> None:
    sale = await shop.sells(await shop.meter())
    for copy in range(1, 8):
        again = await shop.counter.reprint("acme", sale.reference, who="till")
        assert again.copies == copy
    asked_at_once = [
        shop.counter.reprint("acme", sale.reference, who=f"till {till}") for till in range(4)
    ]
    done = await asyncio.gather(*asked_at_once, return_exceptions=True)
    assert sum(isinstance(one, Sale) for one in done) == 3
    (refused,) = [one for one in done if not isinstance(one, Sale)]
    assert isinstance(refused, ReprintsExhausted)
    assert await shop.count("reprint") == 10
    found = await shop.counter.find("acme", sale.reference)
    assert isinstance(found, Sale)
    assert found.outcome == sale.outcome


async def test_a_sale_that_is_not_made_yet_is_withdrawn(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    async with shop.busy():
        waiting = shop.begin(wanted)
        await shop.waiting(2)
        reversing = asyncio.create_task(
            shop.counter.reverse(
                "acme", wanted.reference, reason="typo", who="till", wait_seconds=PATIENT
            )
        )
        await shop.waiting(3)
    assert await reversing == Withdrawn(reference=wanted.reference)
    with pytest.raises(ReferenceBarred):
        await waiting
    with pytest.raises(ReferenceBarred):
        await shop.sold(wanted)
    assert await shop.market.balance() == 100 * PRICE


async def test_a_sale_whose_token_is_out_becomes_one_dispute(shop: Shop) -> None:
    sale = await shop.sells(await shop.meter())
    reverse = shop.counter.reverse
    first = await reverse("acme", sale.reference, reason="typo", who="till", wait_seconds=PATIENT)
    again = await reverse("acme", sale.reference, reason="more", who="boss", wait_seconds=PATIENT)
    assert isinstance(first, Dispute)
    assert first == again
    assert (first.reference, first.reason, first.opened_by) == (sale.reference, "typo", "till")
    assert await shop.market.balance() == 99 * PRICE


async def test_a_sale_that_was_let_in_before_the_vendor_was_suspended_is_not_made(
    shop: Shop,
) -> None:
    wanted, market = asked(await shop.meter()), shop.market
    async with shop.busy():
        sale = shop.begin(wanted)
        await shop.waiting(2)
        await accounts.suspend(market.app, "acme", note="", who="Jane", now=shop.clock())
    with pytest.raises(VendorSuspended):
        await sale
    assert await market.balance() == 100 * PRICE
    await accounts.resume(market.app, "acme", note="", who="Jane", now=shop.clock())
    assert (await shop.sold(wanted)).reference == wanted.reference


# Look-ups.


async def test_a_look_up_tells_what_a_vendor_must_know(shop: Shop) -> None:
    meter = await shop.meter()
    seen = await shop.counter.look_up(meter)
    assert (seen.meter_number, seen.why_not, seen.arrears_minor) == (meter, None, 0)
    assert seen.minimum_minor is not None
    assert seen.maximum_minor is not None
    least = await shop.counter.quote("acme", meter, amount_minor=seen.minimum_minor)
    assert least.energy_wh > 0
    with pytest.raises(AmountTooSmall):
        await shop.counter.quote("acme", meter, amount_minor=seen.minimum_minor - 1)
    await shop.counter.quote("acme", meter, amount_minor=seen.maximum_minor)
    with pytest.raises(AmountTooLarge):
        await shop.counter.quote("acme", meter, amount_minor=seen.maximum_minor + 1)
    assert seen.kwh_minor is not None
    more = await shop.counter.quote("acme", meter, energy_wh=10_000)
    most = await shop.counter.quote("acme", meter, energy_wh=11_000)
    assert abs(most.amount_minor - more.amount_minor - seen.kwh_minor) <= 1


async def test_a_look_up_tells_why_a_meter_cannot_buy_and_what_it_owes(shop: Shop) -> None:
    meter = await shop.meter()
    await _owes(shop, meter)
    await directory.block(shop.market.app, meter, now=shop.clock())
    seen = await shop.counter.look_up(meter)
    assert (seen.why_not, seen.arrears_minor) == ("meter_blocked", 90_000)
    with pytest.raises(MeterUnknown):
        await shop.counter.look_up(a_meter_number(98_765_433))


async def test_a_look_up_masks_the_name_and_tells_the_free_units_due(shop: Shop) -> None:
    meter = await shop.meter()
    before = await shop.counter.look_up(meter)
    assert (before.name, before.free_wh) == (None, None)
    await shop.market.yard.db.execute(
        "update meter set customer_name = 'Jane  Wanjiku', free_month_wh = 50000"
    )
    seen = await shop.counter.look_up(meter)
    assert (seen.name, seen.free_wh) == ("J*** W******", 50_000)


async def test_a_meter_without_a_tariff_is_seen_without_prices(shop: Shop) -> None:
    meter = await shop.meter()
    await shop.market.yard.db.execute("update meter set tariff = 'XX'")
    seen = await shop.counter.look_up(meter)
    assert (seen.why_not, seen.minimum_minor, seen.kwh_minor) == ("tariff_unknown", None, None)


async def _owes(shop: Shop, meter: str) -> None:
    """Let a meter owe KSh 900, of which each purchase pays a tenth of its sum."""
    await shop.market.yard.db.execute(
        "insert into debt (meter_number, debt_id, kind, priority, mode, rate_ppm, amount_minor,"
        " balance_minor, reason, opened_at) values ($1, 1, 'meter', 1, 'percent', 100000, 0,"
        " 90000, '', $2)",
        meter, shop.clock() - timedelta(days=9),
    )  # fmt: skip
    await shop.market.yard.db.execute(
        "update meter_state set open_debts = 1 where meter_number = $1", meter
    )
