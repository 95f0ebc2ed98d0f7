"""Bytes of a request to a small tree of elements: every limit is met while reading, not after.

The parser is the standard library's expat, held by its own handlers: a document type declaration
is refused where it begins, so no entity can be declared, and depth, elements and attributes are
counted as they come. (A library that builds its tree first can only be asked afterwards.) The body
is given to it whole, so that no unfinished name is scanned twice. Text is decoded here, strictly,
and expat is given characters: what an XML declaration says about the encoding is then only a claim
to be checked against the bytes. (.NET clients that print XML into a string say "utf-16" and send
UTF-8.)
"""

import codecs
import re
import zlib
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from vending.xmlvend.errors import Reason, XmlvendMalformed

BODY_BYTES_MAX: Final = 65_536
"""Bytes of a request, unpacked. The longest known is 3 KB; ten times that in UTF-16 is 60 KB."""

DEPTH_MAX: Final = 24
"""Elements within each other. The deepest request has nine with its envelope; headers have more."""

ELEMENTS_MAX: Final = 400
"""Elements of a request. The richest known has under 30; WS-Security headers add about 100."""

ATTRIBUTES_MAX: Final = 32
"""Attributes of one element. The most known is ten, on a customer's details."""

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

_SEPARATOR: Final = "\x1f"
"""Between namespace and name in what expat tells; no XML text can hold it."""

_NAME_TOLD: Final = 40
_NAMES_TOLD: Final = 4
"""What an error tells of where it was: names are the sender's own and may be anything."""

_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
_DECLARED: Final = re.compile(rb"\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})")

_LOCAL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
"""The name of a type: ours are all of these, and others are repeated in answers and logs."""

_CODECS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "iso-8859-1": "latin-1",
    "windows-1252": "cp1252",
    # Bytes with an ASCII declaration cannot be UTF-16, whatever it says.
    "utf-16": "utf-8",
    "unicode": "utf-8",
}
"""The encodings an eight-bit document may declare, and what its bytes are then."""


@dataclass(slots=True)
class Element:
    """One element: names without their namespaces' prefixes, attributes without namespaces.

    `kind` is the local name of its xsi:type, "" where it has none. `text` is all of its own text,
    without spaces around. An attribute in a namespace is not kept: the standard has none.
    """

    name: str
    namespace: str
    kind: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def child(self, name: str) -> "Element | None":
        """Return the first child of this name, in whatever namespace, or None."""
        for one in self.children:
            if one.name == name:
                return one
        return None


def read_tree(body: bytes) -> Element:
    """Return the root element of a request's body, gzipped or not.

    Raises XmlvendMalformed, and nothing else, for whatever bytes.
    """
    text = _decoded(_unpacked(body))
    growth = _Growth()
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = growth.refuse_doctype
    parser.StartNamespaceDeclHandler = growth.open_prefix
    parser.EndNamespaceDeclHandler = growth.close_prefix
    parser.StartElementHandler = growth.open
    parser.EndElementHandler = growth.close
    parser.CharacterDataHandler = growth.write
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise XmlvendMalformed(reason=Reason.NOT_XML, at=growth.path()) from error
    return growth.document.children[0]  # well-formed XML has exactly one


def _unpacked(body: bytes) -> bytes:
    if len(body) > BODY_BYTES_MAX:
        raise XmlvendMalformed(reason=Reason.TOO_LARGE, at="")
    if not body.startswith(_GZIP):
        return body
    unpacking = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = unpacking.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise XmlvendMalformed(reason=Reason.GZIP, at="") from error
    if len(plain) > BODY_BYTES_MAX:
        raise XmlvendMalformed(reason=Reason.TOO_LARGE, at="")
    if not unpacking.eof or unpacking.unused_data:
        raise XmlvendMalformed(reason=Reason.GZIP, at="")
    return plain


def _decoded(plain: bytes) -> str:
    try:
        text = str(plain, _codec_of(plain), "strict").lstrip()
    except UnicodeDecodeError as error:
        raise XmlvendMalformed(reason=Reason.ENCODING, at="") from error
    if not text:
        raise XmlvendMalformed(reason=Reason.EMPTY, at="")
    return text


def _codec_of(plain: bytes) -> str:
    """Return how the bytes are to be read: by their first ones, then by what they declare."""
    if plain.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if plain.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if plain.startswith(b"<\0"):
        return "utf-16-le"
    if plain.startswith(b"\0<"):
        return "utf-16-be"
    declared = _DECLARED.match(plain)
    if declared is None:
        return "utf-8"
    codec = _CODECS.get(declared[1].decode("ascii").lower())
    if codec is None:
        raise XmlvendMalformed(reason=Reason.ENCODING, at="")
    return codec


class _Growth:
    """A tree while it is read, and the counts that bound it."""

    def __init__(self) -> None:
        self.document = Element(name="", namespace="", kind="", attributes={})
        self._open: list[Element] = [self.document]
        self._texts: list[list[str]] = []
        self._elements = 0
        self._prefixes: dict[str, list[str]] = {}

    def path(self) -> str:
        """Return where reading stands: the last few elements, cut to what a log line stands."""
        return "/".join(element.name[:_NAME_TOLD] for element in self._open[1:][-_NAMES_TOLD:])

    def refuse_doctype(self, *_declaration: object) -> None:
        raise XmlvendMalformed(reason=Reason.DTD, at="")

    def open_prefix(self, prefix: str | None, uri: str | None) -> None:
        self._prefixes.setdefault(prefix or "", []).append(uri or "")

    def close_prefix(self, prefix: str | None) -> None:
        self._prefixes[prefix or ""].pop()

    def open(self, tag: str, given: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > ELEMENTS_MAX:
            raise XmlvendMalformed(reason=Reason.TOO_MANY_ELEMENTS, at=self.path())
        if len(self._open) > DEPTH_MAX:
            raise XmlvendMalformed(reason=Reason.TOO_DEEP, at=self.path())
        namespace, _, name = tag.rpartition(_SEPARATOR)
        if len(given) > ATTRIBUTES_MAX:
            raise XmlvendMalformed(reason=Reason.TOO_MANY_ATTRIBUTES, at=self.path())
        kind = given.get(f"{XSI}{_SEPARATOR}type")
        element = Element(
            name=name,
            namespace=namespace,
            kind="" if kind is None else self._local(kind.strip()),
            attributes={key: value for key, value in given.items() if _SEPARATOR not in key},
        )
        self._open[-1].children.append(element)
        self._open.append(element)
        self._texts.append([])

    def close(self, _tag: str) -> None:
        self._open.pop().text = "".join(self._texts.pop()).strip()

    def write(self, text: str) -> None:
        self._texts[-1].append(text)

    def _local(self, kind: str) -> str:
        """Return the local name of a qualified one; its prefix must be declared here."""
        prefix, colon, name = kind.rpartition(":")
        if not _LOCAL_NAME.match(name) or (colon and not self._prefixes.get(prefix)):
            raise XmlvendMalformed(reason=Reason.TYPE, at=self.path())
        return name
