"""Validations while the database is slow: each is answered, and few of them ask it."""

import asyncio

import pytest

from tests.api.conftest import METER, Serve, paid
from vending.api import sight
from vending.api.sight import Blinded, Sight
from vending.meters import directory
from vending.meters.meter import Meter


def miss(one: Sight) -> None:
    with pytest.raises(TimeoutError), one.looking():
        raise TimeoutError


def test_after_some_misses_one_look_up_at_a_time_goes_on_asking() -> None:
    one = Sight(readers=2)
    for _ in range(sight.MISSES_MAX):
        miss(one)
    with one.looking(), pytest.raises(Blinded), one.looking():
        pass
    with one.looking(), one.looking():
        pass


def test_a_miss_among_look_ups_that_are_in_time_changes_nothing() -> None:
    one = Sight(readers=2)
    for _ in range(10):
        miss(one)
        with one.looking():
            pass
    with one.looking(), one.looking():
        pass


def test_no_more_wait_for_a_connection_than_are_answered_in_time() -> None:
    one = Sight(readers=1)
    held = [one.looking() for _ in range(sight.LOOKING_PER_READER)]
    for each in held:
        each.__enter__()
    with pytest.raises(Blinded), one.looking():
        pass
    for each in held:
        each.__exit__(None, None, None)


async def test_a_slow_database_is_asked_by_few_and_everybody_is_answered(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    well = asyncio.Event()

    async def find(_readers: object, _numbers: list[str]) -> dict[str, Meter]:
        nonlocal asked
        asked += 1
        await well.wait()
        return {}

    monkeypatch.setattr(directory, "find", find)
    slow = {"validation_milliseconds": 100, "when_blind": "accept"}
    async with serve(mpesa=slow) as api:
        for _ in range(sight.MISSES_MAX):
            assert (await api.post("check", paid())).json["ResultCode"] == "0"
        before = asked
        answers = await asyncio.gather(*(api.post("check", paid()) for _ in range(200)))
        assert {one.json["ResultCode"] for one in answers} == {"0"}
        assert asked - before < 100
        well.set()
        told = await api.post("check", paid(BillRefNumber=METER))
        assert told.json["ResultCode"] == "C2B00012"
