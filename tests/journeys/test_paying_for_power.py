"""A customer pays the pay bill and gets a token the meter accepts, whatever the operator does.

Judged from outside: by what the operator was told, what the phones show and what the meters
accept; the database is looked into only to compare.
"""

import asyncio
import random
from collections import Counter

import pytest

from tests.journeys.world import World
from vending.simulation import seed, storm
from vending.simulation.history import EventKind, acknowledged, wrongly_believed
from vending.simulation.sms_carrier import Mood, tenths_in, tokens_in
from vending.simulation.storm import Customer, Storm
from vending.simulation.town import Reading

NOBODYS = "1400000000" + seed.luhn_digit("1400000000")
"""A well-formed number that no meter has."""

SECONDS_MAX = 30
STORM_SECONDS_MAX = 240

READ_OUTCOME = """
select outcome.kind, outcome.reason, outcome.token, outcome.energy_wh, outcome.line_amounts
  from payment left join outcome using (payment_id)
 where payment.transaction_id = $1
"""
READ_POSTINGS = """
select posting.account, posting.amount_minor
  from posting join payment on payment.payment_id = posting.document_id
 where payment.transaction_id = $1
"""
SUM_TENTHS = """
select meter_number, sum(energy_wh) / 100 as tenths, count(*) as tokens
  from outcome where kind = 'token_issued' group by meter_number
"""
SUM_COLLECTED = "select sum(amount_minor) from posting where account like 'collection%'"
SUM_ALL = "select sum(amount_minor) from posting"
COUNT_TOKENS = "select count(*) from outcome where kind = 'token_issued'"
COUNT_PAYMENTS = "select count(*) from payment"


async def test_a_payment_becomes_a_token_that_the_meter_accepts(world: World) -> None:
    home = world.home()
    phone = home.phones[0]
    async with asyncio.timeout(SECONDS_MAX):
        sale = await world.operator.pay(home.meter_number, 500_00, msisdn=phone)
        assert sale.acknowledged
        (text,) = await world.town.carrier.texts(phone)
    (digits,) = tokens_in(text.body)
    entry = world.town.meter(home.meter_number)
    assert (entry.accepted, entry.refused) == (1, 0)
    assert entry.balance_tenths == tenths_in(text.body)
    (outcome,) = await world.rows(READ_OUTCOME, sale.payment.transaction_id)
    assert outcome["token"] == digits
    assert outcome["energy_wh"] == entry.balance_tenths * 100
    assert sum(outcome["line_amounts"]) == 500_00
    postings = await world.rows(READ_POSTINGS, sale.payment.transaction_id)
    assert sum(posting["amount_minor"] for posting in postings) == 0
    assert max(posting["amount_minor"] for posting in postings) == 500_00


async def test_every_kind_of_meter_on_every_tariff_is_served(world: World) -> None:
    kinds = [
        world.home(tariff, sgc=group.sgc)
        for tariff in ("KE-DC", "THREE-STEP", "UG-10.1")
        for group in seed.GROUPS
    ]
    async with asyncio.timeout(SECONDS_MAX):
        for home in kinds:
            assert (await world.operator.pay(home.meter_number, 20_000_00)).acknowledged
        for home in kinds:
            await world.town.carrier.texts(home.phones[0])
    assert [world.town.meter(home.meter_number).accepted for home in kinds] == [1] * 9


async def test_the_same_payment_five_times_at_once_is_one_token(world: World) -> None:
    home = world.home()
    async with asyncio.timeout(SECONDS_MAX):
        payment = world.operator.take(home.meter_number, 500_00)
        answers = await world.operator.at_once(payment, 5)
        await world.town.carrier.texts(home.phones[0])
        late = await world.operator.repeat(payment, 2)
        # A payment made afterwards is carried out afterwards: what a repeat could have caused is
        # there by the time its text is.
        await world.operator.pay(home.meter_number, 100_00)
        await world.town.carrier.texts(home.phones[0], count=2)
    assert {answer.text for answer in answers + late} == {answers[0].text}
    assert all(answer.ok for answer in answers + late)
    assert world.town.meter(home.meter_number).accepted == 2
    assert await world.value(COUNT_PAYMENTS) == 2
    assert await world.value(COUNT_TOKENS) == 2
    assert await world.value(SUM_COLLECTED) == 600_00


async def test_an_unknown_meter_is_refused_before_money_moves(world: World) -> None:
    sale = await world.operator.pay(NOBODYS, 500_00)
    assert sale.checked is not None
    assert sale.checked.value("ResultCode") == "C2B00012"
    assert sale.confirmed is None
    assert await world.value(COUNT_PAYMENTS) == 0


