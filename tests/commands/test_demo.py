"""`vending demo`: one command, one purchase, and a server to play with that leaves cleanly."""

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import database as databases
from tests.commands.demo_process import DemoProcess, demo, ended, ran

BALANCE = re.compile(r"meter +([0-9]+) accepts: ([0-9.]+) \+ ([0-9.]+) = ([0-9.]+) kWh")


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a directory that PostgreSQL's account can enter, in memory where there is plenty."""
    with databases.cluster_directory() as directory:
        yield directory / "demo"


def curl_of(running: DemoProcess) -> str:
    first = next(place for place, line in enumerate(running.lines) if "curl -sS" in line)
    return "\n".join(running.lines[first : first + 3])


async def test_the_story_is_one_purchase_and_a_second_start_finds_it_again(home: Path) -> None:
    code, first = await ran("demo", "--home", home, "--port", "0", "--once")
    assert code == 0, first
    assert "1,000" in first
    assert "Token:" in first
    for account in ("collection", "revenue", "tax"):
        assert re.search(rf"ledger +{account}", first)
    paid = BALANCE.search(first)
    assert paid is not None
    assert paid[2] == "0.0"
    code, second = await ran("demo", "--home", home, "--port", "0", "--once")
    assert code == 0, second
    again = BALANCE.search(second)
    assert again is not None
    assert (again[1], again[2]) == (paid[1], paid[4])
    assert "migrations applied" not in second
    assert "made and sealed" not in second


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_printed_command_buys_once_however_often_it_is_pasted(home: Path) -> None:
    async with demo(home) as running:
        await running.line("Serving since")
        command = curl_of(running)
        for _ in range(3):
            code, answer = await ended(("bash", "-c", command))
            assert code == 0
            assert '"ResultCode":0' in answer
        assert "Token:" in await running.line("phone")
        accepted = BALANCE.search(await running.line("meter"))
        assert accepted is not None
        code, left = await running.interrupt()
    assert (code, left) == (0, [])
    # Three times the same payment: the story's token and one more.
    assert sum("accepts" in line for line in running.lines) == 2
    assert not (home / "demo.json").exists()
    assert not (home / "postgres" / "postmaster.pid").exists()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_printed_sale_is_a_first_token_and_the_key_outlives_a_restart(home: Path) -> None:
    tokens = []
    for _ in range(2):
        async with demo(home) as running:
            await running.line("Serving since")
            first = next(at for at, line in enumerate(running.lines) if "till.sh" in line)
            code, answer = await ended(("bash", "-c", "\n".join(running.lines[first : first + 4])))
            assert code == 0, answer
            sold = re.search(r'"sandbox":true.*"token":"([0-9]{20})"', answer)
            assert sold is not None, answer
            tokens.append(sold[1])
            code, _ = await running.interrupt()
            assert code == 0
    # The same key, reference and facts: the same digits, of any server.
    assert tokens[0] == tokens[1]
    assert (home / "till.sh").stat().st_mode & 0o077 == 0
    (home / "till.sh").unlink()
    code, told = await ran("demo", "--home", home, "--port", "0", "--once")
    assert code == 0, told
    assert "export KEY=stima_test_" in (home / "till.sh").read_text()


async def test_an_interrupt_while_it_starts_leaves_nothing_behind(home: Path) -> None:
    async with demo(home) as running:
        await running.line("postgresql")
        code, left = await running.interrupt()
    assert (code, left) == (0, [])
    assert not (home / "postgres" / "postmaster.pid").exists()
    code, told = await ran("demo", "--home", home, "--port", "0", "--once")
    assert code == 0, told


async def test_a_busy_port_is_named_and_so_is_the_way_out(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, told = await ran("demo", "--home", home, "--port", str(port))
    assert code == 1
    assert f"port={port}" in told
    assert "--port" in told
    assert "Traceback" not in told
    assert not (home / "postgres").exists()


async def test_a_running_demo_keeps_its_directory_and_its_secrets_to_itself(home: Path) -> None:
    async with demo(home) as running:
        await running.line("Serving since")
        for name in ("demo.json", "demo-secrets.json", "keys.sealed", "street.db"):
            assert (home / name).stat().st_mode & 0o077 == 0, name
        code, told = await ran("demo", "--home", home, "--port", "0")
        assert code == 1
        assert "demo_running_already" in told
        code, left = await running.interrupt()
    assert (code, left) == (0, [])
