"""Which URLs and addresses webhooks go to, and above all which they do not."""

from ipaddress import ip_address

import pytest

from vending.config import ConfigInvalid
from vending.webhooks.addresses import (
    Reach,
    WebhookAddressRefused,
    WebhookUrlRefused,
    allowed,
    check_address,
    check_url,
    networks,
)

PUBLIC = Reach(ports=frozenset({443, 8443}))
LOCAL = Reach(ports=frozenset({443}), loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://vendor.example/hooks",
        "https://vendor.example",
        "https://hooks.vendor.co.ke:8443/a/b?c=d&e=%20",
        "https://8.8.8.8/hooks",
        "https://[2a00:1450:4009::1]/hooks",
        "https://xn--bcher-kva.example/",
        "https://vendor.example./hooks",
    ],
)
def test_an_https_url_of_a_public_host_is_taken(url: str) -> None:
    check_url(url, PUBLIC)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://vendor.example/hooks", "https only"),
        ("ftp://vendor.example/hooks", "https only"),
        ("file:///etc/passwd", "host name"),
        ("gopher://vendor.example/", "https only"),
        ("//vendor.example/", "https only"),
        ("vendor.example/hooks", "host name"),
        ("", "visible"),
        ("https://", "host name"),
        ("https:///hooks", "host name"),
        ("https://user@vendor.example/", "user name"),
        ("https://user:word@vendor.example/", "user name"),
        ("https://:@vendor.example/", "user name"),
        ("https://vendor.example@10.0.0.1/", "user name"),
        ("https://vendor.example:22/", "port"),
        ("https://vendor.example:0/", "port"),
        ("https://vendor.example:99999/", "not a URL"),
        ("https://vendor.example:x/", "not a URL"),
        ("https://vendor.example/#there", "fragment"),
        ("https://vendor.example/#", "fragment"),
        ("https://vendor.example\\@10.0.0.1/", "visible"),
        ("https://vendor.example/a b", "visible"),
        ("https://vendor.example/\r\nHost: x", "visible"),
        ("https://vendor.example/\n", "visible"),
        ("https://b\u00fccher.example/", "visible"),
        ("https://vendor.example/" + "a" * 1000, "visible"),
        ("https://localhost/", "not public"),
        ("https://LOCALHOST./", "not public"),
        ("https://a.localhost/", "not public"),
        ("https://intranet/", "full host name"),
        ("https://127.0.0.1/", "not public"),
        ("https://10.1.2.3/", "not public"),
        ("https://169.254.169.254/latest/meta-data/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("https://[fe80::1%25eth0]/", "not public"),
        ("https://2130706433/", "the plain way"),
        ("https://0x7f000001/", "the plain way"),
        ("https://0x7f.1/", "the plain way"),
        ("https://127.1/", "the plain way"),
        ("https://0177.0.0.1/", "the plain way"),
        ("https://1.2.3.4.5/", "the plain way"),
        ("https://vendor..example/", "the plain way"),
        ("https://-vendor.example/", "the plain way"),
        ("https://%31%32%37.0.0.1/", "the plain way"),
        ("https://[::1/", "not a URL"),
    ],
)
def test_any_other_url_is_refused_with_its_rule(url: str, rule: str) -> None:
    with pytest.raises(WebhookUrlRefused, match=rule):
        check_url(url, PUBLIC)


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1",
        "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
        "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::7f00:1", "64:ff9b::7f00:1",
        "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "fc00::1", "fd12:3456::1", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "2001::1", "2001:10::1", "2001:20::1",
        "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "4000::1",
        "2a00:1450::1%eth0",
    ],
)  # fmt: skip
def test_no_special_address_is_allowed(text: str) -> None:
    assert not allowed(ip_address(text), PUBLIC)
    with pytest.raises(WebhookAddressRefused):
        check_address(text, PUBLIC)


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "196.201.214.200",
             "223.255.255.255", "2a00:1450:4009::1", "2001:4860::8888", "2c0f:fe08::1"],
)  # fmt: skip
def test_public_addresses_are_allowed(text: str) -> None:
    assert allowed(ip_address(text), PUBLIC)


@pytest.mark.parametrize("text", ["", "localhost", "2130706433", "127.1", "0x7f000001"])
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    with pytest.raises(WebhookAddressRefused):
        check_address(text, PUBLIC)


def test_the_utilitys_own_networks_are_refused_though_public() -> None:
    reach = Reach(refused=networks(["196.201.214.0/24", "2c0f:fe08::/32"]))
    assert not allowed(ip_address("196.201.214.9"), reach)
    assert not allowed(ip_address("2c0f:fe08::9"), reach)
    assert allowed(ip_address("196.201.215.9"), reach)


def test_a_refused_network_that_is_none_names_its_setting() -> None:
    with pytest.raises(ConfigInvalid, match=r"webhooks\.refused_networks"):
        networks(["196.201.214.9/24"])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://localhost:3000/", "https://[::1]:1/", "http://[::1]/"]
)
def test_this_machine_is_reached_only_where_that_is_set(url: str) -> None:
    check_url(url, LOCAL)
    with pytest.raises(WebhookUrlRefused):
        check_url(url, PUBLIC)


@pytest.mark.parametrize("url", ["http://vendor.example/", "http://8.8.8.8/", "https://10.0.0.1/"])
def test_with_this_machine_allowed_others_are_as_they_were(url: str) -> None:
    with pytest.raises(WebhookUrlRefused):
        check_url(url, LOCAL)
