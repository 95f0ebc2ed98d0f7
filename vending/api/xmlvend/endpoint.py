"""The order of a message: read it, learn who sent it, how often, for what; then answer it.

It is read first, unlike at /v1, because the sender may stand in it, and because a refusal is
written as the message was: that costs at most the parsing of `BODY_BYTES_MAX`. Whatever refuses it
on the way, the answer is a fault of XMLVend.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from vending import metrics
from vending.api import admission, problems
from vending.api.admission import Admission, RequestClass
from vending.api.doors import Doors
from vending.api.v1.callers import REALM, CredentialMissing, SandboxOnly
from vending.api.v1.errand import Carried
from vending.api.v1.problems import TRACE, shape_of
from vending.api.v1.quotas import Headers
from vending.api.v1.reception import Reception
from vending.api.v1.shapes import Retry
from vending.api.xmlvend import errands
from vending.api.xmlvend.callers import TillCallers
from vending.api.xmlvend.errands import currency
from vending.api.xmlvend.offers import Offer, name_of, offer_of
from vending.api.xmlvend.refusals import fault_of
from vending.api.xmlvend.visit import SERVER
from vending.errors import VendingError
from vending.vendors.register import Caller, Register
from vending.xmlvend import read_request, write_fault
from vending.xmlvend.answers import RefusedAnswer, head_of
from vending.xmlvend.document import Spelling
from vending.xmlvend.errors import UseCaseUnsupported, XmlvendMalformed
from vending.xmlvend.identity import Caller as Sender
from vending.xmlvend.identity import Soap
from vending.xmlvend.requests import Incoming
from vending.xmlvend.writing import CONTENT_TYPES

PATH: Final = "/xmlvend"

UNREAD: Final = "xmlvend"
"""What a message that could not be read is counted as; the others have their request behind it."""

SPELLING: Final = "spelling"
"""The parameter of the address that chooses how answers are written."""

ENCODINGS: Final = frozenset({"identity", "gzip", "x-gzip"})
"""What a body may be announced as; whether it is gzipped is seen by its first bytes."""

_SOAP_12: Final = "application/soap+xml"


@dataclass(slots=True)
class _Heard:
    """What is known of a message so far, to answer it by."""

    spelling: Spelling
    soap: Soap
    sender: Sender | None = None
    name: str = UNREAD
    limits: Headers = ()


class Endpoint:
    """Receives the messages of tills, beside the reception of /v1 and by its rules."""

    def __init__(
        self, doors: Doors, gate: Admission, register: Register, reception: Reception
    ) -> None:
        self._doors = doors
        self._gate = gate
        self._reception = reception
        self._callers = TillCallers(reception.callers, register, doors.clock)
        self._currency = currency(doors.config.utility)

    async def receive(self, request: web.Request) -> web.Response:
        """Answer a message, or say in a fault why not."""
        heard = _Heard(spelling=_spelling(request), soap=_wrapping(request))
        with metrics.vendor_seconds.time() as timer:
            try:
                carried = await self._carried(request, heard)
            except web.HTTPException:
                raise
            except Exception as fault:
                if problems.nobody_waits(request, fault):
                    raise
                return self._refused(problems.error_of(fault), heard)
            finally:
                timer.labels(heard.name)
        headers = {
            hdrs.CONTENT_TYPE: CONTENT_TYPES[heard.soap],
            hdrs.CACHE_CONTROL: "no-store",
            **dict(heard.limits),
        }
        return web.Response(status=carried.status, body=carried.body, headers=headers)

    async def _carried(self, request: web.Request, heard: _Heard) -> Carried:
        body = await admission.read_body(request, encodings=ENCODINGS)
        incoming = self._understood(body, heard)
        caller = self._callers.known(request, incoming.caller.credential)
        now = self._doors.clock()
        quotas = self._reception.quotas
        try:
            quotas.take(caller.quota, now=now)
        finally:
            heard.limits = quotas.headers(caller.quota, now=now)
        offer = offer_of(incoming.request)
        if offer is None:
            raise UseCaseUnsupported(use_case=name_of(incoming.request), caller=incoming.caller)
        caller.require(offer.scope)
        if caller.sandbox:
            raise SandboxOnly
        with self._admitted(offer, caller):
            await self._reception.believe(caller, request, body, now=now)
            if offer.writes and self._doors.errands is not None:
                told = errands.errand(offer, caller, body, heard.spelling)
                return await self._doors.errands(told)
            return await errands.answered(
                self._reception.teller, offer, caller, incoming, spelling=heard.spelling
            )

    def _understood(self, body: bytes, heard: _Heard) -> Incoming:
        """Return a message, and keep what its answer is addressed by."""
        try:
            incoming = read_request(body, currency=self._currency)
        except (XmlvendMalformed, UseCaseUnsupported) as fault:
            heard.sender, heard.soap = fault.caller, fault.soap or heard.soap
            raise
        heard.sender, heard.soap = incoming.caller, incoming.caller.soap
        heard.name = f"{UNREAD}{name_of(incoming.request)}"
        return incoming

    def _admitted(self, offer: Offer, caller: Caller) -> AbstractContextManager[None]:
        """Let a message in, or raise Overloaded or ShareExceeded."""
        if not offer.sells:
            urgent = RequestClass.INTERACTIVE if offer.writes else RequestClass.LOOK_UP
            return self._gate.look_up(urgent)
        self._gate.sale(caller.vendor_id)
        return nullcontext()

    def _refused(self, error: VendingError, heard: _Heard) -> web.Response:
        """Return the fault of an error, and write its one log line."""
        shape = shape_of(type(error))
        trace_id, _ = problems.noted(error, status=shape.status, route=PATH)
        head = head_of(heard.sender, server=SERVER, at=self._doors.clock())
        written = write_fault(
            RefusedAnswer(head=head, fault=fault_of(error)),
            soap=heard.soap,
            spelling=heard.spelling,
        )
        headers = {
            hdrs.CONTENT_TYPE: written.content_type,
            hdrs.CACHE_CONTROL: "no-store",
            TRACE: trace_id,
            **dict(heard.limits),
        }
        status = written.status
        if shape.retry is not Retry.NEVER:
            after = error.facts.get("retry_after_seconds", problems.RETRY_AFTER_SECONDS)
            headers[hdrs.RETRY_AFTER] = str(after)
        if isinstance(error, CredentialMissing):
            # Some clients send what they have only when they are asked for it.
            status = HTTPStatus.UNAUTHORIZED
            headers[hdrs.WWW_AUTHENTICATE] = f'Basic realm="{REALM}"'
        return web.Response(status=status, body=written.body, headers=headers)


def _spelling(request: web.Request) -> Spelling:
    prefixed = request.query.get(SPELLING) == Spelling.PREFIXED
    return Spelling.PREFIXED if prefixed else Spelling.DEFAULTED


def _wrapping(request: web.Request) -> Soap:
    """Return how a message is wrapped by what its header says, until it has been read."""
    return Soap.V12 if request.content_type == _SOAP_12 else Soap.V11
