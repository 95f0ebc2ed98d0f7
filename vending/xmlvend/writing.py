"""Answers to bytes: the one way out for a message of XMLVend 2.1.

Strict: what is written validates against docs/reference/xmlvend-*.xsd, every element in its
namespace and order, every `xsi:type` qualified, and equal answers are equal bytes.
"""

from functools import singledispatch
from http import HTTPStatus
from typing import Final

from vending.values import Value
from vending.xmlvend import answers as told
from vending.xmlvend.amounts import Currency
from vending.xmlvend.books import deposit_answer, end_answer, ended, started, statement_answer
from vending.xmlvend.document import (
    Node,
    Spelling,
    document,
    fault_document,
    node,
    optional,
)
from vending.xmlvend.faults import Family, Fault
from vending.xmlvend.identity import Soap
from vending.xmlvend.requests import EngineeringKind, MeterTestKind
from vending.xmlvend.shapes import (
    customer,
    energy,
    head,
    instant,
    issue,
    key_change,
    message,
    meter,
    optional_money,
    party,
    power,
    receipt,
    token,
)

CONTENT_TYPES: Final = {
    Soap.V11: "text/xml; charset=utf-8",
    Soap.V12: "application/soap+xml; charset=utf-8",
    Soap.BARE: "text/xml; charset=utf-8",
}

_VEND_ROOTS: Final = {
    told.VendKind.CREDIT: "r:creditVendResp",
    told.VendKind.TRIAL: "r:trialCreditVendResp",
    told.VendKind.FREE_BASIC: "r:fbeResp",
    told.VendKind.FREE_ISSUE: "r:freeIssueResp",
}

_ENGINEERING: Final = {
    EngineeringKind.KEY_CHANGE: ("m:EngKCTResp", "m:engKCToken"),
    EngineeringKind.SET_POWER_LIMIT: ("m:PwrLmtResp", "m:pwrLmtToken"),
    EngineeringKind.SET_PHASE_UNBALANCE: ("m:PhUnbalResp", "m:phUnbalance"),
    EngineeringKind.DEFAULT_CREDIT: ("m:DefCreditResp", "m:defCredit"),
    EngineeringKind.CLEAR_CREDIT: ("m:ClearCreditResp", "m:clearCredit"),
    EngineeringKind.CLEAR_TAMPER: ("m:ClearTamperResp", "m:clearTamper"),
}
"""The answer's type, and the element its token is in."""

_METER_TESTS: Final = {
    MeterTestKind.TEST_ALL: ("m:TestAllResp", "m:testAll"),
    MeterTestKind.TEST_BREAKER: ("m:TestBreakerResp", "m:testBreaker"),
    MeterTestKind.TEST_DISPLAY: ("m:TestDisplayResp", "m:testDisp"),
    MeterTestKind.SHOW_POWER_LIMIT: ("m:DispPwrLmtResp", "m:dispPwrLmt"),
    MeterTestKind.SHOW_TARIFF_INDEX: ("m:DispTIResp", "m:dispTI"),
    MeterTestKind.SHOW_KEY_REVISION: ("m:DispKRNResp", "m:dispKRN"),
    MeterTestKind.SHOW_TAMPER: ("m:DispTamperResp", "m:dispTamper"),
    MeterTestKind.SHOW_POWER: ("m:DispInstPwrResp", "m:dispInstPwr"),
    MeterTestKind.SHOW_TOTAL: ("m:DispConsTotResp", "m:dispConsTot"),
    MeterTestKind.SHOW_PHASE_UNBALANCE: ("m:DispPhUnbalanceResp", "m:dispPhUnbalance"),
    MeterTestKind.SHOW_VERSION: ("m:DispVerResp", "m:dispVer"),
}


class Written(Value, frozen=True, kw_only=True):
    """A message ready to be sent: its bytes, and what HTTP is to say of it."""

    hidden = frozenset({"body"})

    body: bytes
    content_type: str
    status: int


def write_answer(
    answer: told.Answer,
    *,
    currency: Currency,
    soap: Soap,
    spelling: Spelling = Spelling.DEFAULTED,
) -> Written:
    """Return an answer, wrapped as its request was."""
    body = document(_node_of(answer, currency), soap=soap, spelling=spelling)
    return Written(body=body, content_type=CONTENT_TYPES[soap], status=int(HTTPStatus.OK))


