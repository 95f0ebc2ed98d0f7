"""The shapes of a till's books: started and ended batches, totals, deposit slips, statements."""

from typing import Final

from vending.xmlvend.amounts import Currency
from vending.xmlvend.answers import DepositAnswer, EndAnswer, StatementAnswer
from vending.xmlvend.batches import BatchReport, DepositSlip, Level, StartedBatch, TillBatch
from vending.xmlvend.document import Node, node, optional
from vending.xmlvend.shapes import energy, head, instant, money

_STARTED_TYPES: Final = {
    Level.SHIFT: "r:ShiftStartBatch",
    Level.SALES: "r:SalesStartBatch",
    Level.BANKING: "r:BankStartBatch",
}
_STARTED_PARTS: Final = {Level.SALES: "r:shiftStartBatch", Level.BANKING: "r:salesStartBatch"}
_PARTS: Final = {Level.SALES: "r:shiftBatch", Level.BANKING: "r:salesBatch"}
_ENDS: Final = {
    Level.SALES: ("r:firstTxSeqNo", "r:lastTxSeqNo"),
    Level.BANKING: ("r:firstSalesSeqNo", "r:lastSalesSeqNo"),
}
"""What the first and last number of a batch's parts are called; a shift has no parts."""


def started(name: str, batch: StartedBatch, *, typed: bool = True) -> Node:
    """Return a batch that was opened; `typed` where the schema leaves its level open."""
    part = _STARTED_PARTS.get(batch.level)
    return node(
        name,
        node("r:started", text=instant(batch.at)),
        *(() if part is None else (started(part, inner, typed=False) for inner in batch.parts)),
        kind=_STARTED_TYPES[batch.level] if typed else "",
        seqNo=str(batch.sequence),
    )


def ended(name: str, batch: TillBatch, currency: Currency, *, typed: bool = True) -> Node:
    """Return a batch and what was in it; `typed` where the schema leaves its level open."""
    part = _PARTS.get(batch.level)
    first, last = _ENDS.get(batch.level, ("", ""))
    inside = (
        () if part is None else (ended(part, inner, currency, typed=False) for inner in batch.parts)
    )
    slip = batch.slip if batch.level is Level.BANKING else None
    return node(
        name,
        node("r:started", text=instant(batch.started)),
        node("r:ended", text=instant(batch.ended)),
        money("r:batchTot", batch.total_minor, currency),
        None if batch.report is None else _report(batch.report, currency),
        _end(first, batch.first),
        _end(last, batch.last),
        None if slip is None else deposit_slip("r:depSlip", slip, currency),
        *inside,
        kind=f"r:{batch.level.value}" if typed else "",
        seqNo=str(batch.sequence),
    )


def _end(name: str, sequence: int | None) -> Node | None:
    return None if sequence is None or not name else node(name, text=str(sequence))


def _report(told: BatchReport, currency: Currency) -> Node:
    sales = (
        node(
            "r:txTotal",
            node("r:desc", text=total.text),
            money("r:amt", total.amount_minor, currency),
            kind=f"r:{total.kind.value}",
        )
        for total in told.sales
    )
    operators = (
        node(
            "r:operatorTotal",
            node("r:opName", text=total.operator),
            money("r:amt", total.amount_minor, currency),
        )
        for total in told.operators
    )
    tenders = (
        node(
            "r:payTypeTotal",
            node("r:desc", text=total.text),
            money("r:amt", total.amount_minor, currency),
            kind=f"r:{total.kind.value}",
        )
        for total in told.tenders
    )
    units = (
        None
        if told.energy_wh is None
        else node(
            "r:resTot",
            node("r:desc", text="Electricity"),
            energy("r:units", told.energy_wh),
            kind="r:ElectricityTotal",
        )
    )
    return node("r:batchReport", *sales, *operators, *tenders, units)


def deposit_slip(name: str, slip: DepositSlip, currency: Currency) -> Node:
    """Return a deposit slip."""
    to = slip.beneficiary
    return node(
        name,
        optional("r:header", slip.title),
        money("r:amt", slip.amount_minor, currency),
        None
        if to is None
        else node(
            "r:beneficiary",
            accName=to.name,
            accNo=to.account,
            branchCode=to.branch,
            bankName=to.bank,
            bankRegNo=to.bank_registration,
        ),
        bankingRefNo=slip.reference,
    )


def end_answer(name: str, answer: EndAnswer, currency: Currency) -> Node:
    """Return the answer about a closed batch, as itself or inside a reprint."""
    return node(name, *head(answer.head), ended("r:endBatch", answer.batch, currency))


def deposit_answer(name: str, answer: DepositAnswer, currency: Currency) -> Node:
    """Return the answer with a deposit slip, as itself or inside a reprint."""
    return node(name, *head(answer.head), deposit_slip("r:depSlip", answer.slip, currency))


def statement_answer(answer: StatementAnswer, currency: Currency) -> Node:
    """Return the answer with the vendor's last movements."""
    return node(
        "r:vendorStatementResp",
        *head(answer.head),
        node(
            "r:statement",
            node("r:accNo", text=answer.account),
            money("r:accBal", answer.balance_minor, currency),
            money("r:availCredit", answer.available_minor, currency),
            *(
                node(
                    "r:lineItem",
                    node("r:desc", text=line.text),
                    money("r:amt", line.amount_minor, currency),
                    node("r:appliedDate", text=instant(line.at)),
                )
                for line in answer.lines
            ),
        ),
    )
