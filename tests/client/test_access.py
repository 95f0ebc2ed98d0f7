"""Who the client says it is: keys, tokens that run out, and secrets that stay out of sight."""

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from tests.api.conftest import Serve
from tests.api.v1.conftest import settings
from tests.client.between import Between, Canned, Loss
from tests.client.conftest import Connect
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.market import PRICE, Market
from vending.client import ApiKey, Busy, Client, ClientSecret, Patience, Refused
from vending.postgres.pool import Connection
from vending.vendors import credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals

FETCH = ("POST", "/oauth/token")


@pytest.fixture
async def machine(
    office: Connection, seals: Seals, clock: SettableClock, acme_key: Issued
) -> ClientSecret:
    """Give acme an OAuth client."""
    assert acme_key.credential.vendor_id == "acme"
    issued = await credentials.add_client(
        office, "acme", Grant(), seals=seals, who="Jane", now=clock()
    )
    return ClientSecret(issued.credential.name, issued.secret)


@pytest.fixture
async def tester(
    office: Connection, seals: Seals, clock: SettableClock, acme_key: Issued
) -> ApiKey:
    """Give acme's developer a key for the sandbox."""
    assert acme_key.credential.vendor_id == "acme"
    issued = await credentials.issue_key(
        office, "acme", Grant(sandbox=True), seals=seals, who="Jane", now=clock()
    )
    return ApiKey(issued.secret)


@pytest.fixture
async def tokens(machine: ClientSecret, connect: Connect, path: Between) -> Any:
    return connect(path.url, machine)


async def test_a_token_is_fetched_once_however_many_sell(
    tokens: Any, path: Between, market: Market
) -> None:
    meters = [(await market.yard.meter()).meter_number for _ in range(5)]
    await asyncio.gather(
        *(tokens.sell(f"S{n}", meter=one, amount_minor=PRICE) for n, one in enumerate(meters))
    )
    assert Counter(path.seen)[FETCH] == 1


async def test_a_token_that_has_run_out_is_replaced_in_mid_sale(
    tokens: Any, path: Between, market: Market, meter: str, clock: SettableClock
) -> None:
    await tokens.read_float()
    clock.advance(hours=2)
    assert await tokens.sell("S1", meter=meter, amount_minor=PRICE)
    assert path.seen[2:] == [("POST", "/v1/sales"), FETCH, ("POST", "/v1/sales")]
    assert await market.tokens() == 1


async def test_a_token_is_replaced_before_it_runs_out(
    machine: ClientSecret, connect: Connect, path: Between
) -> None:
    at = [0.0]
    client = connect(path.url, machine, seconds=lambda: at[0])
    for at[0] in (0.0, 700.0, 800.0):
        await client.read_float()
    assert Counter(path.seen)[FETCH] == 2


@pytest.mark.parametrize(
    "trouble",
    [
        Loss.REQUEST,
        Loss.ANSWER,
        Canned(status=503, body='{"error":"temporarily_unavailable","code":"register_stale"}'),
        Canned(status=502, body="<html>"),
    ],
)
async def test_a_token_that_does_not_come_is_fetched_again(
    tokens: Any, path: Between, trouble: Any
) -> None:
    path.trouble.append(trouble)
    assert (await tokens.read_float()).currency == "KES"
    assert Counter(path.seen)[FETCH] == 2


async def test_a_wrong_secret_is_refused_at_once(
    machine: ClientSecret, connect: Connect, path: Between
) -> None:
    wrong = ClientSecret(machine.client_id, "a guess")
    client = connect(path.url, wrong)
    with pytest.raises(Refused) as refused:
        await client.sell("S1", meter="14123456783", amount_minor=PRICE)
    assert (refused.value.code, refused.value.status) == ("credential_refused", 401)
    assert path.seen == [FETCH]


async def test_a_scope_that_a_client_lacks_is_refused_by_its_name(
    machine: ClientSecret, path: Between, connect: Connect
) -> None:
    narrow = ClientSecret(machine.client_id, machine._secret, scopes=("account",))
    client = connect(path.url, narrow)
    assert await client.read_float()
    with pytest.raises(Refused) as refused:
        await client.look_up("14123456783")
    assert refused.value.code == "scope_missing"


async def test_a_quota_is_waited_for_as_long_as_the_server_says(
    serve: Serve, database: Database, market: Market, acme_key: Issued, connect: Connect
) -> None:
    rested: list[float] = []
    async with serve(
        sequencer=market.lane.sequencer, **settings(database, burst_quota=1)
    ) as served:
        # Rests pass at once, so the quota is used up until patience ends: after some readings
        # of a clock that gains a second with each.
        client = connect(
            served.url, ApiKey(acme_key.secret), rest=connect.rests(rested),
            seconds=itertools.count().__next__, patience=Patience(total=100),
        )  # fmt: skip
        await client.read_float()
        with pytest.raises(Busy) as busy:
            await client.read_float()
    assert (busy.value.code, busy.value.status) == ("quota_exceeded", 429)
    assert rested
    assert min(rested) >= 1


async def test_a_test_key_sells_in_the_sandbox_by_the_same_calls(
    tester: ApiKey, path: Between, connect: Connect, market: Market
) -> None:
    developer = connect(path.url, tester)
    path.trouble.append(Loss.ANSWER)
    sale = await developer.sell("S1", meter="01000000008", amount_minor=PRICE)
    assert sale.sandbox
    with pytest.raises(Refused) as blocked:
        await developer.sell("S2", meter="01000000016", amount_minor=PRICE)
    assert blocked.value.code == "meter_blocked"
    assert await market.tokens() == 0


def test_secrets_are_in_no_repr() -> None:
    key, secret = "stima_live_aaaa_bbbb", "s3cret-of-acme"
    url = "http://127.0.0.1:1"
    with Client(url, ApiKey(key)) as one, Client(url, ClientSecret("acme.x", secret)) as two:
        shown = f"{one!r} {two!r} {one._terms!r} {two._terms!r} {one._purse!r}"
    assert key not in shown
    assert secret not in shown
    assert "acme.x" in shown


@pytest.mark.parametrize(
    "url",
    ["http://vend.example.org", "ftp://vend.example.org", "vend.example.org", "https://a:b@c",
     "https://c?d=e"],
)  # fmt: skip
def test_a_key_is_not_sent_over_plain_http_nor_to_what_is_no_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|https"):
        Client(url, ApiKey("stima_live_a_b"))
    Client("http://vend.example.org", ApiKey("stima_live_a_b"), plain=True).close()
