"""Addresses and secrets, apart from any socket."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.api.sources import Networks, PathUnknown, require_secret
from vending.config import ConfigInvalid


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("196.201.214.200", True),
        ("196.201.214.7", True),
        ("196.201.215.7", False),
        ("::ffff:196.201.214.7", True),
        ("2001:db8::17", True),
        ("2001:db9::17", False),
        ("10.1.2.3", True),
        ("10.1.2.4", False),
        ("", False),
        ("localhost", False),
        ("196.201.214.7 ", False),
        ("196.201.214.007", False),
        ("3301561863", False),
        ("196.201.214.7:443", False),
        ("fe80::1%eth0", False),
    ],
)
def test_a_list_holds_its_addresses_and_networks_and_nothing_else(
    address: str, *, held: bool
) -> None:
    networks = Networks(["196.201.214.0/24", "2001:db8::/32", " 10.1.2.3 "])
    assert (address in networks) is held
    assert (address in networks) is held  # the second time from memory


@given(st.ip_addresses())
def test_an_empty_list_holds_nobody(address: ipaddress.IPv4Address) -> None:
    assert str(address) not in Networks([])
    assert not Networks([])


@pytest.mark.parametrize("entry", ["196.201.214.1/24", "everyone", "", "10.0.0.0/33", "*"])
def test_an_entry_that_is_no_address_is_named(entry: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        Networks(["10.0.0.1", entry], setting="mpesa.allowed_addresses")
    assert caught.value.facts["setting"] == "mpesa.allowed_addresses"


@pytest.mark.parametrize("given_", ["", "right-secret-12345", "wrong", "right-secret-1234\ud800"])
def test_only_the_whole_secret_opens_the_path(given_: str) -> None:
    require_secret("right-secret-1234", expected="right-secret-1234")
    with pytest.raises(PathUnknown):
        require_secret(given_, expected="right-secret-1234")


def test_an_unset_secret_opens_nothing() -> None:
    with pytest.raises(PathUnknown):
        require_secret("", expected="")
