"""What XMLVend alone can be refused with, and how a refusal becomes a fault."""

from vending.errors import Refused, Rejected, VendingError
from vending.xmlvend import faults
from vending.xmlvend.faults import Fault, FaultKind


class CustomerUnknown(Rejected):
    """No customer is known by that.

    Customers are found by their meter's number here; names, accounts, addresses and ID numbers are
    not kept.
    """

    code = "customer_unknown"


class OriginalUnknown(Rejected):
    """Nothing was sold under that message, and nothing will be.

    It may be sold again, under another message. Should the first one still arrive, it is refused.
    """

    code = "original_unknown"


class ConfirmationUnknown(Rejected):
    """There is no sale of that message to confirm.

    Nothing was sold under it, and nothing will be.
    """

    code = "confirmation_unknown"


class ReversalUnknown(Rejected):
    """There is no sale of that message to reverse.

    Nothing was sold under it, and nothing will be.
    """

    code = "reversal_unknown"


class ReprintUnknown(Rejected):
    """There is no receipt to print again.

    This vendor has sold nothing to that meter.
    """

    code = "reprint_none"


class BatchNotOpen(Rejected):
    """The batch cannot be totalled.

    None is open at this terminal; start one first.
    """

    code = "batch_total_refused"


class BatchReprintUnknown(Rejected):
    """There is no closed batch to print again.

    This terminal has closed none, or none of that number.
    """

    code = "batch_none"


class MeterCardNeeded(Rejected):
    """A key change begins from the key that the meter has, and the message does not tell it.

    Read the meter's card, or give supply group, key revision and tariff index off the meter.
    """

    code = "meter_card_needed"


class MeterDataInsufficient(Rejected):
    """Supply group, key revision and tariff index are needed to name a key.

    `field` is the one that is missing. Nothing was made.
    """

    code = "meter_data_insufficient"


class MeterDataInvalid(Rejected):
    """The meter's data cannot be right.

    `field` is the one without the form that it has on cards and meters, or the algorithm that is
    not this meter's. Nothing was made.
    """

    code = "meter_data_invalid"


class KeyMeterUnknown(Rejected):
    """The key of a meter that is not known here cannot be changed.

    Have the utility register the meter, or check the number.
    """

    code = "key_meter_unknown"


def fault_of(error: VendingError) -> Fault:
    """Return what a till is told of an error: its own type, our code, a sentence, the facts."""
    told = ", ".join(f"{name}={value}" for name, value in error.facts.items())
    text = f"{error.sentence()} ({told})" if told else error.sentence()
    return Fault(kind=kind_of(type(error)), code=error.code, text=text)


def kind_of(error: type[VendingError]) -> FaultKind:
    """Return the fault that a kind of error becomes.

    A refusal without a type of its own is a rule of the business, whoever is asked about it.
    """
    kind = faults.fault_of(error.code)
    plain = kind is FaultKind.SYSTEM and issubclass(error, Refused)
    return FaultKind.BUSINESS if plain else kind