async def test_money_for_an_unknown_meter_is_due_back_and_the_payer_is_told(world: World) -> None:
    payer = "254708374149"
    payment = world.operator.take(NOBODYS, 500_00, msisdn=payer)
    async with asyncio.timeout(SECONDS_MAX):
        answer = await world.operator.confirm(payment)
        (text,) = await world.town.carrier.texts(f"+{payer}")
    assert answer.ok
    assert tokens_in(text.body) == []
    assert payment.transaction_id in text.body
    (outcome,) = await world.rows(READ_OUTCOME, payment.transaction_id)
    assert (outcome["kind"], outcome["reason"]) == ("refund_due", "meter_unknown")
    assert await world.value(SUM_COLLECTED) == 500_00
    assert await world.value(SUM_ALL) == 0


async def test_the_same_receipt_with_another_amount_changes_nothing(world: World) -> None:
    home = world.home()
    async with asyncio.timeout(SECONDS_MAX):
        payment = world.operator.take(home.meter_number, 500_00)
        await world.operator.confirm(payment)
        await world.town.carrier.texts(home.phones[0])
        assert (await world.operator.other_facts(payment, amount_minor=900_00)).ok
        await world.operator.pay(home.meter_number, 100_00)
        await world.town.carrier.texts(home.phones[0], count=2)
    assert await world.value(SUM_COLLECTED) == 600_00
    reason = await world.value(
        "select count(*) from quarantine where transaction_id = $1", payment.transaction_id
    )
    assert reason == 1


async def test_nobody_but_the_operator_is_believed(world: World) -> None:
    payment = world.operator.take(world.home().meter_number, 500_00)
    answers = [
        await world.operator.with_secret(payment, "somebody-guessed-this"),
        await world.operator.from_address(payment, "127.0.0.2"),
    ]
    assert [answer.status for answer in answers] == [404, 403]
    assert wrongly_believed(world.operator.history.events()) == []
    assert await world.value(COUNT_PAYMENTS) == 0


async def test_malformed_callbacks_buy_nothing_and_leave_the_server_well(world: World) -> None:
    home = world.home()
    answers = await world.operator.malformed(world.operator.take(home.meter_number, 500_00))
    assert {answer.kind for answer in answers.values()} == {EventKind.FAIL}
    async with asyncio.timeout(SECONDS_MAX):
        await world.operator.pay(home.meter_number, 500_00)
        await world.town.carrier.texts(home.phones[0])
    assert await world.value(COUNT_PAYMENTS) == 1


async def test_a_text_that_comes_twice_carries_the_same_digits(world: World) -> None:
    home = world.home()
    world.town.carrier.mood = Mood(manner="duplicates")
    async with asyncio.timeout(SECONDS_MAX):
        await world.operator.pay(home.meter_number, 500_00, msisdn=home.phones[0])
        first, second = await world.town.carrier.texts(home.phones[0], count=2)
    assert tokens_in(first.body) == tokens_in(second.body)
    view = world.town.meter(home.meter_number)
    assert (view.accepted, view.used, view.refused) == (1, 1, 0)


@pytest.mark.timeout(300)
async def test_ten_thousand_payments_told_twice_and_out_of_order_agree_to_the_tenth(
    world: World,
) -> None:
    """The operator's history, the meters and the ledger agree after a storm."""
    chance = random.Random(42)
    customers = [_customer(chance.choice(world.homes), chance) for _ in range(10_000)]
    tokens = _Counted(len(customers))
    world.town.watch(tokens.read)
    before = world.town.meters()
    async with asyncio.timeout(STORM_SECONDS_MAX):
        payments = await storm.run(world.operator, customers, Storm(), randomness=chance)
        await tokens.all_there.wait()
    told = world.operator.history.events()

    findings = storm.judge(
        payments, told, before=before, after=world.town.meters(),
        known=world.town.street.homes.__contains__,
    )  # fmt: skip
    assert [finding.text for finding in findings if not finding.holds] == []

    taken = acknowledged(told)
    assert len(taken) == len(customers)
    assert len(told) > 2 * len(customers) + 1_000, "the storm repeated nothing"
    assert world.town.street.accepted_twice() == 0
    sold = {row["meter_number"]: row["tenths"] for row in await world.rows(SUM_TENTHS)}
    shown = {view.meter_number: view.balance_tenths for view in world.town.meters()}
    assert shown == sold
    paid = Counter(payment.account for payment in payments)
    issued = {row["meter_number"]: row["tokens"] for row in await world.rows(SUM_TENTHS)}
    assert issued == dict(paid)
    assert await world.value(SUM_COLLECTED) == sum(one.amount_minor for one in payments)
    assert await world.value(SUM_ALL) == 0
    assert await world.broken_promises() == []


class _Counted:
    """Knows when meters have accepted so many tokens."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.all_there = asyncio.Event()

    def read(self, reading: Reading) -> None:
        self._left -= sum(entry.accepted for entry in reading.entries)
        if self._left <= 0:
            self.all_there.set()


def _customer(home: seed.Home, chance: random.Random) -> Customer:
    return Customer(
        account=home.meter_number,
        amount_minor=seed.amount_minor(home, chance),
        msisdn=home.phones[0],
    )
