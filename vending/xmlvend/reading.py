"""Bytes to a request: the one way in for a message of XMLVend 2.1.

Tolerant, as the clients in the field are not of one mind: elements are found by their local names
in whatever namespace and order, what is unknown is passed over, `xsi:type` is resolved where it is
there and inferred where it is not, the SOAPAction is nobody's business and SOAP headers are not
read. What a sale cannot do without is required, and its values are read exactly or refused.
"""

from collections.abc import Callable
from typing import Final

from vending.xmlvend import requests as ask
from vending.xmlvend.amounts import Currency, energy_of, power_of
from vending.xmlvend.errors import Reason, UseCaseUnsupported, XmlvendMalformed
from vending.xmlvend.identity import Caller, Soap
from vending.xmlvend.parts import (
    amount_of,
    attribute,
    caller_of,
    child_of,
    identity_of,
    key_of,
    message_name,
    meter_of,
    needed_attribute,
    sequence_of,
    tender_of,
    text_of,
)
from vending.xmlvend.tree import Element, read_tree

_ENVELOPES: Final = {
    "http://schemas.xmlsoap.org/soap/envelope/": Soap.V11,
    "http://www.w3.org/2003/05/soap-envelope": Soap.V12,
}

_ELECTRICITY: Final = "Electricity"
_USE_CASE_TOLD: Final = 64
"""Characters of an unknown request's name that an answer and a log line repeat."""

_Reading = Callable[[Element, Caller, Currency], ask.Request]


def read_request(body: bytes, *, currency: Currency) -> ask.Incoming:
    """Return the message that a body holds.

    Raises XmlvendMalformed or UseCaseUnsupported, and nothing else, for whatever bytes. Either has
    `caller` where the head could be read, so that the fault can be addressed to the message it is
    about, and `soap` where the envelope could.
    """
    soap, request = _unwrapped(read_tree(body))
    caller: Caller | None = None
    try:
        caller = caller_of(request, soap)
        read = _reading_of(request, caller)
        return ask.Incoming(caller=caller, request=read(request, caller, currency))
    except XmlvendMalformed as error:
        error.caller, error.soap = caller, soap
        if caller is None and _lookup(request) is None:
            # Neither a known use case nor a known head: the more telling of the two.
            raise UseCaseUnsupported(use_case=_name_of(request), caller=None, soap=soap) from error
        raise


def _unwrapped(root: Element) -> tuple[Soap, Element]:
    if root.name != "Envelope":
        return Soap.BARE, root
    soap = _ENVELOPES.get(root.namespace)
    body = root.child("Body")
    if soap is None or body is None or len(body.children) != 1:
        fault = XmlvendMalformed(reason=Reason.ENVELOPE, at=root.name[:_USE_CASE_TOLD])
        fault.soap = soap
        raise fault
    return soap, body.children[0]


def _reading_of(request: Element, caller: Caller) -> _Reading:
    found = _lookup(request)
    if found is None and not request.kind and request.name in _ABSTRACT:
        raise XmlvendMalformed(reason=Reason.TYPE, at=request.name)
    if found is None:
        raise UseCaseUnsupported(use_case=_name_of(request), caller=caller)
    return found


def _lookup(request: Element) -> _Reading | None:
    """Return the reading of a request by its type, else by its name; case is the clients' own."""
    return _READINGS.get(request.kind.casefold()) or _READINGS.get(request.name.casefold())


def _name_of(request: Element) -> str:
    return (request.kind or request.name)[:_USE_CASE_TOLD]