def write_fault(
    refused: told.RefusedAnswer, *, soap: Soap, spelling: Spelling = Spelling.DEFAULTED
) -> Written:
    """Return a fault, wrapped as its request was: inside a SOAP fault, or by itself.

    The status is 500 for SOAP 1.1, whoever is at fault (its section 6.2 asks for that); for
    SOAP 1.2 and for bare messages it is 400, or 500 where the server is at fault.
    """
    ours = refused.fault.kind.family is Family.SYSTEM
    body = fault_document(
        node("b:xmlvendFaultResp", *head(refused.head), _fault(refused.fault)),
        reason=refused.fault.text,
        ours=ours,
        soap=soap,
        spelling=spelling,
    )
    status = HTTPStatus.BAD_REQUEST
    if ours or soap is Soap.V11:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
    return Written(body=body, content_type=CONTENT_TYPES[soap], status=int(status))


def _fault(fault: Fault) -> Node:
    return node(
        "b:fault",
        node("b:desc", text=fault.text),
        optional("b:faultCode", fault.code),
        kind=f"b:{fault.kind.type_name}",
    )


@singledispatch
def _node_of(answer: told.Answer, _currency: Currency) -> Node:
    """Return the element of an answer; each kind of answer has its own below."""
    raise TypeError(type(answer))


@_node_of.register
def _login(answer: told.LoginAnswer, currency: Currency) -> Node:
    return node(
        "r:user",
        node("r:ID", text=str(answer.user)),
        node("r:TID", text=str(answer.terminal)),
        node("r:CDUID", text=str(answer.terminal)),
        optional("r:CDUName", answer.terminal_name),
        node("r:CDUBalance", text=currency.text_of(answer.balance_minor)),
        node("r:MinVendAmt", text=currency.text_of(answer.minimum_minor)),
        node("r:MaxVendAmt", text=currency.text_of(answer.maximum_minor)),
        node("r:LoginTime", text=instant(answer.at)),
    )


@_node_of.register
def _customers(answer: told.CustomerAnswer, currency: Currency) -> Node:
    return node(
        "r:confirmCustomerResp",
        *head(answer.head),
        *(_found(found, currency) for found in answer.found),
    )


def _found(found: told.FoundCustomer, currency: Currency) -> Node:
    return node(
        "r:confirmCustResult",
        customer("r:custVendDetail", found.customer),
        node(
            "r:custVendConfig",
            node("r:canVend", text=_yes(found.can_vend)),
            node("r:fbeDue", text=_yes(found.free_units_due)),
            optional_money("r:maxVendAmt", found.maximum_minor, currency),
            optional_money("r:minVendAmt", found.minimum_minor, currency),
        ),
        None if found.meter is None else meter("r:meterDetail", found.meter),
    )


@_node_of.register
def _meter(answer: told.MeterAnswer, _currency: Currency) -> Node:
    return node(
        "m:confirmMeterResp",
        *head(answer.head),
        node("m:confirmMeterResult", meter("m:meterDetail", answer.meter)),
    )


@_node_of.register(told.VendAnswer)
@_node_of.register(told.AccountAnswer)
@_node_of.register(told.KeyUpdateAnswer)
@_node_of.register(told.EngineeringAnswer)
def _sale(answer: told.Sale, currency: Currency) -> Node:
    root, kind = _sale_root(answer)
    # Only the engineering answers share one root, so only they need their type said.
    typed = kind if isinstance(answer, told.EngineeringAnswer) else ""
    return node(root, *_sale_parts(answer, currency), kind=typed)


def _sale_root(answer: told.Sale) -> tuple[str, str]:
    """Return the root element and the type of an answer to a sale."""
    if isinstance(answer, told.VendAnswer):
        return _VEND_ROOTS[answer.kind], f"r:{answer.kind.value}"
    if isinstance(answer, told.AccountAnswer):
        return "r:payAccResp", "r:PayAccResp"
    if isinstance(answer, told.KeyUpdateAnswer):
        return "m:updateMeterKeyResp", "m:UpdateMeterKeyResp"
    return "m:meterSpecificEngResp", _ENGINEERING[answer.kind][0]


def _sale_parts(answer: told.Sale, currency: Currency) -> tuple[Node | None, ...]:
    return (*head(answer.head), *party(answer.party, currency), _issued(answer, currency))


