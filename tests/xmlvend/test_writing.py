"""Answers as tills are to find them: golden, valid by the schema, the same however spelled."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xmlvend.answers import ANSWERS, AT, KEY_CHANGE, REFUSED, SERVER, SHILLINGS, head
from tests.xmlvend.golden import GOLDEN, written
from tests.xmlvend.schema import payload_faults
from vending.values import replace
from vending.xmlvend import answers as told
from vending.xmlvend import write_answer, write_fault
from vending.xmlvend.document import XSI, Spelling
from vending.xmlvend.faults import FaultKind, fault
from vending.xmlvend.identity import Device, DeviceKind, Soap
from vending.xmlvend.requests import FreeKind

WRITTEN = written()
TYPE = f"{{{XSI}}}type"


def test_every_golden_answer_is_still_written_and_no_other() -> None:
    assert {path.name for path in (GOLDEN / "answers").glob("*.xml")} == set(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_an_answer_is_byte_for_byte_the_golden_one(name: str) -> None:
    assert WRITTEN[name] == (GOLDEN / "answers" / name).read_text(encoding="utf-8")


def test_every_kind_of_answer_has_a_golden_one() -> None:
    kinds = {type(answer) for answer in ANSWERS.values()}
    assert kinds == set(told.Answer.__args__)


@pytest.mark.parametrize("spelling", Spelling)
@pytest.mark.parametrize("soap", Soap)
@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_is_valid_by_the_schema(name: str, soap: Soap, spelling: Spelling) -> None:
    sent = write_answer(ANSWERS[name], currency=SHILLINGS, soap=soap, spelling=spelling)
    assert payload_faults(sent.body) == []
    assert sent.status == 200


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.PROTOCOL])
@pytest.mark.parametrize("soap", Soap)
def test_every_fault_is_valid_by_the_schema(kind: FaultKind, soap: Soap) -> None:
    refused = replace(REFUSED, fault=fault(kind.code))
    assert payload_faults(write_fault(refused, soap=soap).body) == []


def test_the_schema_can_find_fault() -> None:
    sent = write_answer(ANSWERS["credit_vend"], currency=SHILLINGS, soap=Soap.V11).body
    assert payload_faults(sent.replace(b"<stsCipher>", b"<stsCipher>1"))
    assert payload_faults(sent.replace(b"<tariff>", b"<tarif>").replace(b"/tariff", b"/tarif"))
    assert payload_faults(sent.replace(b'"b:SaleCredTokenIssue"', b'"b:KCTokenIssue"'))
    assert payload_faults(sent.replace(b"revenue/2.1", b"revenue/2.2"))


@pytest.mark.parametrize(
    ("name", "spelling", "sought"),
    [
        # Clients in the field that read by pattern or by prefix, and what they look for.
        ("credit_vend", Spelling.DEFAULTED, r"<creditVendResp "),
        ("credit_vend", Spelling.DEFAULTED, r'<tx xsi:type="CreditVendTx"'),
        ("credit_vend", Spelling.DEFAULTED, r"<custVendDetail .*?/>"),
        ("credit_vend", Spelling.DEFAULTED, r"<respDateTime .*?</respDateTime>"),
        ("credit_vend", Spelling.PREFIXED, r'<ns3:tx xsi:type="ns3:DebtRecoveryTx"'),
        ("credit_vend", Spelling.PREFIXED, r'<ns3:tx xsi:type="ns3:ServiceChrgTx"'),
        ("credit_vend", Spelling.PREFIXED, r"<ns2:set1stMeterKey><ns2:stsCipher>1111"),
        ("confirm_customer", Spelling.PREFIXED, r"<ns3:meterDetail [^>]*><ns2:meterType at="),
    ],
)
def test_clients_that_do_not_quite_read_xml_find_what_they_look_for(
    name: str, spelling: Spelling, sought: str
) -> None:
    sent = write_answer(ANSWERS[name], currency=SHILLINGS, soap=Soap.V11, spelling=spelling)
    assert re.search(sought, sent.body.decode())


def test_such_clients_find_the_fault_too() -> None:
    defaulted, prefixed = (
        write_fault(REFUSED, soap=Soap.V11, spelling=spelling).body.decode()
        for spelling in Spelling
    )
    assert re.search(r"<fault .*?</fault>", defaulted)
    assert "<ns2:faultCode>meter_blocked</ns2:faultCode>" in prefixed


def meaning(body: bytes) -> list[tuple[str, str, tuple[tuple[str, str], ...], str]]:
    """Return what a reader of XML sees: names in namespaces, types without their prefixes."""
    seen = []
    for element in ET.fromstring(body).iter():
        given_ = {key: value for key, value in element.attrib.items() if key != TYPE}
        kind = element.attrib.get(TYPE, "").rpartition(":")[2]
        text = (element.text or "").strip()
        seen.append((element.tag, kind, tuple(sorted(given_.items())), text))
    return seen


@pytest.mark.parametrize("name", ANSWERS)
def test_both_spellings_say_the_same(name: str) -> None:
    one, other = (
        write_answer(ANSWERS[name], currency=SHILLINGS, soap=Soap.V11, spelling=spelling)
        for spelling in Spelling
    )
    assert one.body != other.body
    assert meaning(one.body) == meaning(other.body)


@pytest.mark.parametrize(
    ("soap", "kind", "status", "content_type"),
    [
        (Soap.V11, FaultKind.METER_BLOCKED, 500, "text/xml; charset=utf-8"),
        (Soap.V11, FaultKind.SYSTEM, 500, "text/xml; charset=utf-8"),
        (Soap.V12, FaultKind.SCHEMA, 400, "application/soap+xml; charset=utf-8"),
        (Soap.V12, FaultKind.SYSTEM, 500, "application/soap+xml; charset=utf-8"),
        (Soap.BARE, FaultKind.USE_CASE, 400, "text/xml; charset=utf-8"),
        (Soap.BARE, FaultKind.SYSTEM, 500, "text/xml; charset=utf-8"),
    ],
)
def test_http_says_of_a_fault_what_the_soap_version_wants(
    soap: Soap, kind: FaultKind, status: int, content_type: str
) -> None:
    sent = write_fault(replace(REFUSED, fault=fault(kind.code)), soap=soap)
    assert (sent.status, sent.content_type) == (status, content_type)
    assert (b"Server" in sent.body or b"Receiver" in sent.body) == (
        soap is not Soap.BARE and kind is FaultKind.SYSTEM
    )


def test_a_fault_for_nobody_is_valid_too() -> None:
    nobody = told.head_of(None, server=SERVER, at=AT, title="Not understood")
    refused = told.RefusedAnswer(head=nobody, fault=fault("xmlvend_malformed"))
    assert payload_faults(write_fault(refused, soap=Soap.V11).body) == []


@pytest.mark.parametrize("count", [0, 1, 5])
def test_there_is_no_key_change_of_so_many_tokens(count: int) -> None:
    change = replace(KEY_CHANGE, tokens=("1" * 20,) * count)
    answer = told.KeyUpdateAnswer(head=head("Key"), party=REPRINTED.party, key_change=change)
    with pytest.raises(ValueError, match=f"of {count} tokens"):
        write_answer(answer, currency=SHILLINGS, soap=Soap.V11)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_key_change_has_its_tokens_in_the_order_they_are_entered(count: int) -> None:
    tokens = tuple(str(number) * 20 for number in range(1, count + 1))
    answer = told.KeyUpdateAnswer(
        head=head("Key"),
        party=REPRINTED.party,
        key_change=replace(KEY_CHANGE, tokens=tokens),
    )
    body = write_answer(answer, currency=SHILLINGS, soap=Soap.V11).body
    assert payload_faults(body) == []
    found = [element.text for element in ET.fromstring(body).iter() if "stsC" in element.tag]
    assert tuple(found) == tokens


def test_the_answer_to_free_units_is_named_for_why_they_are_free() -> None:
    assert told.VendKind.of_free(FreeKind.BASIC) is told.VendKind.FREE_BASIC
    assert told.VendKind.of_free(FreeKind.ISSUE) is told.VendKind.FREE_ISSUE


def test_what_is_no_answer_is_not_written() -> None:
    with pytest.raises(TypeError):
        write_answer(REFUSED, currency=SHILLINGS, soap=Soap.V11)  # type: ignore[arg-type]


def test_tokens_are_not_in_what_is_printed_of_an_answer() -> None:
    sale = ANSWERS["credit_vend"]
    sent = write_answer(sale, currency=SHILLINGS, soap=Soap.V11)
    printed = repr(sale) + repr(sent)
    assert "01234567890123456789" not in printed
    assert "+2547" not in printed
    assert "11112222333344445555" not in printed


ANSWER = ANSWERS["credit_vend"]
assert isinstance(ANSWER, told.VendAnswer)
REPRINTED = ANSWER


@given(st.text(), st.text(min_size=1))
def test_whatever_words_are_in_an_answer_it_is_well_formed(words: str, name: str) -> None:
    answer = replace(
        REPRINTED,
        head=replace(
            REPRINTED.head,
            operator_text=words,
            server=Device(kind=DeviceKind.GENERIC, text=name),
        ),
    )
    for spelling in Spelling:
        sent = write_answer(answer, currency=SHILLINGS, soap=Soap.V12, spelling=spelling)
        assert ET.fromstring(sent.body) is not None


def test_words_come_back_as_they_were_sent() -> None:
    words = "a < b & \"c\" > 'd' \r\n\té 😀"
    answer = replace(REPRINTED, head=replace(REPRINTED.head, operator_text=words + "\x0b"))
    sent = write_answer(answer, currency=SHILLINGS, soap=Soap.V11)
    texts = [element.text for element in ET.fromstring(sent.body).iter()]
    assert words + "\ufffd" in texts
