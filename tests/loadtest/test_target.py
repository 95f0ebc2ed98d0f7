"""Which servers may be loaded."""

import pytest

from vending.loadtest import target
from vending.loadtest.target import TargetForeign, TargetUnreadable


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "http://127.3.2.1", "http://localhost:1/", "http://[::1]:8080"],
)
def test_this_machine_may_be_tested(url: str) -> None:
    assert target.parse(url, owned=False).here


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.7:8080",
        "http://192.168.1.1",
        "http://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.nip.io",
        "http://0.0.0.0:8080",
        "http://[2001:db8::1]:80",
    ],
)
def test_another_machine_needs_the_words(url: str) -> None:
    with pytest.raises(TargetForeign, match="not on this machine"):
        target.parse(url, owned=False)
    assert not target.parse(url, owned=True).here


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "https://127.0.0.1",
        "http://127.0.0.1:70000",
        "http://127.0.0.1/op/saf",
        "http://user:word@127.0.0.1",
        "http://127.0.0.1?x=1",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(TargetUnreadable) as refused:
        target.parse(url, owned=True)
    assert "word" not in str(refused.value).partition("[")[2].replace("target_unreadable", "")


def test_an_address_is_spelled_as_it_is_called() -> None:
    assert target.parse("http://[::1]:81", owned=False).authority == "[::1]:81"
    assert target.parse("http://localhost", owned=False).url == "http://localhost:80"
