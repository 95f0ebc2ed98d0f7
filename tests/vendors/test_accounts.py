"""Vendors are taken on, suspended and resumed, and every change is an act in the log."""

import pytest

from tests.conftest import SettableClock
from vending import audit_log
from vending.postgres.pool import Connection
from vending.vendors import accounts, floats
from vending.vendors.vendor import (
    AddressForbidden,
    AddressMalformed,
    PointOfSaleMalformed,
    Scope,
    ScopeUnknown,
    Vendor,
    VendorExists,
    VendorMalformed,
    VendorStatus,
    VendorUnknown,
    operator_of,
    parse_addresses,
    parse_scopes,
    point_of_sale,
    require_address,
    vendor_of,
)


async def test_a_vendor_begins_with_an_empty_float_and_no_credit(
    app: Connection, acme: Vendor
) -> None:
    assert await accounts.find(app, "acme") == acme
    found = await floats.find(app, "acme")
    assert (found.balance_minor, found.credit_limit_minor, found.available_minor) == (0, 0, 0)


async def test_a_name_is_taken_once(app: Connection, acme: Vendor, clock: SettableClock) -> None:
    with pytest.raises(VendorExists):
        await accounts.add(app, acme.vendor_id, name="Other", who="Jane", now=clock())
    assert (await audit_log.verify(app)).count == 1


async def test_every_change_is_an_act(app: Connection, acme: Vendor, clock: SettableClock) -> None:
    await accounts.suspend(app, "acme", note="fraud", who="Jane", now=clock())
    assert (await accounts.find(app, "acme")).status is VendorStatus.SUSPENDED
    await accounts.resume(app, "acme", note="settled", who="Otieno", now=clock())
    assert (await accounts.find(app, "acme")).status is VendorStatus.ACTIVE
    given = ["10.1.2.3", "10.0.0.0/8", "10.1.2.3/32"]
    await accounts.set_addresses(app, "acme", given, who="Jane", now=clock())
    assert (await accounts.find(app, "acme")).addresses == ("10.1.2.3", "10.0.0.0/8")
    told = [(act.who, act.what) for act in await audit_log.of_subject(app, "vendor:acme")]
    assert told == [
        ("Jane", "vendor addresses set"),
        ("Otieno", "vendor resumed"),
        ("Jane", "vendor suspended"),
        ("Jane", "vendor added"),
    ]
    assert [one.vendor_id for one in await accounts.every(app)] == [acme.vendor_id]


async def test_a_vendor_nobody_knows_cannot_be_changed(
    app: Connection, clock: SettableClock
) -> None:
    with pytest.raises(VendorUnknown):
        await accounts.suspend(app, "nobody", note="", who="Jane", now=clock())
    with pytest.raises(VendorUnknown):
        await accounts.find(app, "nobody")
    with pytest.raises(VendorUnknown):
        await floats.find(app, "nobody")


@pytest.mark.parametrize(
    ("vendor_id", "name"),
    [("a", "A"), ("Acme", "A"), ("9acme", "A"), ("a" * 32, "A"), ("acme:x", "A"), ("acme", " "),
     ("acme", "x" * 101), ("acme", "a\x07b")],
)  # fmt: skip
async def test_a_vendor_cannot_be_called_just_anything(
    app: Connection, clock: SettableClock, vendor_id: str, name: str
) -> None:
    with pytest.raises(VendorMalformed):
        await accounts.add(app, vendor_id, name=name, who="Jane", now=clock())


@pytest.mark.parametrize("text", ["nowhere", "10.0.0.1/8", "1.2.3", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressMalformed):
        parse_addresses([text])


def test_a_vendor_has_no_thousand_addresses() -> None:
    with pytest.raises(AddressMalformed, match="given=65"):
        parse_addresses([f"10.0.0.{place}" for place in range(65)])


@pytest.mark.parametrize("address", ["10.9.9.9", "::ffff:10.9.9.9", "192.0.2.1"])
def test_a_vendor_calls_from_where_it_may(acme: Vendor, address: str) -> None:
    require_address(acme, address)
    listed = Vendor(
        vendor_id="b", name="B", addresses=("10.0.0.0/8", "192.0.2.1"), created_at=acme.created_at
    )
    require_address(listed, address)
    for other in ("11.0.0.1", "2001:db8::1", "not an address"):
        with pytest.raises(AddressForbidden):
            require_address(listed, other)


def test_a_point_of_sale_is_an_outlet_or_a_till_of_it() -> None:
    assert point_of_sale("Kisumu-1") == "Kisumu-1"
    assert point_of_sale("Kisumu-1", "t2") == "Kisumu-1/t2"
    for outlet, till in (("", "-"), ("a/b", "-"), ("a", ""), ("x" * 33, "-"), ("a b", "-")):
        with pytest.raises(PointOfSaleMalformed):
            point_of_sale(outlet, till)


def test_a_sale_says_whose_it_is() -> None:
    assert vendor_of(operator_of("acme")) == "acme"
    assert vendor_of("mpesa") is None


def test_scopes_are_a_closed_list_and_free_units_are_not_usual() -> None:
    usual = parse_scopes([])
    assert Scope.SALES in usual
    assert not usual & {Scope.FREE_ISSUE, Scope.ENGINEERING}
    assert parse_scopes(["sales", "engineering"]) == {Scope.SALES, Scope.ENGINEERING}
    with pytest.raises(ScopeUnknown, match="scope=everything"):
        parse_scopes(["sales", "everything"])