def _issued(answer: told.Sale, currency: Currency) -> Node:
    """Return the receipt or token that a sale comes to."""
    if isinstance(answer, told.VendAnswer):
        return receipt("r:creditVendReceipt", answer.receipt, currency)
    if isinstance(answer, told.AccountAnswer):
        of = None if answer.meter is None else meter("r:meterDetail", answer.meter)
        return receipt("r:payAccReceipt", answer.receipt, currency, of)
    if isinstance(answer, told.KeyUpdateAnswer):
        return key_change("m:updateMeterKey", answer.key_change)
    name = _ENGINEERING[answer.kind][1]
    if answer.key_change is not None:
        return key_change(name, answer.key_change)
    return node(
        name,
        *issue(answer.text, answer.meter, token("b:token", answer.token)),
        None if answer.power_w is None else power("b:pwrLmt", answer.power_w),
        None if answer.energy_wh is None else energy("b:units", answer.energy_wh),
        None if answer.energy_wh is None else node("b:resource", kind="b:Electricity"),
    )


@_node_of.register
def _meter_test(answer: told.MeterTestAnswer, _currency: Currency) -> Node:
    kind = _METER_TESTS[answer.kind][0]
    return node("m:nonMeterSpecificEngResp", *_test_parts(answer), kind=kind)


def _test_parts(answer: told.MeterTestAnswer) -> tuple[Node | None, ...]:
    issued = node(
        _METER_TESTS[answer.kind][1],
        node("m:desc", text=answer.text),
        node("m:meterType", at=answer.algorithm, tt=answer.technology),
        token("m:token", answer.token),
    )
    return (*head(answer.head), issued)


@_node_of.register
def _reprint(answer: told.ReprintAnswer, currency: Currency) -> Node:
    sales = (
        node("r:reprint", *_sale_parts(sale, currency), kind=_sale_root(sale)[1])
        for sale in answer.sales
    )
    return node("r:reprintResp", *head(answer.head), *sales)


@_node_of.register
def _last_response(answer: told.LastResponseAnswer, currency: Currency) -> Node:
    original = answer.answer
    if isinstance(original, told.RefusedAnswer):
        parts: tuple[Node | None, ...] = (*head(original.head), _fault(original.fault))
        kind = "b:XMLVendFaultResp"
    elif isinstance(original, told.MeterTestAnswer):
        parts, kind = _test_parts(original), _METER_TESTS[original.kind][0]
    else:
        parts, kind = _sale_parts(original, currency), _sale_root(original)[1]
    return node(
        "b:adviceResp",
        *head(answer.head),
        message("b:adviceReqMsgID", answer.original),
        node("b:lastResponse", *parts, kind=kind),
        kind="b:LastRespAdviceResp",
    )


@_node_of.register
def _confirmation(answer: told.ConfirmationAnswer, _currency: Currency) -> Node:
    return node(
        "b:adviceResp",
        *head(answer.head),
        message("b:adviceReqMsgID", answer.original),
        kind="b:ConfirmationAdviceResp",
        txConfirmed=_yes(answer.confirmed),
    )


@_node_of.register
def _reversal(answer: told.ReversalAnswer, _currency: Currency) -> Node:
    return node(
        "b:adviceResp",
        *head(answer.head),
        message("b:adviceReqMsgID", answer.original),
        kind="b:ReversalAdviceResp",
        txReversed=_yes(answer.undone),
    )


@_node_of.register
def _start(answer: told.StartAnswer, _currency: Currency) -> Node:
    batch = started("r:startedBatch", answer.batch)
    return node("r:startBatchResp", *head(answer.head), batch)


@_node_of.register
def _total(answer: told.TotalAnswer, currency: Currency) -> Node:
    batches = (ended("r:totalBatch", batch, currency) for batch in answer.batches)
    return node("r:totalBatchResp", *head(answer.head), *batches)


@_node_of.register
def _end(answer: told.EndAnswer, currency: Currency) -> Node:
    return end_answer("r:endBatchResp", answer, currency)


@_node_of.register
def _reprint_batch(answer: told.ReprintBatchAnswer, currency: Currency) -> Node:
    closed = end_answer("r:endBatchReprint", answer.ended, currency)
    return node("r:reprintEndBatchResp", *head(answer.head), closed)


@_node_of.register
def _deposit(answer: told.DepositAnswer, currency: Currency) -> Node:
    return deposit_answer("r:depositResp", answer, currency)


@_node_of.register
def _reprint_deposit(answer: told.ReprintDepositAnswer, currency: Currency) -> Node:
    slips = (deposit_answer("r:reprint", slip, currency) for slip in answer.slips)
    return node("r:reprintDepResp", *head(answer.head), *slips)


@_node_of.register
def _statement(answer: told.StatementAnswer, currency: Currency) -> Node:
    return statement_answer(answer, currency)


def _yes(said: bool) -> str:  # noqa: FBT001 -- the one word it writes is its argument
    return "true" if said else "false"