def _login(_request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
    return ask.Login()


def _confirm_customer(request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
    return ask.ConfirmCustomer(identity=identity_of(request))


def _confirm_meter(request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
    return ask.ConfirmMeter(meter=meter_of(child_of(request, "idMethod")))


def _credit_vend(*, trial: bool) -> _Reading:
    def read(request: Element, caller: Caller, currency: Currency) -> ask.Request:
        _require_electricity(request, caller)
        value = child_of(request, "purchaseValue")
        units = value.child("units")
        if units is not None and value.child("amt") is not None:
            raise XmlvendMalformed(reason=Reason.VALUE, at=value.name)
        return ask.CreditVend(
            trial=trial,
            meter=meter_of(child_of(request, "idMethod")),
            amount_minor=amount_of(value, "amt", currency) if units is None else None,
            energy_wh=None if units is None else _energy(units),
            tender=tender_of(request, currency),
        )

    return read


def _energy(units: Element) -> int:
    value, unit = needed_attribute(units, "value"), attribute(units, "siUnit")
    return energy_of(value, unit, at=units.name)


def _free_vend(kind: ask.FreeKind) -> _Reading:
    def read(request: Element, caller: Caller, _currency: Currency) -> ask.Request:
        _require_electricity(request, caller)
        return ask.FreeVend(kind=kind, meter=meter_of(child_of(request, "idMethod")))

    return read


def _require_electricity(request: Element, caller: Caller) -> None:
    """Refuse other resources; a request that names none means the only one there is."""
    resource = request.child("resource")
    if resource is not None and resource.kind not in ("", _ELECTRICITY):
        use_case = f"{_name_of(request)}/{resource.kind}"[:_USE_CASE_TOLD]
        raise UseCaseUnsupported(use_case=use_case, caller=caller)


def _pay_account(request: Element, _caller: Caller, currency: Currency) -> ask.Request:
    account = child_of(request, "payAccount")
    try:
        kind = ask.AccountKind(account.kind or ask.AccountKind.PLAIN)
    except ValueError:
        # The standard invites vendors to extend this type; what they mean is the server's to find.
        kind = ask.AccountKind.PLAIN
    return ask.PayAccount(
        kind=kind,
        amount_minor=amount_of(request, "reqAmt", currency),
        identity=identity_of(account),
        description=text_of(account, "desc"),
        tender=tender_of(request, currency),
    )


def _update_meter_key(request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
    return ask.UpdateMeterKey(meter=meter_of(child_of(request, "idMethod")))


def _engineering(kind: ask.EngineeringKind) -> _Reading:
    powered = (ask.EngineeringKind.SET_POWER_LIMIT, ask.EngineeringKind.SET_PHASE_UNBALANCE)

    def read(request: Element, caller: Caller, _currency: Currency) -> ask.Request:
        _require_electricity(request, caller)
        keys = child_of(request, "kctData") if kind is ask.EngineeringKind.KEY_CHANGE else None
        power = child_of(request, "pwrLmt") if kind in powered else None
        return ask.Engineering(
            kind=kind,
            meter=meter_of(child_of(request, "idMethod")),
            power_w=None if power is None else _power(power),
            from_key=None if keys is None else key_of(keys, "from"),
            to_key=None if keys is None else key_of(keys, "to"),
        )

    return read


def _power(limit: Element) -> int:
    value, unit = needed_attribute(limit, "value"), attribute(limit, "siUnit")
    return power_of(value, unit, at=limit.name)


def _meter_test(kind: ask.MeterTestKind) -> _Reading:
    def read(request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
        meter_type = request.child("meterType")
        return ask.MeterTest(
            kind=kind,
            algorithm="" if meter_type is None else attribute(meter_type, "at"),
            technology="" if meter_type is None else attribute(meter_type, "tt"),
        )

    return read


def _reprint(request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
    return ask.Reprint(identity=identity_of(request))


def _last_response(request: Element, caller: Caller, _currency: Currency) -> ask.Request:
    stamp, number = message_name(child_of(request, "adviceReqMsgID"))
    return ask.LastResponse(original=caller.message_id.naming(stamp=stamp, number=number))


def _confirmation(request: Element, caller: Caller, currency: Currency) -> ask.Request:
    stamp, number = message_name(child_of(request, "adviceReqMsgID"))
    original = caller.message_id.naming(stamp=stamp, number=number)
    return ask.Confirmation(original=original, tender=tender_of(request, currency))


def _reversal(request: Element, caller: Caller, _currency: Currency) -> ask.Request:
    stamp, number = message_name(child_of(request, "adviceReqMsgID"))
    return ask.Reversal(original=caller.message_id.naming(stamp=stamp, number=number))


def _batch(
    act: type[ask.StartBatch | ask.TotalBatch | ask.EndBatch], kind: ask.BatchKind
) -> _Reading:
    def read(_request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
        return act(kind=kind)

    return read


def _reprint_batch(kind: ask.BatchKind) -> _Reading:
    def read(request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
        whole = text_of(request, "all") in ("true", "1")
        return ask.ReprintBatch(kind=kind, sequence=sequence_of(request), whole=whole)

    return read


def _deposit(_request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
    return ask.Deposit()


def _reprint_deposit(_request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
    return ask.ReprintDeposit()


def _statement(_request: Element, _caller: Caller, _currency: Currency) -> ask.Request:
    return ask.VendorStatement()


_BATCH_NAMES: Final = {
    "ShiftBatch": ask.BatchKind.SHIFT,
    "SalesBatch": ask.BatchKind.SALES,
    "BankBatch": ask.BatchKind.BANKING,
    "AllBatches": ask.BatchKind.ALL,
}

_NAMED: Final[dict[str, _Reading]] = {
    "LoginReq": _login,
    "ConfirmCustomerReq": _confirm_customer,
    "ConfirmMeterReq": _confirm_meter,
    "CreditVendReq": _credit_vend(trial=False),
    "TrialCreditVendReq": _credit_vend(trial=True),
    **{kind.value: _free_vend(kind) for kind in ask.FreeKind},
    "PayAccReq": _pay_account,
    "UpdateMeterKeyReq": _update_meter_key,
    **{kind.value: _engineering(kind) for kind in ask.EngineeringKind},
    **{kind.value: _meter_test(kind) for kind in ask.MeterTestKind},
    "ReprintReq": _reprint,
    "LastRespAdviceReq": _last_response,
    "ConfirmationAdviceReq": _confirmation,
    "ReversalAdviceReq": _reversal,
    **{f"Start{name}Req": _batch(ask.StartBatch, kind) for name, kind in _BATCH_NAMES.items()},
    **{f"Total{name}Req": _batch(ask.TotalBatch, kind) for name, kind in _BATCH_NAMES.items()},
    **{f"End{name}Req": _batch(ask.EndBatch, kind) for name, kind in _BATCH_NAMES.items()},
    "ReprintEndShiftBatchReq": _reprint_batch(ask.BatchKind.SHIFT),
    "ReprintEndSalesBatchReq": _reprint_batch(ask.BatchKind.SALES),
    "ReprintEndBankingBatchReq": _reprint_batch(ask.BatchKind.BANKING),
    "DepositReq": _deposit,
    "ReprintDepositReq": _reprint_deposit,
    "ReprintDepReq": _reprint_deposit,
    "VendorStatementReq": _statement,
}
"""Each request by its type's name: what is offered. Anything else is an unsupported use case."""

_ABSTRACT: Final = frozenset(
    {
        *("adviceReq", "meterSpecificEngReq", "nonMeterSpecificEngReq"),
        *("startBatchReq", "totalBatchReq", "endBatchReq", "reprintEndBatchReq"),
    }
)
"""Elements that stand for several requests, of which only their type says which one."""

_READINGS: Final = {name.casefold(): reading for name, reading in _NAMED.items()}

USE_CASES: Final = tuple(_NAMED)
"""The names of the requests that are read, as docs/reference/xmlvend.md lists them."""
