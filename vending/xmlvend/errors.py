"""What may be wrong with an XMLVend message before anyone asks whether it can be done."""

from enum import StrEnum

from vending.errors import Rejected
from vending.xmlvend.identity import Caller, Soap


class Reason(StrEnum):
    """Why a message cannot be read; the closed list of `XmlvendMalformed.reason`."""

    EMPTY = "empty"
    """There is no body."""

    TOO_LARGE = "too_large"
    """The body, or what its gzip holds, is larger than a request may be."""

    GZIP = "gzip"
    """The body begins as gzip and is not one whole gzip member."""

    ENCODING = "encoding"
    """The bytes are not in the encoding they declare, or it is none that is read here."""

    NOT_XML = "not_xml"
    """The text is not well-formed XML 1.0 with namespaces."""

    DTD = "dtd"
    """There is a document type declaration; no message needs one."""

    TOO_DEEP = "too_deep"
    TOO_MANY_ELEMENTS = "too_many_elements"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"

    ENVELOPE = "envelope"
    """The SOAP envelope has no body with exactly one request in it."""

    MISSING = "missing"
    """An element or attribute that the use case cannot do without is not there."""

    TYPE = "type"
    """An element's xsi:type is none that may stand there, or its prefix is not declared."""

    VALUE = "value"
    """A value does not have the form its place asks for."""

    TOO_LONG = "too_long"
    """A value is longer than any honest one."""

    CURRENCY = "currency"
    """The amount is in another currency than the utility's."""

    DECIMALS = "decimals"
    """The amount has a fraction that the currency, or energy in watt-hours, does not have."""


class XmlvendMalformed(Rejected):
    """The XMLVend message cannot be read.

    `reason` names the rule it breaks (docs/reference/xmlvend.md lists them), `at` the element.
    Nothing has happened: correct the client.
    """

    code = "xmlvend_malformed"

    def __init__(self, *, reason: Reason, at: str) -> None:
        super().__init__(reason=reason.value, at=at)
        self.reason = reason
        self.at = at
        self.caller: Caller | None = None
        """Whom to answer, once that much of the message was read."""
        self.soap: Soap | None = None
        """How to wrap the answer, once that much was read."""


class UseCaseUnsupported(Rejected):
    """This use case of XMLVend is not offered here.

    `use_case` is the request's name. docs/reference/xmlvend.md lists what is offered.
    """

    code = "use_case_unsupported"

    def __init__(self, *, use_case: str, caller: Caller | None, soap: Soap | None = None) -> None:
        super().__init__(use_case=use_case)
        self.soap = soap if caller is None else caller.soap
        self.caller = caller
        """Whom to answer; nobody knows when the request has no readable head."""
