"""The faults a till may get: all 34, the right one for each error, as the reference page says."""

import re
from pathlib import Path

import pytest

from tests import errors_page
from vending.api.xmlvend.refusals import kind_of
from vending.errors import Inconsistent, Refused, Rejected, Unavailable
from vending.payments.payment import ShortCodeUnknown
from vending.xmlvend import parts, tree
from vending.xmlvend.errors import Reason
from vending.xmlvend.faults import BY_CODE, UNSENT, Family, FaultKind, fault, fault_of
from vending.xmlvend.reading import USE_CASES

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "xmlvend.md").read_text("utf-8")
FAMILIES = {
    Family.PROTOCOL: "protocol",
    Family.BUSINESS: "business",
    Family.SYSTEM: "system",
}


def rows(pattern: str) -> list[tuple[str, ...]]:
    return re.findall(rf"^\| {pattern} \|$", PAGE, re.MULTILINE)


def test_there_are_thirty_four_faults_each_with_a_type_and_a_code_of_its_own() -> None:
    assert len({kind.type_name for kind in FaultKind}) == len(FaultKind) == 34
    assert len({kind.code for kind in FaultKind}) == 34


def test_each_family_has_its_own() -> None:
    counts = dict.fromkeys(Family, 0)
    for kind in FaultKind:
        counts[kind.family] += 1
    assert counts == {Family.PROTOCOL: 7, Family.BUSINESS: 26, Family.SYSTEM: 1}


def test_the_page_lists_the_faults_as_they_are() -> None:
    listed = rows(r"`(\w+Ex)` \| (protocol|business|system) \| (`\w+`|finer|never) \| (.+?)")
    assert listed == [
        (kind.type_name, FAMILIES[kind.family], code_told(kind), kind.sentence)
        for kind in FaultKind
    ]


def code_told(kind: FaultKind) -> str:
    own = {kind.code for kind in FaultKind}
    finer = {FaultKind.SYSTEM, *(kind for code, kind in BY_CODE.items() if code not in own)}
    if kind not in UNSENT:
        return f"`{kind.code}`"
    return "finer" if kind in finer else "never"


def test_the_page_lists_our_codes_as_they_are() -> None:
    own = {kind.code for kind in FaultKind}
    listed = rows(r"`(\w+)` \| `(\w+Ex)`")
    assert {row[0]: row[1] for row in listed} == {
        code: kind.type_name for code, kind in BY_CODE.items() if code not in own
    }


def test_the_page_lists_every_reason() -> None:
    after = PAGE.partition("## A message that cannot be read")[2]
    assert re.findall(r"^\| `(\w+)` \|", after, re.MULTILINE) == [reason.value for reason in Reason]


def test_the_page_names_every_use_case_and_no_other() -> None:
    table = PAGE.partition("## Out: strict")[2].partition("## After a time-out")[0]
    named = {name.casefold() for name in re.findall(r"`(\w+Req)`", table)}
    abstract = {
        "advicereq", "meterspecificengreq", "nonmeterspecificengreq", "startbatchreq",
        "totalbatchreq", "endbatchreq", "reprintendbatchreq",
    }  # fmt: skip
    assert named - abstract == {name.casefold() for name in USE_CASES}


def test_the_page_gives_the_limits_as_they_are() -> None:
    table = PAGE.partition("| limit | value |")[2].partition("\n\n")[0]
    assert [int(value) for value in re.findall(r"\| (\d+) \|", table)] == [
        tree.BODY_BYTES_MAX,
        tree.DEPTH_MAX,
        tree.ELEMENTS_MAX,
        tree.ATTRIBUTES_MAX,
        parts.TEXT_MAX,
        parts.DEVICE_MAX,
    ]


def test_every_refusal_of_ours_has_a_fault_that_is_not_the_systems() -> None:
    refused = [kind for kind in errors_page.kinds() if issubclass(kind, Refused)]
    assert len(refused) > 10
    assert [one.code for one in refused if kind_of(one).family is not Family.BUSINESS] == []
    assert kind_of(ShortCodeUnknown) is FaultKind.BUSINESS


def test_what_is_away_or_broken_is_the_systems_fault() -> None:
    away = (Unavailable, Inconsistent)
    codes = [kind.code for kind in errors_page.kinds() if issubclass(kind, away)]
    assert len(codes) > 10
    assert [code for code in codes if fault_of(code) is not FaultKind.SYSTEM] == []


def test_a_rejection_in_the_table_is_never_the_systems_fault() -> None:
    codes = [kind.code for kind in errors_page.kinds() if issubclass(kind, Rejected)]
    assert [code for code in codes if BY_CODE.get(code) is FaultKind.SYSTEM] == []


@pytest.mark.parametrize(
    ("code", "type_name"),
    [
        ("meter_unknown", "UnknownMeterEx"),
        ("meter_blocked", "BlockedMeterEx"),
        ("meter_number_malformed", "MSNOCheckDigitEx"),
        ("key_expired", "LatestKRNEx"),
        ("float_insufficient", "VendorCreditEx"),
        ("vendor_suspended", "ClientIDAuthorisationEx"),
        ("reference_barred", "BusinessRuleEx"),
        ("xmlvend_malformed", "XMLVendSchemaEx"),
        ("use_case_unsupported", "UseCaseSupportEx"),
        ("original_unknown", "LastResponseEx"),
        ("database_unavailable", "SystemEx"),
        ("nobody_has_thought_of_this", "SystemEx"),
    ],
)
def test_an_error_becomes_the_precise_fault(code: str, type_name: str) -> None:
    assert fault_of(code).type_name == type_name
    assert fault(code).kind is fault_of(code)
    assert fault(code).code == code


def test_a_fault_says_what_it_is_given_or_what_it_means() -> None:
    assert fault("meter_blocked").text == FaultKind.METER_BLOCKED.sentence
    assert fault("meter_blocked", "Blocked since May.").text == "Blocked since May."


def test_the_abstract_root_is_never_sent() -> None:
    assert FaultKind.PROTOCOL not in BY_CODE.values()
    assert fault_of(FaultKind.PROTOCOL.code) is FaultKind.SYSTEM
