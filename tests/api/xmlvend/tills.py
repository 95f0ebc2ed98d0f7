"""A till as the field has them: it writes SOAP by hand and reads what it is answered."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp

from tests.api.conftest import Served
from tests.xmlvend.schema import payload_faults

REVENUE = "http://www.nrs.eskom.co.za/xmlvend/revenue/2.1/schema"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"

STAMP = "20261122093015"

_numbers = count(1000)


def a_number() -> int:
    return next(_numbers)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, whose message is valid or it would not be here."""

    status: int
    headers: Any = field(repr=False)
    body: bytes

    @property
    def root(self) -> ET.Element:
        return ET.fromstring(self.body)

    def all(self, name: str) -> list[ET.Element]:
        return [one for one in self.root.iter() if one.tag.rpartition("}")[2] == name]

    def one(self, name: str) -> ET.Element:
        (found,) = self.all(name)
        return found

    def text(self, name: str) -> str:
        return self.one(name).text or ""

    @property
    def token(self) -> str:
        return self.text("stsCipher")

    @property
    def fault(self) -> tuple[str, str]:
        """The fault's type and our code."""
        kind = self.one("fault").attrib[f"{{{XSI}}}type"].rpartition(":")[2]
        return kind, self.text("faultCode")


@dataclass(slots=True)
class Till:
    """A till of a vendor, by the vendor's key."""

    api: Served
    key: str = field(repr=False)
    terminal: str = "TILL-7"

    async def send(
        self,
        body: bytes,
        *,
        query: str = "",
        auth: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Told:
        """Post bytes; `auth` is sent in place of the vendor's own."""
        given = self.basic() if auth is None else auth
        more = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""', **(headers or {})}
        async with self.api.session.post(
            f"{self.api.url}/xmlvend{query}", data=body, headers={**given, **more}
        ) as response:
            told = Told(response.status, response.headers, await response.read())
        assert payload_faults(told.body) == [], told.body
        return told

    def basic(self) -> dict[str, str]:
        return {"Authorization": aiohttp.encode_basic_auth("till", self.key)}

    async def ask(
        self, element: str, inner: str = "", *, number: int | str = "", **more: Any
    ) -> Told:
        body = self.message(element, inner, number=number)
        return await self.send(body, **more)

    def message(self, element: str, inner: str = "", **more: Any) -> bytes:
        return a_message(element, inner, terminal=self.terminal, **more)

    async def sell(self, meter: str, *, number: int | str = "", amount: str = "500.00") -> Told:
        return await self.ask("creditVendReq", purchase(meter, amount), number=number)

    async def advise(self, kind: str, original: int | str, *, soap: str = SOAP_11) -> Told:
        inner = f'<adviceReqMsgID dateTime="{STAMP}" uniqueNumber="{original}"/>'
        body = self.message("adviceReq", inner, kind=f"{kind}AdviceReq", soap=soap)
        return await self.send(body)


def a_message(
    element: str,
    inner: str = "",
    *,
    terminal: str = "TILL-7",
    number: int | str = "",
    soap: str = SOAP_11,
    credential: str = "",
    kind: str = "",
) -> bytes:
    """Return a request in its envelope, its number new unless it is given."""
    typed = f' xsi:type="{kind}"' if kind else ""
    return (
        f'<s:Envelope xmlns:s="{soap}" xmlns:xsi="{XSI}"><s:Body>'
        f'<{element} xmlns="{REVENUE}"{typed}>'
        f'<clientID ean="6001234500015"/><terminalID id="{terminal}"/>'
        f'<msgID dateTime="{STAMP}" uniqueNumber="{number or a_number()}"/>{credential}'
        f"{inner}</{element}></s:Body></s:Envelope>"
    ).encode()


def of_meter(meter: str) -> str:
    return f'<idMethod><meterIdentifier msno="{meter}"/></idMethod>'


def purchase(meter: str, amount: str = "500.00") -> str:
    return f'{of_meter(meter)}<purchaseValue><amt value="{amount}" symbol="KES"/></purchaseValue>'
