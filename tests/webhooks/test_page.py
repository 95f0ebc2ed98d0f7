"""docs/reference/webhooks.md: what it tells a vendor's developer works as it is told."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from standardwebhooks import WebhookVerificationError

from vending.webhooks import signing
from vending.webhooks.calls import Failure
from vending.webhooks.event import EventType
from vending.webhooks.signing import Scheme, Secret

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "webhooks.md").read_text("utf-8")
SAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
BODY = b'{"type":"endpoint.test"}'


def sample(name: str) -> Callable[..., Any]:
    """Return a function of the page as a reader would copy it."""
    (text,) = [text for text in SAMPLES if f"def {name}(" in text]
    scope: dict[str, Any] = {}
    exec(compile(text, name, "exec"), scope)
    found: Callable[..., Any] = scope[name]
    return found


def sent(*secrets: Secret) -> dict[str, str]:
    return signing.headers(secrets, webhook_id="evt_1", at=datetime.now(UTC), body=BODY)


def test_the_stock_librarys_sample_believes_us_and_nobody_else() -> None:
    secret, other = signing.new_secret(Scheme.V1), signing.new_secret(Scheme.V1)
    receive = sample("receive")
    assert receive(signing.shown(secret), sent(secret), BODY) == {"type": "endpoint.test"}
    with pytest.raises(WebhookVerificationError):
        receive(signing.shown(secret), sent(other), BODY)


def test_the_sample_by_hand_believes_us_and_nobody_else() -> None:
    secret, other = signing.new_secret(Scheme.V1), signing.new_secret(Scheme.V1)
    genuine = sample("genuine")
    assert genuine(signing.shown(secret), sent(other, secret), BODY)
    assert not genuine(signing.shown(secret), sent(other), BODY)
    assert not genuine(signing.shown(secret), sent(secret), BODY + b" ")
    old = sent(secret) | {"webhook-timestamp": "1700000000"}
    assert not genuine(signing.shown(secret), old, BODY)


def test_the_sample_for_public_keys_believes_us_and_nobody_else() -> None:
    secret, other = signing.new_secret(Scheme.V1A), signing.new_secret(Scheme.V1A)
    require = sample("require_genuine")
    require(signing.shown(secret), sent(signing.new_secret(Scheme.V1), secret), BODY)
    with pytest.raises(InvalidSignature):
        require(signing.shown(secret), sent(other), BODY)
    with pytest.raises(ValueError, match="no v1a"):
        require(signing.shown(secret), sent(signing.new_secret(Scheme.V1)), BODY)


@pytest.mark.parametrize("word", [*EventType, *Failure])
def test_every_type_and_every_failure_has_its_line(word: str) -> None:
    assert f"\n| `{word}` | " in PAGE


def test_the_samples_are_all_of_them_tested() -> None:
    assert len(SAMPLES) == 4  # the receiver to try is run with the guide for those who sell
