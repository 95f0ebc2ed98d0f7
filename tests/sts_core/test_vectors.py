"""The runner of known answers passes what is right and fails what is not."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sts_core import vectors

FILE = Path(__file__).parents[2] / "sts_core_rs" / "tests" / "data" / "sts_vectors.json"
CONTENT: dict[str, Any] = json.loads(FILE.read_text())
ENTRIES = [*CONTENT["published"], *CONTENT["computed"]]
KINDS = sorted({entry["kind"] for entry in ENTRIES})
MAIN_KEY = "abababababababab949494949494949401234567"


def first_of(kind: str) -> dict[str, Any]:
    return copy.deepcopy(next(entry for entry in ENTRIES if entry["kind"] == kind))


def credit(**changes: Any) -> dict[str, Any]:
    inputs = {
        "dkga": "04",
        "ea": "07",
        "vending_key": MAIN_KEY,
        "key_type": 2,
        "sgc": "201457",
        "ti": "01",
        "krn": 1,
        "base_date": "14",
        "meter_pan": "600727000000000009",
        "token_class": 0,
        "subclass": 0,
        "amount_tenths": 1,
        "issue_time_utc": "2014-03-01 13:00",
        "rnd": 5,
    }
    return inputs | changes


def test_the_command_passes_the_whole_file_and_says_so_on_its_last_line() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "sts_core.vectors", str(FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.splitlines()[-1] == f"{len(ENTRIES)} passed, 0 failed"
    assert run.returncode == 0


def altered(value: Any) -> Any:
    """Another value of the same form."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return [altered(value[0]), *value[1:]]
    if value in {"crc", "format", "out_of_range_66_bits"}:
        return "amount_zero"
    return value[:-1] + ("1" if value[-1] != "1" else "2")


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_answer_fails_whatever_fact_it_is(kind: str) -> None:
    entry = first_of(kind)
    assert vectors.complaints(entry) == []
    for name, value in entry["expected"].items():
        wrong = entry | {"expected": entry["expected"] | {name: altered(value)}}
        assert vectors.complaints(wrong) != [], name


def test_unknown_kinds_facts_and_empty_answers_fail() -> None:
    entry = first_of("credit")
    assert vectors.complaints(entry | {"kind": "horoscope"}) == ["unknown kind horoscope"]
    unknown = entry | {"expected": {"colour": "red"}}
    assert vectors.complaints(unknown) == ["cannot compute colour"]
    assert vectors.complaints(entry | {"expected": {}}) == ["expects nothing"]
    assert vectors.complaints(entry | {"inputs": {"tid": "x", "decoder_key": "00" * 8}}) != []
    assert vectors.complaints(entry | {"inputs": {}}) != []


def test_inputs_may_be_written_in_several_forms() -> None:
    expected = {"token": "7063 0503 4700 2872 6114", "decoder_key": "0x87f3ecbb2e46b48f"}
    for changes in (
        {},
        {"ea": 7, "ti": 1, "krn": "1", "sgc": 201457, "dkga": 4, "base_date": 2014},
        {"meter_pan": None, "drn": "00000000000"},
        {"meter_pan": None, "iin": "600727", "iain": "00000000000"},
        {"tid": 85740, "issue_time_utc": None},
        {"amount_tenths": None, "amount_units": "0.02"},
        {"amount_tenths": None, "field16": "0x0001"},
        {"issue_time_utc": "2014-03-01T15:00:00+02:00"},
    ):
        entry = {"kind": "credit", "inputs": credit(**changes), "expected": expected}
        assert vectors.complaints(entry) == [], changes


def test_facts_that_contradict_each_other_fail() -> None:
    expected = {"token": "70630503470028726114"}
    for changes in ({"decoder_key": "00" * 8}, {"kdf_data_block": "00" * 49}):
        entry = {"kind": "credit", "inputs": credit(**changes), "expected": expected}
        assert vectors.complaints(entry) != []
    change = first_of("key_change")
    change["inputs"]["rollover"] = 1 - change["inputs"]["rollover"]
    assert "rollover" in vectors.complaints(change)[0]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ken": 0, "issue_time_utc": "2024-03-01 13:00"}, "key_expired"),
        ({"key_type": 1}, "default_key_credit"),
        ({"amount_tenths": 18_201_625}, "amount_too_large"),
        ({"amount_tenths": 0}, "amount_zero"),
        ({"ea": "09"}, True),
        ({"key_type": 3}, "common_key"),
    ],
)
def test_an_expected_refusal_is_compared_too(changes: dict[str, Any], word: object) -> None:
    entry = {"kind": "credit", "inputs": credit(**changes), "expected": {"reject": word}}
    assert vectors.complaints(entry) == []
    fine = {"kind": "credit", "inputs": credit(), "expected": {"reject": word}}
    assert vectors.complaints(fine) != []


def test_a_change_to_an_expired_key_is_refused_and_from_one_is_not() -> None:
    side = {
        "vending_key": MAIN_KEY,
        "sgc": "201457",
        "krn": 1,
        "base_date": "14",
        "ken": 255,
        "ti": "01",
        "key_type": 2,
    }
    expired = side | {"krn": 2, "ken": 2}
    inputs = credit(issue_time_utc="2024-03-01 13:00")
    into = {"kind": "key_change", "inputs": inputs | {"old": side, "new": expired}}
    assert vectors.complaints(into | {"expected": {"refused": "expired"}}) == []
    out_of = {"kind": "key_change", "inputs": inputs | {"old": expired, "new": side}}
    assert vectors.complaints(out_of | {"expected": {"refused": "expired"}}) != []


def test_money_beyond_the_precision_of_decimals_is_exact() -> None:
    entry = {
        "kind": "currency_field",
        "inputs": {"amount_currency": "123456789012345678901234567890"},
        "expected": {"s_and_e": 7},
    }
    assert vectors.complaints(entry) == []


def test_failures_are_listed_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = first_of("crc") | {"id": "bad-one"}
    wrong["expected"]["crc"] = "0000"
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"published": [first_of("tid")], "computed": [wrong]}))
    assert vectors.main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["bad-one (crc): crc differs", "1 passed, 1 failed"]
    assert vectors.main([]) == 2
