"""Bodies that are not what they seem: each limit of reading, and each refusal, is entered."""

import gzip
import zlib

import pytest

from vending.xmlvend.errors import Reason, XmlvendMalformed
from vending.xmlvend.tree import (
    ATTRIBUTES_MAX,
    BODY_BYTES_MAX,
    DEPTH_MAX,
    ELEMENTS_MAX,
    Element,
    read_tree,
)

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [
 <!ENTITY a "ha">
 <!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
 <!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
]>
<x>&c;</x>"""

FILE = b'<!DOCTYPE x [<!ENTITY passwd SYSTEM "file:///etc/passwd">]><x>&passwd;</x>'
REMOTE = b'<!DOCTYPE x SYSTEM "http://example.invalid/x.dtd"><x/>'
PARAMETER = b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://example.invalid/p"> %p;]><x/>'


def nested(depth: int) -> bytes:
    return b"<a>" * depth + b"</a>" * depth


def attributed(count: int) -> bytes:
    given = " ".join(f'a{number}="1"' for number in range(count))
    return f"<x {given}/>".encode()


def reason_of(body: bytes) -> Reason:
    with pytest.raises(XmlvendMalformed) as caught:
        read_tree(body)
    return caught.value.reason


@pytest.mark.parametrize("body", [BOMB, FILE, REMOTE, PARAMETER, b"<!DOCTYPE x><x/>"])
def test_a_document_type_declaration_is_refused_before_any_entity_exists(body: bytes) -> None:
    assert reason_of(body) is Reason.DTD


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_a_declaration_in_another_encoding_is_refused_too(codec: str) -> None:
    assert reason_of(FILE.decode().encode(codec)) is Reason.DTD


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY),
        (b" \r\n\t", Reason.EMPTY),
        (b"\xef\xbb\xbf", Reason.EMPTY),
        (b"hello", Reason.NOT_XML),
        (b"<x>", Reason.NOT_XML),
        (b"<x/><y/>", Reason.NOT_XML),
        (b"<x>&nbsp;</x>", Reason.NOT_XML),
        (b"<x>&#0;</x>", Reason.NOT_XML),
        (b"<x>\x00</x>", Reason.NOT_XML),
        (b"<a:x/>", Reason.NOT_XML),
        (b'<x a="1" a="2"/>', Reason.NOT_XML),
        (b"<!-- only words -->", Reason.NOT_XML),
        (b"<x>\xff</x>", Reason.ENCODING),
        (b'<?xml version="1.0" encoding="utf-7"?><x/>', Reason.ENCODING),
        (b'<?xml version="1.0" encoding="us-ascii"?><x>\xc3\xa9</x>', Reason.ENCODING),
        (b"\xff\xfe<\x00x", Reason.ENCODING),
        (b"\x00\x00\x00<", Reason.NOT_XML),
        (b"\x1f\x8bnot gzip at all", Reason.GZIP),
        (gzip.compress(b"<x/>", mtime=0)[:-4], Reason.GZIP),
        (gzip.compress(b"<x/>", mtime=0) + b"tail", Reason.GZIP),
        (gzip.compress(gzip.compress(b"<x/>", mtime=0), mtime=0), Reason.ENCODING),
    ],
)
def test_a_body_that_is_no_message_is_refused_for_what_it_is(body: bytes, reason: Reason) -> None:
    assert reason_of(body) is reason


def test_a_body_may_be_so_large_and_no_larger() -> None:
    filled = b"<x>" + b"a" * (BODY_BYTES_MAX - 7) + b"</x>"
    assert len(read_tree(filled).text) == BODY_BYTES_MAX - 7
    assert reason_of(filled + b" ") is Reason.TOO_LARGE


def test_what_gzip_holds_may_be_so_large_and_no_larger() -> None:
    filled = b"<x>" + b"a" * (BODY_BYTES_MAX - 7) + b"</x>"
    assert len(read_tree(gzip.compress(filled, mtime=0)).text) == BODY_BYTES_MAX - 7
    assert reason_of(gzip.compress(filled + b" ", mtime=0)) is Reason.TOO_LARGE


def test_a_gzip_bomb_is_unpacked_no_further_than_a_request_may_be() -> None:
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    million = b"\0" * 1_000_000
    bomb = b"".join(packing.compress(million) for _ in range(50)) + packing.flush()
    assert len(bomb) < BODY_BYTES_MAX
    assert reason_of(bomb) is Reason.TOO_LARGE


def test_elements_may_lie_so_deep_and_no_deeper() -> None:
    assert read_tree(nested(DEPTH_MAX)).name == "a"
    assert reason_of(nested(DEPTH_MAX + 1)) is Reason.TOO_DEEP
    assert reason_of(nested(BODY_BYTES_MAX // 7)) is Reason.TOO_DEEP


def test_elements_may_be_so_many_and_no_more() -> None:
    assert len(read_tree(b"<x>" + b"<a/>" * (ELEMENTS_MAX - 1) + b"</x>").children) == 399
    assert reason_of(b"<x>" + b"<a/>" * ELEMENTS_MAX + b"</x>") is Reason.TOO_MANY_ELEMENTS


def test_an_element_may_have_so_many_attributes_and_no_more() -> None:
    assert len(read_tree(attributed(ATTRIBUTES_MAX)).attributes) == ATTRIBUTES_MAX
    assert reason_of(attributed(ATTRIBUTES_MAX + 1)) is Reason.TOO_MANY_ATTRIBUTES


def test_a_type_is_resolved_by_the_prefixes_declared_where_it_stands() -> None:
    tree = read_tree(
        b'<x xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="Plain">'
        b'<y xmlns:q="urn:q" i:type=" q:Named "/></x>'
    )
    assert tree.kind == "Plain"
    assert tree.children[0].kind == "Named"


@pytest.mark.parametrize(
    "kind", [b"q:Named", b"q:", b"", b":", b"a b", b"a&#10;b", b"n" * 65, b"\xc3\xa9"]
)
def test_a_type_whose_prefix_is_declared_elsewhere_is_refused(kind: bytes) -> None:
    body = (
        b'<x xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><y xmlns:q="urn:q"/>'
        b'<z i:type="' + kind + b'"/></x>'
    )
    assert reason_of(body) is Reason.TYPE


def test_an_attribute_called_type_in_no_namespace_is_no_type() -> None:
    tree = read_tree(b'<x type="Plain"/>')
    assert tree.kind == ""
    assert tree.attributes == {"type": "Plain"}


def test_text_is_what_stands_around_the_children() -> None:
    tree = read_tree(b"<x> a<y>b</y><!-- c --><![CDATA[<d>]]><?pi e?> </x>")
    assert tree.text == "a<d>"
    child = tree.child("y")
    assert isinstance(child, Element)
    assert child.text == "b"
    assert tree.child("z") is None


def test_what_an_error_tells_of_a_strangers_names_is_short() -> None:
    with pytest.raises(XmlvendMalformed) as caught:
        read_tree(b"<" + b"x" * 10_000 + b"><" + b"y" * 10_000 + b">")
    assert len(str(caught.value)) < 300
