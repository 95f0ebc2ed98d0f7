"""Selling with the client: whatever gets lost on the way, one reference is one token."""

import asyncio
import random
from typing import Any

import pytest

from tests.client.between import Between, Canned, Loss
from tests.client.conftest import Connect
from tests.conftest import SettableClock
from tests.vendors.market import PRICE, Market
from vending.client import (
    ApiKey,
    AsyncClient,
    Busy,
    MoneyState,
    OutcomeUnknown,
    Patience,
    Refused,
    Retry,
    Unreachable,
)
from vending.vendors.credentials import Issued

SHORT = Patience(total=0.5, rest=0.01, rest_most=0.02)


async def test_a_sale_is_a_token_and_a_receipt(acme: Any, market: Market, meter: str) -> None:
    sale = await acme.sell("S1", meter=meter, amount_minor=PRICE, outlet="Kisumu-1", till="2")
    assert len(sale.token) == 20
    assert sum(line.amount_minor for line in sale.lines) == PRICE
    assert (sale.meter, sale.outlet, sale.till) == (meter, "Kisumu-1", "2")
    assert sale.money_state is MoneyState.TAKEN
    assert sale.token not in repr(sale)
    again = await acme.sell("S1", meter=meter, amount_minor=PRICE, outlet="Kisumu-1", till="2")
    assert again == sale
    assert await acme.find("S1") == sale
    assert await market.balance() == 99 * PRICE


async def test_a_quote_is_sold_at_its_price(acme: Any, meter: str) -> None:
    quote = await acme.quote(meter, energy_wh=10_000)
    sale = await acme.sell("S1", quote=quote.quote)
    assert (sale.amount_minor, sale.lines) == (quote.amount_minor, quote.lines)


@pytest.mark.parametrize("lost", [Loss.ANSWER, Loss.REQUEST])
async def test_a_lost_connection_is_settled_by_asking_for_the_truth(
    acme: Any, market: Market, path: Between, meter: str, lost: Loss
) -> None:
    path.trouble.extend([lost, lost])
    sale = await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert path.seen[:2] == [("POST", "/v1/sales"), ("GET", "/v1/sales/S1")]
    assert await market.tokens() == 1
    assert await acme.find("S1") == sale


async def test_a_meter_typed_with_spaces_is_settled_by_the_server_itself(
    acme: Any, market: Market, path: Between, meter: str
) -> None:
    path.trouble.append(Loss.ANSWER)
    sale = await acme.sell("S1", meter=f"{meter[:5]} {meter[5:]}", amount_minor=PRICE)
    assert [method for method, _ in path.seen] == ["POST", "GET", "POST"]
    assert sale.meter == meter
    assert await market.tokens() == 1


async def test_a_token_of_another_sale_is_never_handed_out(
    acme: Any, market: Market, path: Between, meter: str
) -> None:
    other = (await market.yard.meter()).meter_number
    await acme.sell("S1", meter=other, amount_minor=PRICE)
    path.trouble.append(Loss.REQUEST)
    with pytest.raises(Refused) as refused:
        await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert refused.value.code == "reference_reused"
    assert await market.tokens() == 1


async def test_a_refusal_says_why_and_is_not_tried_again(
    acme: Any, market: Market, path: Between, meter: str
) -> None:
    with pytest.raises(Refused) as refused:
        await acme.sell("S1", meter=meter, amount_minor=101 * PRICE)
    fault = refused.value
    assert (fault.code, fault.retry) == ("float_insufficient", Retry.NEVER)
    assert (fault.money_state, fault.status) == (MoneyState.NOT_TAKEN, 422)
    assert fault.trace_id in str(fault)
    assert fault.trace_id
    assert "Pay a deposit in" in fault.advice
    assert fault.facts == {"vendor_id": "acme"}
    assert len(path.seen) == 1
    await market.deposit(100 * PRICE)
    assert await acme.sell("S1", meter=meter, amount_minor=101 * PRICE)


