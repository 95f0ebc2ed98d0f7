"""The sealed key store: what goes in, what comes out, and what is never shown."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.builders import SGC, VENDING_KEY
from vending.tokens.keys import (
    Description,
    KeyExists,
    KeyRefused,
    KeyStore,
    KeyStoreMissing,
    KeyStoreSealed,
)

UNIQUE = Description(sgc=SGC, krn=1, key_type=2, dkga="04", base_date="14", ken=255)
DES = Description(sgc="123456", krn=1, key_type=2, dkga="02", base_date="14", ken=255)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "deep" / "keys.sealed")


def _add(store: KeyStore, description: Description = UNIQUE, key: str = VENDING_KEY) -> Description:
    return store.add(description, bytearray.fromhex(key), passphrase="open sesame")


def test_a_sealed_key_opens_with_the_passphrase(store: KeyStore) -> None:
    added = _add(store)
    held = store.open(passphrase="open sesame").keys()
    assert [(key.sgc, key.krn, key.kcv) for key in held] == [(SGC, 1, added.kcv)]


def test_the_buffer_a_key_came_in_is_wiped(store: KeyStore) -> None:
    key = bytearray.fromhex(VENDING_KEY)
    store.add(UNIQUE, key, passphrase="open sesame")
    assert not any(key)


def test_the_file_is_its_owners_alone_and_holds_no_key_in_the_clear(store: KeyStore) -> None:
    _add(store)
    assert store.path.stat().st_mode & 0o777 == 0o600
    content = store.path.read_bytes()
    assert VENDING_KEY.encode() not in content
    assert bytes.fromhex(VENDING_KEY) not in content


def test_a_wrong_passphrase_opens_nothing(store: KeyStore) -> None:
    _add(store)
    with pytest.raises(KeyStoreSealed):
        store.open(passphrase="open barley")


def test_a_wrong_passphrase_adds_nothing(store: KeyStore) -> None:
    _add(store)
    with pytest.raises(KeyStoreSealed):
        store.add(DES, bytearray.fromhex("abababababababab"), passphrase="open barley")
    assert len(store.descriptions()) == 1


def test_an_empty_passphrase_seals_nothing(store: KeyStore) -> None:
    with pytest.raises(KeyStoreSealed):
        store.add(UNIQUE, bytearray.fromhex(VENDING_KEY), passphrase="")
    assert not store.path.exists()


def test_a_missing_store_says_so(store: KeyStore) -> None:
    with pytest.raises(KeyStoreMissing):
        store.open(passphrase="open sesame")


def test_a_damaged_store_says_so(store: KeyStore) -> None:
    _add(store)
    store.path.write_bytes(store.path.read_bytes()[:-20])
    with pytest.raises(KeyStoreSealed):
        store.open(passphrase="open sesame")


@pytest.mark.parametrize(
    ("field", "value"), [("sgc", "201458"), ("krn", 2), ("ken", 17), ("base_date", "35")]
)
def test_a_description_moved_to_another_key_does_not_open(
    store: KeyStore, field: str, value: object
) -> None:
    _add(store)
    file = json.loads(store.path.read_bytes())
    file["keys"][0]["description"][field] = value
    store.path.write_bytes(msgspec.json.encode(file))
    with pytest.raises(KeyStoreSealed):
        store.open(passphrase="open sesame")


def test_a_key_whose_check_value_differs_is_refused(store: KeyStore) -> None:
    wrong = msgspec.structs.replace(UNIQUE, kcv="000000")
    with pytest.raises(KeyRefused) as refused:
        _add(store, wrong)
    assert "kcv" in str(refused.value.facts["rule"])
    assert not store.path.exists()


def test_a_des_key_with_even_parity_is_refused(store: KeyStore) -> None:
    with pytest.raises(KeyRefused) as refused:
        _add(store, DES, "aaaaaaaaaaaaaaaa")
    assert "parity" in str(refused.value.facts["rule"])


def test_a_key_of_the_wrong_length_is_refused(store: KeyStore) -> None:
    with pytest.raises(KeyRefused):
        _add(store, UNIQUE, "abab")


def test_a_key_is_never_replaced(store: KeyStore) -> None:
    _add(store)
    with pytest.raises(KeyExists):
        _add(store, UNIQUE, VENDING_KEY[::-1])


def test_no_error_or_repr_shows_a_key(store: KeyStore) -> None:
    _add(store)
    ring = store.open(passphrase="open sesame")
    shown = repr(ring) + repr(ring.keys()) + repr(store) + repr(store.descriptions())
    assert "abababab" not in shown.lower()
