"""Delivery reports of the SMS carrier: what became of a message it had accepted.

Africa's Talking posts a form and signs nothing: the address and the secret path authenticate it.
A report may be repeated, late or for a message we never sent; each gets the same 200, because the
carrier can do nothing with another answer.
"""

from typing import Final

from aiohttp import web

from vending import metrics
from vending.api import forms
from vending.api.admission import Admission, RequestClass
from vending.api.calls import call_of
from vending.api.doors import Doors
from vending.api.problems import RequestMalformed
from vending.api.sources import Networks, require_secret, require_source
from vending.outbox import delivery

REPORT_PATH: Final = "/sms/{secret}/report"

_ID_LETTERS_MAX = 200
_WORD_LETTERS_MAX = 100

_DELIVERED = frozenset({"success"})
_FAILED = frozenset({"failed", "rejected"})
_UNDERWAY = frozenset({"sent", "submitted", "buffered"})


def routes(doors: Doors, gate: Admission) -> list[web.RouteDef]:
    """Return the route of delivery reports."""
    return [web.post(REPORT_PATH, Reports(doors, gate).receive)]


class Reports:
    """Takes delivery reports."""

    def __init__(self, doors: Doors, gate: Admission) -> None:
        self._doors = doors
        self._gate = gate
        self._allowed = Networks(
            doors.config.sms.callback_addresses, setting="sms.callback_addresses"
        )
        self._proxies = Networks(
            doors.config.server.trusted_proxies, setting="server.trusted_proxies"
        )

    async def receive(self, request: web.Request) -> web.Response:
        """Write down a final report; acknowledge every other one unread."""
        require_source(call_of(request), allowed=self._allowed, proxies=self._proxies)
        require_secret(
            request.match_info["secret"], expected=self._doors.config.sms.callback_secret
        )
        with self._gate.look_up(RequestClass.LOOK_UP):
            return await self._received(request)

    async def _received(self, request: web.Request) -> web.Response:
        form = await forms.read_form(request)
        gateway_id = forms.member(form, "id", letters_max=_ID_LETTERS_MAX)
        if not gateway_id:
            raise RequestMalformed(fault="id is missing")
        status = forms.member(form, "status", letters_max=_WORD_LETTERS_MAX).lower()
        metrics.delivery_reports.labels(await self._take(form, gateway_id, status)).inc()
        return web.Response(text="")

    async def _take(self, form: dict[str, str], gateway_id: str, status: str) -> str:
        """Return what the report counts as."""
        if status in _UNDERWAY:
            return "underway"
        if status not in _DELIVERED | _FAILED:
            return "not_understood"
        reason = forms.member(form, "failureReason", letters_max=_WORD_LETTERS_MAX)
        # The one write on the readers' connections: it is not money, and the carrier may repeat it.
        known = await delivery.report(
            self._doors.readers,
            gateway_id,
            delivered=status in _DELIVERED,
            failure=reason or None,
            now=self._doors.clock(),
        )
        if not known:
            return "unknown_message"
        return "delivered" if status in _DELIVERED else "failed"
