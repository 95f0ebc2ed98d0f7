"""What tills send in a load test, and whose key is on it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vending.loadtest import callbacks, customers, secrets_file
from vending.loadtest.callbacks import Payment
from vending.loadtest.generator import Shot
from vending.loadtest.scenarios import named
from vending.loadtest.script import CHECK, CONFIRM, REPEAT, Script
from vending.loadtest.secrets_file import SecretsUnreadable
from vending.loadtest.tills import OUTLETS, Tills

KEYS = ("stima_live_aaaa_x", "stima_live_bbbb_y")
TOWN = customers.of_the_demo()


def tills(*keys: str) -> Tills:
    prefix = callbacks.prefix_at(datetime(2026, 11, 22, 8, tzinfo=UTC))
    return Tills(host="127.0.0.1:8080", keys=keys or KEYS, prefix=prefix)


def payment(serial: int, *, made: float = 0.0, amount_minor: int = 500_00) -> Payment:
    return Payment(
        serial=serial, account="14834252745", payer="", amount_minor=amount_minor, made=made
    )


def body(request: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(request.partition(b"\r\n\r\n")[2])
    return found


def test_a_sale_is_what_the_vendors_api_takes() -> None:
    request = tills().request("confirm", payment(7))
    assert request.startswith(b"POST /v1/sales HTTP/1.1\r\n")
    sold = body(request)
    assert sold.pop("reference") == tills().reference(payment(7))
    assert sold == {"meter": "14834252745", "amount_minor": 500_00, "outlet": "LT-7"}


def test_a_look_up_has_no_body() -> None:
    request = tills().request("check", payment(0))
    assert request.startswith(b"GET /v1/meters/14834252745 HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n")


def test_vendors_take_turns() -> None:
    one = tills()
    for serial in range(4):
        request = one.request("confirm", payment(serial))
        assert f"Authorization: Bearer {KEYS[serial % 2]}\r\n".encode() in request


def test_a_sale_like_one_a_moment_ago_is_confirmed_and_each_try_is_the_same() -> None:
    one = tills()
    first = one.request("confirm", payment(1))
    alike = one.request("confirm", payment(1 + OUTLETS, made=20.0))
    assert "confirm" not in body(first)
    assert body(alike)["confirm"] is True
    assert one.request("confirm", payment(1)) == first
    assert "confirm" not in body(one.request("confirm", payment(1 + 2 * OUTLETS, made=70.0)))


def test_a_till_sends_a_late_sale_again_as_it_was() -> None:
    script = Script(
        named("vendor-day"), TOWN, seconds=10, scale=1.0, seed=3, payer_of=callbacks.shown
    )
    shots: dict[str, list[Shot]] = {}
    for shot in script.shots(tills().request, died=frozenset()):
        shots.setdefault(shot.name, []).append(shot)
    again = [one for one in shots.values() if one[-1].kind == REPEAT]
    assert again
    for one in shots.values():
        assert [shot.kind for shot in one[:2]] == [CHECK, CONFIRM]
        assert len({shot.request for shot in one[1:]}) == 1


def test_keys_are_in_no_repr() -> None:
    assert "stima_live" not in repr(tills())


def test_a_file_of_secrets_is_read_as_shells_write_it(tmp_path: Path) -> None:
    file = tmp_path / "load.env"
    file.write_text("# keys\n\nA=one two\nexport B='three'\nC=\"a=b\"\n")
    assert secrets_file.read(file) == {"A": "one two", "B": "three", "C": "a=b"}


@pytest.mark.parametrize("text", ["hush", "1A=hush", "=hush"])
def test_a_file_that_holds_none_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "load.env"
    file.write_text(f"A=b\n{text}\n")
    with pytest.raises(SecretsUnreadable, match="line=2") as refused:
        secrets_file.read(file)
    assert "hush" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretsUnreadable, match=r"none\.env"):
        secrets_file.read(tmp_path / "none.env")
