"""`vending simulate`: being M-PESA towards a running demo, from another terminal."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests import database as databases
from tests.commands.demo_process import demo, ran
from vending.commands.scene import AmountUnreadable, cents
from vending.simulation import seed

HOME = seed.homes(1)[0]
METER = HOME.meter_number
NOBODYS = "1400000000" + seed.luhn_digit("1400000000")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home() -> AsyncIterator[Path]:
    """Run one demo for all of these tests, and give its directory."""
    with databases.cluster_directory() as directory:
        async with demo(directory / "demo") as running:
            await running.line("Serving since")
            yield directory / "demo"
            await running.interrupt()


@pytest.mark.asyncio(loop_scope="module")
class TestAgainstADemo:
    """One running demo, played with by one command after another."""

    async def test_a_payment_shows_the_answers_the_text_and_the_balance(self, home: Path) -> None:
        code, told = await ran("simulate", "pay", METER, "500", "--times", "3", "--home", home)
        assert code == 0, told
        assert '"ResultCode":"0"' in told
        assert told.count('"ResultCode":0') == 3
        assert "Token:" in told
        assert "1 of 1 tokens accepted" in told

    @pytest.mark.parametrize("line", ["v1", "v2", "sandbox"])
    async def test_each_way_of_showing_the_payer_pays(self, home: Path, line: str) -> None:
        code, told = await ran("simulate", "pay", METER, "100.50", "--line", line, "--home", home)
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
    async def test_a_payment_told_oddly_is_still_one_token(
        self, home: Path, act: tuple[str, ...], tokens: int
    ) -> None:
        code, told = await ran("simulate", *act, "--home", home)
        assert code == 0, told
        assert f"{tokens} of {tokens} tokens accepted" in told

    async def test_a_refused_payment_is_told_and_is_exit_code_1(self, home: Path) -> None:
        code, told = await ran("simulate", "pay", NOBODYS, "500", "--home", home)
        assert code == 1
        assert "C2B00012" in told
        assert "no money has moved" in told

    async def test_money_for_nobodys_meter_comes_back_as_a_text(self, home: Path) -> None:
        act = ("pay", NOBODYS, "500", "--no-validation", "--line", "sandbox")
        code, told = await ran("simulate", *act, "--home", home)
        assert code == 0, told
        assert "No token" in told

    async def test_forgers_are_turned_away(self, home: Path) -> None:
        code, told = await ran("simulate", "forge", METER, "500", "--home", home)
        assert code == 0, told
        assert "404" in told
        assert "403 source_forbidden" in told

    async def test_every_malformed_body_gets_its_reason(self, home: Path) -> None:
        code, told = await ran("simulate", "malformed", METER, "500", "--home", home)
        assert code == 0, told
        assert told.count("400 notice_malformed") > 20

    async def test_a_storm_ends_with_a_verdict(self, home: Path) -> None:
        code, told = await ran("simulate", "storm", "--payments", "300", "--home", home)
        assert code == 0, told
        assert "300 of 300 payments acknowledged" in told
        assert told.count("holds") == 7

    async def test_the_town_can_be_looked_at(self, home: Path) -> None:
        await ran("simulate", "pay", METER, "50", "--home", home)
        _, phone = await ran("simulate", "phone", HOME.phones[0], "--home", home)
        assert f"Mtr:{METER}" in phone
        _, silent = await ran("simulate", "phone", "+254799999999", "--home", home)
        assert "no texts" in silent
        _, meters = await ran("simulate", "meters", "--count", "1000", "--home", home)
        assert METER in meters
        assert len(meters.splitlines()) == 1_000

    async def test_the_carrier_can_be_put_out_of_temper_and_back(self, home: Path) -> None:
        _, told = await ran("simulate", "carrier", "refuses", "--home", home)
        assert "refuses" in told
        _, told = await ran("simulate", "carrier", "works", "--home", home)
        assert "works" in told


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
