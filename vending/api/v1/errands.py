"""Operations carried out where they may be: here, or for a front by its core."""

import msgspec

from vending.api.v1.asked import Answer, Asked
from vending.api.v1.errand import Carried, Errand
from vending.api.v1.operation import Operation
from vending.api.v1.table import BY_NAME
from vending.api.v1.teller import Teller

_encode = msgspec.json.Encoder().encode


def errand(operation: Operation, asked: Asked[object, object]) -> Errand:
    """Return a decoded request as it travels to the core."""
    return Errand(
        operation=operation.name,
        caller=asked.caller,
        path=asked.path,
        headers=asked.headers,
        query=_encode(asked.query),
        body=_encode(asked.body),
        waits=operation.waits,
    )


async def carry(teller: Teller, told: Errand) -> Carried:
    """Carry out, in the core, what a front has read. Raises what the operation raises."""
    operation = BY_NAME[told.operation]
    asked = Asked(
        caller=told.caller,
        path=told.path,
        headers=told.headers,
        query=msgspec.json.decode(told.query, type=operation.query or None),
        body=msgspec.json.decode(told.body, type=operation.body or None),
        now=teller.clock(),
    )
    return written(await operation.handle(teller, asked))


def written(answer: Answer) -> Carried:
    """Return an answer with its body written."""
    body = b"" if answer.body is None else _encode(answer.body)
    return Carried(status=answer.status, body=body, headers=answer.headers)