async def test_a_refusal_has_its_facts_by_name(acme: Any, meter: str) -> None:
    with pytest.raises(Refused) as refused:
        await acme.sell("S1", meter=meter, amount_minor=1)
    fault = refused.value
    assert fault.code == "amount_too_small"
    assert fault.detail == f"minimum_minor={fault.facts['minimum_minor']}"
    assert fault.facts["minimum_minor"] > 1


PROBLEM = (
    '{"type":"urn:stima:error:overloaded","title":"Too much to do.","status":503,"detail":"",'
    '"instance":"/v1/sales","code":"overloaded","retry":"after","money_state":"not_taken",'
    '"trace_id":"t1","retry_after_seconds":1}'
)


async def test_a_busy_server_is_asked_again_no_sooner_than_it_said(
    connect: Connect, path: Between, acme_key: Issued, meter: str
) -> None:
    rested: list[float] = []
    client = connect(
        path.url, ApiKey(acme_key.secret), rest=connect.rests(rested), chance=lambda: 0.5
    )
    path.trouble.extend([Canned(status=503, body=PROBLEM, retry_after="1")] * 2)
    assert await client.sell("S1", meter=meter, amount_minor=PRICE)
    assert [method for method, _ in path.seen] == ["POST"] * 3
    assert rested == [1.125, 1.125]


async def test_patience_that_ends_while_the_server_is_busy_has_sold_nothing(
    acme: Any, path: Between, meter: str
) -> None:
    path.trouble.extend([Canned(status=503, body=PROBLEM)] * 50)
    with pytest.raises(Busy) as busy:
        await acme.sell("S1", meter=meter, amount_minor=PRICE, patience=SHORT)
    assert (busy.value.code, busy.value.reference) == ("overloaded", "S1")
    assert busy.value.money_state is MoneyState.NOT_TAKEN


async def test_patience_that_ends_in_doubt_says_so_and_the_reference_tells(
    acme: Any, market: Market, path: Between, meter: str
) -> None:
    path.trouble.extend([Loss.ANSWER, *[Canned(status=503, body=PROBLEM)] * 50])
    with pytest.raises(OutcomeUnknown) as unknown:
        await acme.sell("S1", meter=meter, amount_minor=PRICE, patience=SHORT)
    assert (unknown.value.reference, unknown.value.money_state) == ("S1", MoneyState.HELD)
    path.trouble.clear()
    assert (await acme.settle("S1")).reference == "S1"
    assert await market.tokens() == 1


async def test_what_answers_in_between_is_believed_in_nothing(
    acme: Any, market: Market, path: Between, meter: str
) -> None:
    path.trouble.extend(
        [Canned(status=502, body="<html>"), Canned(status=200, body="{}"), Loss.ANSWER]
    )
    assert await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert await market.tokens() == 1


async def test_json_of_something_in_between_is_no_refusal(
    acme: Any, path: Between, market: Market, meter: str
) -> None:
    # What the API refuses with says whether to try again; a gateway's own errors do not.
    path.trouble.append(Canned(status=502, body='{"code":"bad_gateway","message":"no answer"}'))
    sale = await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert len(sale.token) == 20
    assert await market.tokens() == 1


async def test_a_page_that_is_not_ours_leaves_the_doubt(
    acme: Any, path: Between, market: Market, meter: str
) -> None:
    path.trouble.extend([Loss.ANSWER, Canned(status=404, body="<html>no such site</html>")])
    with pytest.raises(OutcomeUnknown) as unknown:
        await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert (unknown.value.reference, unknown.value.money_state) == ("S1", MoneyState.HELD)
    assert await market.tokens() == 1


async def test_a_busy_server_does_not_take_the_doubt_from_a_lost_answer(
    acme: Any, connect: Connect, path: Between, acme_key: Issued, meter: str
) -> None:
    await acme.sell("S1", meter=meter, amount_minor=PRICE)
    hasty = connect(path.url, ApiKey(acme_key.secret), patience=SHORT)
    path.trouble.extend([Loss.ANSWER, *[Canned(status=503, body=PROBLEM)] * 50])
    with pytest.raises(OutcomeUnknown) as unknown:
        await hasty.reverse("S1", reason="the customer went away")
    assert unknown.value.code == "overloaded"


