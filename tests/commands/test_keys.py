"""`vending keys`, run as a person runs it: a key goes in, and only its check value comes out."""

from pathlib import Path

import pytest

from tests.builders import VENDING_KEY
from tests.commands.demo_process import ran
from tests.commands.offices import PASSPHRASE

EVEN_PARITY = "aaaaaaaaaaaaaaaa"


async def keys(store: Path, *arguments: str, typed: str = "", phrase: str | None = None) -> str:
    """Run one command on a store; return its exit code and all it printed."""
    code, told = await ran(
        "keys",
        *arguments,
        environment={
            **(PASSPHRASE if phrase is None else {"STIMA_KEYS__PASSPHRASE": phrase}),
            "STIMA_KEYS__STORE": str(store),
            "COLUMNS": "100",
        },
        typed=typed.encode(),
    )
    assert "Traceback" not in told
    assert VENDING_KEY not in told
    return f"{code} {told}"


async def test_a_key_is_sealed_listed_and_proved(tmp_path: Path) -> None:
    store = tmp_path / "keys.sealed"
    told = await keys(store, "add", "201457", "1", "--kcv", "0F353D", typed=VENDING_KEY)
    assert told == "0 sealed: supply group 201457, revision 1, check value 0f353d\n"
    listed = await keys(store, "list", phrase="")
    assert "201457" in listed
    assert "0f353d" in listed
    assert (await keys(store, "check")).startswith("0 1 key opens and agrees")


@pytest.mark.parametrize(
    ("arguments", "typed", "named"),
    [
        (("201457", "1", "--kcv", "12AB34"), VENDING_KEY, "rule=kcv_mismatch"),
        (("201457", "1", "--dkga", "02"), EVEN_PARITY, "parity"),
        (("201457", "1"), "abab", "key_refused"),
        (("201457", "1"), "not a key", "rule=not_hex"),
        (("201457", "0"), VENDING_KEY, "key_refused"),
        (("20145", "1"), VENDING_KEY, "key_refused"),
    ],
    ids=["kcv", "parity", "length", "hex", "revision", "supply group"],
)  # fmt: skip
async def test_a_key_that_breaks_a_rule_is_refused_by_its_name(
    tmp_path: Path, arguments: tuple[str, ...], typed: str, named: str
) -> None:
    store = tmp_path / "keys.sealed"
    told = await keys(store, "add", *arguments, typed=typed)
    assert told.startswith("1 ")
    assert named in told
    assert not store.exists()


async def test_a_store_does_not_open_by_another_phrase(tmp_path: Path) -> None:
    store = tmp_path / "keys.sealed"
    await keys(store, "add", "201457", "1", typed=VENDING_KEY)
    for phrase in ("another", ""):
        assert "key_store_sealed" in await keys(store, "check", phrase=phrase)
    again = await keys(store, "add", "201457", "2", typed=VENDING_KEY, phrase="another")
    assert "key_store_sealed" in again


async def test_a_store_that_is_not_there_or_not_usable_is_said_so(tmp_path: Path) -> None:
    assert "key_store_missing" in await keys(tmp_path / "none", "check")
    (tmp_path / "directory").mkdir()
    assert "key_store_unusable" in await keys(tmp_path / "directory", "check")
    unwritable = tmp_path / "file" / "keys.sealed"
    unwritable.parent.write_text("in the way")
    assert "key_store_unusable" in await keys(unwritable, "add", "201457", "1", typed=VENDING_KEY)
