"""`vending simulate`: being M-PESA towards a running demo, from another terminal."""

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import database as databases
from tests.commands.demo_process import DemoProcess, demo, ran
from vending.commands import simulate
from vending.commands.scene import AmountUnreadable, cents
from vending.simulation import seed

HOME = seed.homes(1)[0]
METER = HOME.meter_number
NOBODYS = "1400000000" + seed.luhn_digit("1400000000")
GUIDE = Path(__file__).parents[2] / "docs" / "operating" / "try-it.md"
SIMULATE = ".venv/bin/vending simulate "


def guided() -> list[str]:
    """Return what the guide tells people to type, after `vending simulate`."""
    lines = GUIDE.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(SIMULATE) for line in lines if line.startswith(SIMULATE)]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Run one demo for all of these tests, and give its directory."""
    with databases.cluster_directory() as directory, asyncio.Runner() as runner:
        place = directory / "demo"
        opened = demo(place)
        running = runner.run(opened.__aenter__())
        try:
            runner.run(_told(running, "Serving since"))
            yield place
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def _told(running: DemoProcess, containing: str) -> None:
    await running.line(containing)


class Terminal:
    """Another terminal, in the same directory as the demo."""

    def __init__(self, home: Path, screen: pytest.CaptureFixture[str]) -> None:
        self._home, self._screen = home, screen

    def simulate(self, *arguments: str) -> tuple[int, str]:
        """Run one command to its end; return its exit code and what it printed."""
        code = 0
        try:
            simulate.app([*arguments, "--home", str(self._home)], result_action="return_value")
        except SystemExit as end:
            code = int(end.code or 0)
        return code, self._screen.readouterr().out


@pytest.fixture
def terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(home, capsys)


def test_a_payment_shows_the_answers_the_text_and_the_balance(terminal: Terminal) -> None:
    code, told = terminal.simulate("pay", METER, "500", "--times", "3")
    assert code == 0, told
    assert '"ResultCode":"0"' in told
    assert told.count('"ResultCode":0') == 3
    assert "Token:" in told
    assert "1 of 1 tokens accepted" in told


@pytest.mark.parametrize("line", ["v1", "v2", "sandbox"])
def test_each_way_of_showing_the_payer_pays(terminal: Terminal, line: str) -> None:
    code, told = terminal.simulate("pay", METER, "100.50", "--line", line)
    assert code == 0, told


@pytest.mark.parametrize(
    ("act", "tokens"),
    [
        (("repeat", METER, "200", "--times", "4"), 1),
        (("repeat", METER, "200", "--together"), 1),
        (("reorder", METER, "100", "--payments", "6"), 6),
        (("late", METER, "300", "--hours", "30"), 1),
        (("conflict", METER, "100", "900"), 1),
    ],
    ids=["repeat", "repeat-together", "reorder", "late", "conflict"],
)
def test_a_payment_told_oddly_is_still_one_token(
    terminal: Terminal, act: tuple[str, ...], tokens: int
) -> None:
    code, told = terminal.simulate(*act)
    assert code == 0, told
    assert f"{tokens} of {tokens} tokens accepted" in told


def test_a_refused_payment_is_told_and_is_exit_code_1(terminal: Terminal) -> None:
    code, told = terminal.simulate("pay", NOBODYS, "500")
    assert code == 1
    assert "C2B00012" in told
    assert "no money has moved" in told


def test_money_for_nobodys_meter_comes_back_as_a_text(terminal: Terminal) -> None:
    act = ("pay", NOBODYS, "500", "--no-validation", "--line", "sandbox")
    code, told = terminal.simulate(*act)
    assert code == 0, told
    assert "No token" in told


def test_forgers_are_turned_away(terminal: Terminal) -> None:
    code, told = terminal.simulate("forge", METER, "500")
    assert code == 0, told
    assert "404" in told
    assert "403 source_forbidden" in told


def test_every_malformed_body_gets_its_reason(terminal: Terminal) -> None:
    code, told = terminal.simulate("malformed", METER, "500")
    assert code == 0, told
    assert told.count("400 notice_malformed") > 20


def test_a_storm_ends_with_a_verdict(terminal: Terminal) -> None:
    code, told = terminal.simulate("storm", "--payments", "300")
    assert code == 0, told
    assert "300 of 300 payments acknowledged" in told
    assert told.count("holds") == 7


def test_the_town_can_be_looked_at(terminal: Terminal) -> None:
    terminal.simulate("pay", METER, "50")
    _, phone = terminal.simulate("phone", HOME.phones[0])
    assert f"Mtr:{METER}" in phone
    _, silent = terminal.simulate("phone", "+254799999999")
    assert "no texts" in silent
    _, meters = terminal.simulate("meters", "--count", "1000")
    assert METER in meters
    assert len(meters.splitlines()) == 1_000


def test_the_carrier_can_be_put_out_of_temper_and_back(terminal: Terminal) -> None:
    _, told = terminal.simulate("carrier", "refuses")
    assert "refuses" in told
    _, told = terminal.simulate("carrier", "works")
    assert "works" in told


def test_the_guide_names_the_first_home(home: Path) -> None:
    told = GUIDE.read_text(encoding="utf-8")
    assert f"account {METER}" in told
    assert HOME.phones[0] in told
    assert f"pay {NOBODYS} " in told
    assert len(guided()) > 10


@pytest.mark.parametrize("command", guided())
def test_every_command_of_the_guide_ends_well(terminal: Terminal, command: str) -> None:
    code, told = terminal.simulate(*shlex.split(command.replace("10000", "200")))
    terminal.simulate("carrier", "works")
    assert code == 0, told


async def test_the_promises_hold_after_all_that(home: Path, tmp_path: Path) -> None:
    settings = tmp_path / "stima.toml"
    settings.write_text(f'[database]\ndata_dir = "{home / "postgres"}"\n')
    code, told = await ran("audit", "--older-than", "0", "--config", settings)
    assert code == 0, told
    assert " 0 broken" in told


async def test_without_a_demo_the_sentence_says_how_to_start_one(tmp_path: Path) -> None:
    code, told = await ran("simulate", "pay", METER, "500", "--home", tmp_path)
    assert code == 1
    assert "demo_not_running" in told
    assert "make run" in told


@pytest.mark.parametrize(
    ("text", "minor"), [("500", 50_000), ("499.50", 49_950), ("1,000", 100_000), ("0", 0)]
)
def test_an_amount_is_read_as_people_write_it(text: str, minor: int) -> None:
    assert cents(text) == minor


@pytest.mark.parametrize("text", ["", "5oo", "-5", "5.5", "5.555", "1e3"])
def test_anything_else_is_no_amount(text: str) -> None:
    with pytest.raises(AmountUnreadable):
        cents(text)