async def test_a_key_refused_in_doubt_leaves_the_doubt(
    acme: Any, path: Between, meter: str
) -> None:
    refusal = PROBLEM.replace("overloaded", "credential_revoked").replace("after", "never", 1)
    path.trouble.extend([Loss.ANSWER, Canned(status=401, body=refusal)])
    with pytest.raises(OutcomeUnknown) as unknown:
        await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert unknown.value.code == "credential_revoked"


async def test_a_key_refused_after_a_lost_reversal_leaves_the_doubt(
    acme: Any, path: Between, meter: str
) -> None:
    await acme.sell("S1", meter=meter, amount_minor=PRICE)
    refusal = PROBLEM.replace("overloaded", "credential_revoked").replace("after", "never", 1)
    path.trouble.extend([Loss.ANSWER, Canned(status=401, body=refusal)])
    with pytest.raises(OutcomeUnknown) as unknown:
        await acme.reverse("S1", reason="the customer went away")
    assert unknown.value.code == "credential_revoked"


async def test_a_settled_reference_that_was_never_sold_never_will_be(acme: Any, meter: str) -> None:
    with pytest.raises(Refused) as unknown:
        await acme.find("S1")
    assert unknown.value.code == "sale_unknown"
    for _ in range(2):
        with pytest.raises(Refused) as barred:
            await acme.settle("S1")
        assert barred.value.code == "reference_barred"
    with pytest.raises(Refused) as refused:
        await acme.sell("S1", meter=meter, amount_minor=PRICE)
    assert refused.value.code == "reference_barred"


async def test_nobody_there_is_not_a_doubt(connect: Connect, acme_key: Issued) -> None:
    gone = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    client = connect(f"http://127.0.0.1:{port}", ApiKey(acme_key.secret), patience=SHORT)
    with pytest.raises(Unreachable) as away:
        await client.sell("S1", meter="14123456783", amount_minor=PRICE)
    assert away.value.money_state is MoneyState.NOT_TAKEN


async def test_a_server_that_never_answers_leaves_a_doubt(
    connect: Connect, acme_key: Issued
) -> None:
    held: list[asyncio.StreamWriter] = []

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    mute = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    brief = Patience(total=0.3, answer=0.1, held=0, rest=0.01)
    client = connect(f"http://127.0.0.1:{port}", ApiKey(acme_key.secret), patience=brief)
    with pytest.raises(OutcomeUnknown) as unknown:
        await client.sell("S1", meter="14123456783", amount_minor=PRICE)
    assert (unknown.value.code, unknown.value.reference) == ("answer_lost", "S1")
    for writer in held:
        writer.close()
    mute.close()
    await mute.wait_closed()


async def test_twenty_sales_with_callers_who_hang_up_are_twenty_tokens(
    path: Between, acme_key: Issued, market: Market, clock: SettableClock
) -> None:
    chance = random.Random(20261122)
    meters = [(await market.yard.meter()).meter_number for _ in range(20)]
    losses = [Loss.ANSWER, Loss.REQUEST, None, None]
    path.trouble.extend(chance.choice(losses) for _ in range(60))
    quick = Patience(total=30, rest=0.01, rest_most=0.05)
    async with AsyncClient(path.url, ApiKey(acme_key.secret), patience=quick) as acme:

        async def sells(place: int) -> str:
            while True:
                selling = asyncio.create_task(
                    acme.sell(f"S{place}", meter=meters[place], amount_minor=PRICE)
                )
                hangs_up = chance.random() < 0.5
                done, _ = await asyncio.wait(
                    {selling}, timeout=chance.random() / 20 if hangs_up else None
                )
                if done:
                    return (await selling).token
                selling.cancel()
                await asyncio.wait({selling})

        tokens = await asyncio.gather(*(sells(place) for place in range(20)))
        assert len(set(tokens)) == 20
        assert [(await acme.find(f"S{place}")).token for place in range(20)] == tokens
        lines = [line async for line in acme.statement()]
    assert sum(line.kind == "sale" for line in lines) == 20
    assert await market.tokens() == 20
    assert await market.balance() == 80 * PRICE
