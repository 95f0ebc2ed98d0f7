"""Signatures, as a stock library and a stock cryptographer see them."""

import base64
from datetime import UTC, datetime

import pytest

from tests.webhooks.receiver import Taken, verifies, verify
from vending.webhooks import signing
from vending.webhooks.signing import Scheme, Secret

BODY = '{"type":"endpoint.test","data":{"name":"Wanjiru Müller"}}'.encode()


def taken(*secrets: Secret, at: datetime | None = None, body: bytes = BODY) -> Taken:
    """Sign as the server does, now: the stock library believes nothing older than five minutes."""
    signed = signing.headers(secrets, webhook_id="evt_1", at=at or datetime.now(UTC), body=body)
    return Taken("POST", "/", signed, body)


def test_a_stock_library_verifies_what_is_signed_with_a_shared_secret() -> None:
    secret = signing.new_secret(Scheme.V1)
    assert verify(taken(secret), signing.shown(secret))["data"] == {"name": "Wanjiru Müller"}


def test_a_public_key_verifies_what_is_signed_with_its_private_half() -> None:
    secret = signing.new_secret(Scheme.V1A)
    assert signing.shown(secret).startswith("whpk_")
    assert verifies(taken(secret), signing.shown(secret))
    assert not verifies(taken(secret), signing.shown(signing.new_secret(Scheme.V1A)))


def test_what_is_shown_of_an_asymmetric_secret_is_not_the_secret() -> None:
    secret = signing.new_secret(Scheme.V1A)
    assert base64.b64decode(signing.shown(secret).removeprefix("whpk_")) != secret.material


@pytest.mark.parametrize("scheme", Scheme)
def test_a_changed_body_id_or_time_does_not_verify(scheme: Scheme) -> None:
    secret = signing.new_secret(scheme)
    key = signing.shown(secret)
    good = taken(secret)
    assert verifies(good, key)
    assert not verifies(Taken("POST", "/", good.headers, BODY + b" "), key)
    for name, value in (("webhook-id", "evt_2"), ("webhook-timestamp", "1900000000")):
        assert not verifies(Taken("POST", "/", good.headers | {name: value}, BODY), key)


def test_each_of_several_secrets_is_enough_to_verify() -> None:
    secrets = [signing.new_secret(scheme) for scheme in (Scheme.V1, Scheme.V1, Scheme.V1A)]
    sent = taken(*secrets)
    assert [one.partition(",")[0] for one in sent.signatures] == ["v1", "v1", "v1a"]
    assert all(verifies(sent, signing.shown(secret)) for secret in secrets)
    assert not verifies(sent, signing.shown(signing.new_secret(Scheme.V1)))


def test_secrets_are_as_long_as_the_specification_asks_and_never_twice_the_same() -> None:
    secrets = [signing.new_secret(Scheme.V1) for _ in range(100)]
    shown = {signing.shown(secret) for secret in secrets}
    assert len(shown) == 100
    assert all(24 <= len(base64.b64decode(one.removeprefix("whsec_"))) <= 64 for one in shown)


def test_the_timestamp_is_in_whole_seconds() -> None:
    at = datetime(2026, 11, 22, 8, 0, 0, 999_999, tzinfo=UTC)
    sent = taken(signing.new_secret(Scheme.V1), at=at)
    assert sent.headers["webhook-timestamp"] == "1795334400"


def test_a_secret_does_not_show_itself() -> None:
    secret = signing.new_secret(Scheme.V1)
    assert repr(secret) == "Secret(scheme=<Scheme.V1: 'v1'>)"
