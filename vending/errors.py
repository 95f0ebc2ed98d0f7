"""The error tree of the server.

Every error has a stable ``code`` that documents, logs and answers cite, and the facts it is about
as attributes. The first sentence of a class's docstring is what a person reads; the rest says what
to do about it.

    VendingError
    ├── Refused        the sale cannot happen: tell the payer, keep the money as refund due
    ├── Unavailable    nothing has happened: try again later
    ├── Rejected       a message or file given to us cannot be believed or understood
    └── Inconsistent   one of our own promises is broken: stop and call a person
"""

from typing import ClassVar


class VendingError(Exception):
    """Something went wrong in the vending server."""

    code: ClassVar[str] = "vending_error"

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(facts)

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.facts.items())
        sentence = self.sentence()
        return f"{sentence} [{self.code}{': ' + told if told else ''}]"

    @classmethod
    def sentence(cls) -> str:
        """Return what happened, in one sentence for a person."""
        return (cls.__doc__ or cls.__name__).strip().split("\n", 1)[0]

    @classmethod
    def advice(cls) -> str:
        """Return what to do about it, as one line; "" when there is nothing to be done."""
        _sentence, _newline, rest = (cls.__doc__ or "").strip().partition("\n")
        return " ".join(rest.split())


class Refused(VendingError):
    """The sale cannot happen."""

    code = "refused"


class Unavailable(VendingError):
    """Something this needs is away; nothing has happened and it can be tried again."""

    code = "unavailable"


class Rejected(VendingError):
    """What was sent or given cannot be accepted."""

    code = "rejected"


class Inconsistent(VendingError):
    """One of the server's own promises does not hold; work stops until a person has looked."""

    code = "inconsistent"
