"""A sale that changes its meter's key has the codes above its token, however it is asked for."""

from tests.api.v1.conftest import Caller
from tests.api.v1.test_sales import a_sale, market, meter, sell, vendors_api  # noqa: F401
from tests.conftest import SettableClock
from tests.orders import takes, to_index
from vending.postgres.pool import Connection


async def test_codes_stand_above_the_token_of_the_sale_its_copy_and_every_read_back(
    acme: Caller,
    db: Connection,
    meter: str,  # noqa: F811
    clock: SettableClock,
) -> None:
    await to_index(db, meter, 2, now=clock())
    body = a_sale(meter)
    made = await sell(acme, body)
    assert made.status == 201, made.body
    codes, token = made.json["key_change_codes"], made.json["token"]
    assert takes(meter, *codes, token) == ["1stKCT", "Accept", "Accept"]
    places = [made.body.index(digits.encode()) for digits in (*codes, token)]
    assert places == sorted(places)
    clock.advance(days=400)
    again = await sell(acme, body)
    assert (again.status, again.json) == (200, made.json)
    assert (await acme.get(made.headers["Location"])).json == made.json
    copy = await acme.post(f"{made.headers['Location']}/reprint")
    assert (copy.json["key_change_codes"], copy.json["token"]) == (codes, token)
    later = await sell(acme, a_sale(meter))
    assert later.json["key_change_codes"] == []
