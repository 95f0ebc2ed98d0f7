"""Fronts are started, started again when they die, and ended with their core."""

import asyncio
import dataclasses
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fronts.desks import answering, doors_of
from vending.api.doors import Doors
from vending.api.listener import AddressUnusable
from vending.config import ConfigInvalid, Mpesa, Server, without_settings
from vending.fronts import crew
from vending.fronts.crew import FrontsMissing
from vending.values import replace


def doors(**server: object) -> Doors:
    settings = Server(workers=1, port=0, drain_seconds=1)
    return doors_of(answering(), server=replace(settings, **server))


def marking(path: Path, then: str) -> Sequence[str]:
    """Give a program that leaves a line behind, and then does something else."""
    return ("sh", "-c", f"echo $$ >> {path}; {then}")


def lives(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


async def test_a_front_that_dies_is_started_again(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    with pytest.raises(FrontsMissing):
        await crew.start(doors(), program=marking(marks, "exit 3"), seconds=2)
    # After 0.1 s, 0.2 s, 0.4 s: sooner at first, and not for ever as fast as it can.
    assert 2 <= len(lives(marks)) <= 5
    assert not any(Path(f"/proc/{number}").exists() for number in lives(marks))


async def test_fronts_that_never_listen_are_given_up_and_ended(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    with pytest.raises(FrontsMissing):
        await crew.start(doors(workers=2), program=marking(marks, "exec sleep 600"), seconds=1)
    assert len(lives(marks)) == 2
    assert not any(Path(f"/proc/{number}").exists() for number in lives(marks))


async def test_a_front_that_does_not_end_is_killed(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    stubborn = marking(marks, "trap '' TERM; while :; do sleep 0.1; done")
    with pytest.raises(FrontsMissing):
        await crew.start(doors(), program=stubborn, seconds=1)
    (number,) = lives(marks)
    assert not Path(f"/proc/{number}").exists()


async def test_a_program_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "front"
    marks = tmp_path / "marks"

    async def appear() -> None:
        await asyncio.sleep(0.3)
        program.write_text(f"#!/bin/sh\necho $$ >> {marks}\n")
        program.chmod(0o755)

    appearing = asyncio.create_task(appear())
    with pytest.raises(FrontsMissing):
        await crew.start(doors(), program=[str(program)], seconds=3)
    await appearing
    assert lives(marks)


async def test_a_port_that_is_taken_is_named_before_any_front_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnusable, match=str(port)):
            await crew.start(doors(port=port))


async def test_a_bad_address_list_is_named_before_any_front_starts() -> None:
    wrong = doors()
    mpesa = Mpesa(secret="0123456789abcdef", allowed_addresses=["nowhere"])

    wrong = dataclasses.replace(wrong, config=replace(wrong.config, mpesa=mpesa))
    with pytest.raises(ConfigInvalid):
        await crew.start(wrong)


def test_a_front_gets_no_setting_by_its_environment() -> None:
    told = {"PATH": "/bin", "STIMA_KEYS__PASSPHRASE": "secret", "STIMA_CONFIG": "x"}
    assert without_settings(told) == {"PATH": "/bin"}
