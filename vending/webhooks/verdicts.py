"""What follows from a try: for its delivery, and for its endpoint."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta

from vending.webhooks.calls import Failure, Heard
from vending.webhooks.due import Due, Fare, Verdict
from vending.webhooks.schedule import wait_after

WAITING = "waiting"
DELIVERED = "delivered"
GIVEN_UP = "given_up"

_OURS = frozenset({Failure.STOPPED, Failure.INTERNAL})
"""Failures that say nothing of the endpoint."""


def verdict(
    due: Due, heard: Heard, *, at: datetime, now: datetime, seconds: float, chance: random.Random
) -> Verdict:
    """Return what becomes of a delivery after a try that began at an instant and took so long."""
    state, then = DELIVERED, now
    if heard.failure is Failure.STOPPED:
        state = WAITING
    elif heard.failure is Failure.GONE:
        state = GIVEN_UP
    elif heard.failure is not None:
        wait = wait_after(due.tries, chance=chance)
        state = GIVEN_UP if wait is None else WAITING
        then = now + max(wait or timedelta(), heard.retry_after or timedelta())
    return Verdict(
        due=due,
        heard=heard,
        state=state,
        next_attempt_at=then,
        at=at,
        ended_at=now,
        milliseconds=round(seconds * 1000),
    )


def gone(told: Verdict) -> bool:
    """Return whether the endpoint wants nothing any more."""
    return told.heard.failure is Failure.GONE


def fares(told: Iterable[Verdict]) -> list[Fare]:
    """Return how each endpoint fared in tries that are written down together.

    One delivery makes it a good endpoint, whatever else failed. A failure of ours says nothing
    about it.
    """
    by_endpoint: dict[int, list[Verdict]] = {}
    for one in told:
        if one.heard.failure not in _OURS:
            by_endpoint.setdefault(one.due.endpoint_id, []).append(one)
    return [_fare(endpoint_id, tries) for endpoint_id, tries in by_endpoint.items()]


def _fare(endpoint_id: int, tries: list[Verdict]) -> Fare:
    failed = sum(one.heard.failure is not None for one in tries)
    latest = max(one.ended_at for one in tries)
    asked = max((one.heard.retry_after or timedelta() for one in tries), default=timedelta())
    return Fare(
        endpoint_id=endpoint_id,
        delivered=failed < len(tries),
        failed=failed,
        at=latest,
        asked_until=latest + asked,
    )
