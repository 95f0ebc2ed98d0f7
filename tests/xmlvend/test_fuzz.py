"""Bytes nobody composed: whatever comes, it is read or refused in a documented way."""

import gzip
import random
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xmlvend.answers import AT, SERVER, SHILLINGS
from tests.xmlvend.schema import payload_faults
from tests.xmlvend.test_reading import REQUESTS
from vending.xmlvend import read_request, write_fault
from vending.xmlvend.answers import RefusedAnswer, head_of
from vending.xmlvend.errors import UseCaseUnsupported, XmlvendMalformed
from vending.xmlvend.faults import fault
from vending.xmlvend.identity import Soap
from vending.xmlvend.tree import BODY_BYTES_MAX

BODIES = list(REQUESTS.values())
ROUNDS = 4_000
MEMORY_MAX = 8 * 1024 * 1024
"""What reading one body may take at its worst: 64 KiB as objects, some hundred bytes each."""

ODD = (
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"&#x0;", b"&#xFFFFFFFF;", b"]]>", b"<![CDATA[",
    b"<!--", b"<?xml version='1.1'?>", b'xmlns="', b'xmlns:xsi=""', b'xsi:type="', b"\x00",
    b"\xff\xfe", b"\xef\xbb\xbf", b"9" * 400, b"\xc3\x28", b"<a>" * 30, b'a="1" ' * 40, b"-", b"e9",
    b'encoding="utf-16"', b'encoding="utf-7"', b"\x1f\x8b\x08", b":", b"&amp;" * 50,
)  # fmt: skip


def settle(body: bytes, *, judged: bool = False) -> str:
    """Read a body and answer its refusal; anything but the documented outcomes is an exception.

    `judged` holds the answer to the schema as well, which takes most of the time.
    """
    try:
        incoming = read_request(body, currency=SHILLINGS)
    except (XmlvendMalformed, UseCaseUnsupported) as error:
        caller = error.caller
        soap = Soap.V11 if caller is None else caller.soap
        refused = RefusedAnswer(head=head_of(caller, server=SERVER, at=AT), fault=fault(error.code))
        sent = write_fault(refused, soap=soap).body
        assert not judged or payload_faults(sent) == []
        return error.code
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", incoming.caller.message_id.reference)
    return "read"


def mutated(body: bytes, chance: random.Random) -> bytes:
    """Return a body with one to four things wrong with it."""
    for _ in range(chance.randint(1, 4)):
        at, to = sorted(chance.choices(range(len(body) + 1), k=2))
        to = min(to, at + chance.choice((1, 8, 64)))
        match chance.randrange(6):
            case 0:
                body = body[:at] + body[to:]
            case 1:
                body = body[:at] + chance.choice(ODD) + body[to:]
            case 2:
                body = body[:at] + body[at:to] * chance.choice((2, 9, 60)) + body[to:]
            case 3:
                other = chance.choice(BODIES)
                body = body[:at] + other[at:to] + body[to:]
            case 4:
                body = body[:at] + chance.randbytes(chance.randint(1, 6)) + body[to:]
            case _:
                words = re.findall(rb'"[^"]*"|[\w:]+', body)
                old, new = chance.choices(words or [b"x"], k=2)
                body = body.replace(old, new, chance.choice((1, -1)))
    return gzip.compress(body, mtime=0) if chance.random() < 0.05 else body


def test_golden_requests_with_things_wrong_are_read_or_refused() -> None:
    chance = random.Random(20261122)
    outcomes = {
        settle(mutated(chance.choice(BODIES), chance), judged=number % 20 == 0)
        for number in range(ROUNDS)
    }
    assert outcomes == {"read", "xmlvend_malformed", "use_case_unsupported"}


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(body: bytes) -> None:
    settle(body)


@given(st.sampled_from(sorted(REQUESTS)), st.data())
def test_any_value_in_any_place_is_refused_or_read(name: str, data: st.DataObject) -> None:
    text = REQUESTS[name].decode()
    places = list(re.finditer(r'="([^"]*)"|>([^<>]+)<', text))
    place = data.draw(st.sampled_from(places))
    group = 1 if place[1] is not None else 2
    value = data.draw(st.text(st.characters(exclude_characters='<&"', exclude_categories=["Cs"])))
    settle((text[: place.start(group)] + value + text[place.end(group) :]).encode())


def filled(before: bytes, again: bytes, after: bytes = b"") -> bytes:
    """Return as much of the same thing as a body can hold."""
    room = BODY_BYTES_MAX - len(before) - len(after)
    return before + again * (room // len(again)) + after


SPITE = {
    "depth": filled(b"", b"<a>"),
    "elements": filled(b"<x>", b"<a/>", b"</x>"),
    "attributes": b"<x " + b" ".join(b'a%d="1"' % number for number in range(6_000)) + b"/>",
    "one attribute": filled(b'<x a="', b"a", b'"/>'),
    "namespaces": b"<x " + b" ".join(b'xmlns:a%d="u"' % n for n in range(3_500)) + b"/>",
    "references": filled(b"<x>", b"&amp;", b"</x>"),
    "comments": filled(b"<x>", b"<!---->", b"</x>"),
    "instructions": filled(b"<x>", b"<?a?>", b"</x>"),
    "sections": filled(b"<x>", b"<![CDATA[]]>", b"</x>"),
    "a name": filled(b"<", b"a", b"/>"),
    "an open tag": filled(b"<a ", b"b"),
    "an open comment": filled(b"<!--", b"-"),
    "entities": filled(b"<!DOCTYPE x [", b'<!ENTITY a "&b;&b;">'),
    "gzip of noughts": gzip.compress(bytes(10_000_000), mtime=0),
    "prefixes again": filled(b"", b'<a xmlns:b="c">'),
}


@pytest.mark.parametrize("name", SPITE)
def test_a_spiteful_body_costs_little_memory(name: str) -> None:
    body = SPITE[name]
    assert len(body) <= BODY_BYTES_MAX
    tracemalloc.start()
    try:
        settle(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_MAX
