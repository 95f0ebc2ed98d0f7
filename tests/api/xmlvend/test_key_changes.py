"""Key changes over XMLVend: codes stand in the receipt as tills expect them, and stay the same."""

from tests.api.xmlvend.tills import Till, a_number, of_meter
from tests.conftest import SettableClock
from tests.orders import takes, to_index
from vending.postgres.pool import Connection

SECTIONS = ("set1stMeterKey", "set2ndMeterKey")


async def test_a_sale_that_changes_the_key_has_the_codes_in_its_receipt_and_every_advice(
    acme: Till, db: Connection, meter: str, clock: SettableClock
) -> None:
    await to_index(db, meter, 2, now=clock())
    number = a_number()
    made = await acme.sell(meter, number=number)
    assert made.status == 200, made.body
    digits = [one.text or "" for one in made.all("stsCipher")]
    assert sorted(takes(meter, *_in_order(digits))) == ["1stKCT", "Accept", "Accept"]
    change = made.one("kcTokenIssue")
    assert [len(list(change.iter())) > 0 for _ in SECTIONS] == [True, True]
    key = made.one("kctData").attrib
    assert (key["fromTI"], key["toTI"]) == ("01", "02")
    clock.advance(days=40)
    again = await acme.sell(meter, number=number)
    assert [one.text for one in again.all("stsCipher")] == digits
    advised = await acme.advise("LastResp", number)
    assert [one.text for one in advised.all("stsCipher")] == digits
    reprinted = await acme.ask("reprintReq", of_meter(meter))
    assert [one.text for one in reprinted.all("stsCipher")] == digits
    later = await acme.sell(meter)
    assert len(later.all("stsCipher")) == 1


def _in_order(digits: list[str]) -> list[str]:
    """Return a receipt's codes and then its token, wherever the schema wants the token to stand."""
    token, *codes = digits
    return [*codes, token]
