"""The key of idempotency: one message, one reference; two messages, two."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.values import replace
from vending.xmlvend.identity import UNKNOWN, Device, DeviceKind, MessageId

REFERENCE = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")

texts = st.one_of(
    st.sampled_from(["a", "a:b", "b", "1", "R202611,202611", "", "x" * 64, "é"]),
    st.text(max_size=64),
)
digits = st.text("0123456789", min_size=1, max_size=18)
devices = st.builds(Device, kind=st.sampled_from(DeviceKind), text=texts)
stamps = st.text("0123456789", min_size=14, max_size=17)
messages = st.builds(MessageId, client=devices, terminal=devices, stamp=stamps, number=digits)


def message(client: str = "6001234500015", number: str = "109") -> MessageId:
    return MessageId(
        client=Device(kind=DeviceKind.EAN, text=client),
        terminal=Device(kind=DeviceKind.GENERIC, text="TILL-7"),
        stamp="20261122093015",
        number=number,
    )


def told_apart(one: MessageId) -> tuple[str, str, str, int]:
    return one.client.text, one.terminal.text, one.stamp, int(one.number)


def test_an_ordinary_message_has_a_reference_that_people_can_read() -> None:
    assert message().reference == "6001234500015:TILL-7:20261122093015:109"


@pytest.mark.parametrize("number", ["0109", "000109", "109"])
def test_a_number_is_a_number_however_many_noughts_a_till_prints(number: str) -> None:
    assert message(number=number).reference == message().reference
    assert message(number=number).number == number


def test_nought_is_a_number_too() -> None:
    assert message(number="000").reference.endswith(":0")


def test_how_a_device_is_named_is_no_part_of_the_identity() -> None:
    generic = replace(message(), client=Device(kind=DeviceKind.GENERIC, text="6001234500015"))
    assert generic.reference == message().reference


@pytest.mark.parametrize("client", ["a:b", "a.b", "R202611,202611", "é", "", "x" * 40])
def test_names_that_do_not_fit_a_reference_are_digested(client: str) -> None:
    assert re.fullmatch(r"sha256-[A-Za-z0-9_-]{43}", message(client).reference)


def test_a_message_can_name_another_of_the_same_till() -> None:
    other = message().naming(stamp="20261122092959", number="88")
    assert other.reference == "6001234500015:TILL-7:20261122092959:88"


def test_nobody_has_a_reference_all_the_same() -> None:
    assert REFERENCE.match(UNKNOWN.reference)


@given(messages, messages)
def test_references_differ_exactly_when_messages_do(one: MessageId, other: MessageId) -> None:
    assert REFERENCE.match(one.reference)
    assert (one.reference == other.reference) == (told_apart(one) == told_apart(other))
