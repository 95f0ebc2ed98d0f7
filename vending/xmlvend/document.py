"""Elements to bytes: well-formed, in the right namespaces, the same bytes for the same answer.

Clients in the field read answers by namespace, by local name, or by the very spelling their first
server had. So there are two spellings of one document: DEFAULTED re-declares the default namespace
where it changes, as .NET servers print; PREFIXED declares ns2, ns3 and ns4 once, as Java servers
do. Both say the same to whoever reads XML.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from vending.values import Value
from vending.xmlvend.identity import Soap

BASE: Final = "http://www.nrs.eskom.co.za/xmlvend/base/2.1/schema"
REVENUE: Final = "http://www.nrs.eskom.co.za/xmlvend/revenue/2.1/schema"
METER: Final = "http://www.nrs.eskom.co.za/xmlvend/meter/2.1/schema"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

NAMESPACES: Final = {"b": BASE, "r": REVENUE, "m": METER}
"""The prefixes that nodes are written with in the code."""

SOAP_NAMESPACES: Final = {
    Soap.V11: "http://schemas.xmlsoap.org/soap/envelope/",
    Soap.V12: "http://www.w3.org/2003/05/soap-envelope",
}

_JAVA_PREFIXES: Final = {"b": "ns2", "r": "ns3", "m": "ns4"}
_DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>\n'

_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold at all (production 2, Char)."""

_IN_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_IN_ATTRIBUTE: Final = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


class Spelling(StrEnum):
    """How namespaces are written."""

    DEFAULTED = "defaulted"
    PREFIXED = "prefixed"


class Node(Value, frozen=True, kw_only=True):
    """An element to be written. `name` and `kind` (its xsi:type, or "") have a prefix: "b:amt"."""

    hidden = frozenset({"attributes", "children", "text"})

    name: str
    kind: str
    attributes: dict[str, str]
    children: tuple["Node", ...]
    text: str


def node(
    name: str, *children: Node | None, kind: str = "", text: str = "", **attributes: str
) -> Node:
    """Return an element; children that are None and attributes that are empty are left out."""
    return Node(
        name=name,
        kind=kind,
        attributes={key: value for key, value in attributes.items() if value},
        children=tuple(child for child in children if child is not None),
        text=text,
    )


def optional(name: str, text: str) -> Node | None:
    """Return an element with a text, or None where the text is empty."""
    return node(name, text=text) if text else None


def document(root: Node, *, soap: Soap, spelling: Spelling) -> bytes:
    """Return a whole message with `root` as its body."""
    inner = "".join(_spelled(root, spelling))
    return (_DECLARATION + _enveloped(inner, soap)).encode()


def fault_document(
    detail: Node, *, reason: str, ours: bool, soap: Soap, spelling: Spelling
) -> bytes:
    """Return a whole SOAP fault; `ours` where the server is at fault and not the sender."""
    inner = "".join(_spelled(detail, spelling))
    told = _text(reason)
    if soap is Soap.V11:
        code = "Server" if ours else "Client"
        inner = (
            f"<soap:Fault><faultcode>soap:{code}</faultcode><faultstring>{told}</faultstring>"
            f"<detail>{inner}</detail></soap:Fault>"
        )
    elif soap is Soap.V12:
        code = "Receiver" if ours else "Sender"
        inner = (
            f"<soap:Fault><soap:Code><soap:Value>soap:{code}</soap:Value></soap:Code>"
            f'<soap:Reason><soap:Text xml:lang="en">{told}</soap:Text></soap:Reason>'
            f"<soap:Detail>{inner}</soap:Detail></soap:Fault>"
        )
    return (_DECLARATION + _enveloped(inner, soap)).encode()


def _enveloped(inner: str, soap: Soap) -> str:
    if soap is Soap.BARE:
        return inner
    namespace = SOAP_NAMESPACES[soap]
    return f'<soap:Envelope xmlns:soap="{namespace}"><soap:Body>{inner}</soap:Body></soap:Envelope>'


def _spelled(root: Node, spelling: Spelling) -> Iterator[str]:
    declared = f' xmlns:xsi="{XSI}"'
    if spelling is Spelling.PREFIXED:
        declared += "".join(
            f' xmlns:{_JAVA_PREFIXES[prefix]}="{uri}"' for prefix, uri in NAMESPACES.items()
        )
        return _prefixed(root, declared)
    return _defaulted(root, "", declared)


def _prefixed(element: Node, declared: str) -> Iterator[str]:
    name = _java(element.name)
    attributes = f' xsi:type="{_java(element.kind)}"' if element.kind else ""
    attributes += "".join(_attributes(element))
    if not element.children and not element.text:
        yield f"<{name}{declared}{attributes}/>"
        return
    yield f"<{name}{declared}{attributes}>{_text(element.text)}"
    for child in element.children:
        yield from _prefixed(child, "")
    yield f"</{name}>"


def _java(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{_JAVA_PREFIXES[prefix]}:{local}"


def _defaulted(element: Node, outer: str, declared: str) -> Iterator[str]:
    prefix, _, name = element.name.partition(":")
    if prefix != outer:
        declared += f' xmlns="{NAMESPACES[prefix]}"'
    attributes = ""
    if element.kind:
        of, _, local = element.kind.partition(":")
        if of == prefix:
            attributes = f' xsi:type="{local}"'
        else:
            declared += f' xmlns:{of}="{NAMESPACES[of]}"'
            attributes = f' xsi:type="{element.kind}"'
    attributes += "".join(_attributes(element))
    if not element.children and not element.text:
        yield f"<{name}{declared}{attributes}/>"
        return
    yield f"<{name}{declared}{attributes}>{_text(element.text)}"
    for child in element.children:
        yield from _defaulted(child, prefix, "")
    yield f"</{name}>"


def _attributes(element: Node) -> Iterator[str]:
    for name, value in element.attributes.items():
        clean = _UNPRINTABLE.sub("\ufffd", value).translate(_IN_ATTRIBUTE)
        yield f' {name}="{clean}"'


def _text(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text).translate(_IN_TEXT)
