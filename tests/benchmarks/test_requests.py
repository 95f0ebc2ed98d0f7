"""Requests of a load are whole, are the product's own dialect, and never repeat an id."""

import json
from datetime import UTC, datetime, timedelta

from benchmarks.committed import bounds, number_of
from benchmarks.requests import Order, prefix_at, requests, transaction_id
from vending.operators import mpesa

AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
METERS = ["14123456780", "3140123456788"]


def an_order(kind: str) -> Order:
    return Order(kind=kind, path="/here", prefix="ABCDE", meters=METERS, seed=3)


def split(request: bytes) -> tuple[list[str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def test_a_confirmation_is_one_that_the_product_reads() -> None:
    request = requests(an_order("confirm"), at=AT)(12_345)
    lines, body = split(request)
    assert lines[0] == "POST /here HTTP/1.1"
    assert f"Content-Length: {len(body)}" in lines
    notice = mpesa.notice(body)
    assert notice.transaction_id == transaction_id("ABCDE", 12_345)
    assert notice.account_reference in METERS
    assert notice.paid_at == AT


def test_a_sale_carries_its_reference_and_its_headers() -> None:
    order = Order(
        kind="sale", path="/sell", prefix="ABCDE", meters=METERS,
        headers=[("Authorization", "Bearer x")],
    )  # fmt: skip
    lines, body = split(requests(order, at=AT)(7))
    assert "Authorization: Bearer x" in lines
    assert json.loads(body)["reference"] == transaction_id("ABCDE", 7)
    assert json.loads(body)["meter"] in METERS


def test_an_echo_is_as_long_as_a_confirmation_and_always_the_same() -> None:
    echo = requests(an_order("echo"), at=AT)
    assert echo(1) == echo(2)
    assert abs(len(echo(1)) - len(requests(an_order("confirm"), at=AT)(1))) < 8


def test_the_same_seed_asks_the_same_and_another_asks_otherwise() -> None:
    first, again = (requests(an_order("confirm"), at=AT) for _ in range(2))
    other = requests(
        Order(kind="confirm", path="/here", prefix="ABCDE", meters=METERS, seed=4), at=AT
    )
    assert [first(n) for n in range(50)] == [again(n) for n in range(50)]
    assert [first(n) for n in range(50)] != [other(n) for n in range(50)]


def test_no_two_requests_of_a_load_share_an_id_and_each_tells_its_number() -> None:
    numbers = [0, 1, 35, 36, 46_655, 46_656, 1_000_000]
    ids = [transaction_id("ABCDE", number) for number in numbers]
    assert len(set(ids)) == len(numbers)
    assert [number_of(one, "ABCDE") for one in ids] == numbers
    low, high = bounds("ABCDE")
    assert all(low <= one < high for one in ids)


def test_the_next_load_has_another_prefix() -> None:
    assert prefix_at(AT) != prefix_at(AT + timedelta(milliseconds=100))
    assert len(prefix_at(AT)) == 5
