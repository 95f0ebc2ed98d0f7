"""What the load-test documents say is so."""

import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from vending.loadtest import sizing
from vending.loadtest.limits import LIMITS
from vending.loadtest.scenarios import CALM, SALES, SCENARIOS, SURGE

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operating" / "load-test.md").read_text(encoding="utf-8")
KIT = (ROOT / "loadtests" / "README.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of the tables whose first cell is a name in code, by that name."""
    found = re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in found}


def test_every_limit_is_listed_with_what_it_allows() -> None:
    listed = rows(GUIDE)
    assert set(listed) == set(LIMITS)
    for name, (calm, surge, _what) in listed.items():
        usual = CALM | {one: SALES[one] for one in SALES.keys() - CALM.keys()}
        assert calm.replace(",", "") == (f"{usual[name]:.0f}" if name in usual else "")
        assert surge.replace(",", "") == (f"{SURGE[name]:.0f}" if name in SURGE else "")


def test_every_scenario_is_listed_with_its_rates() -> None:
    listed = rows(KIT)
    assert set(listed) == set(SCENARIOS)
    for name, (mean, worst, _what) in listed.items():
        curves = [stream.curve for stream in SCENARIOS[name].streams]
        assert mean == f"{sum(one.mean for one in curves):.0f}"
        assert worst == f"{sum(one.peak for one in curves):.0f}"


def test_the_plan_in_the_guide_is_what_the_command_says() -> None:
    lines = sizing.plan(
        meters=7_400_000,
        purchases_a_month=Fraction(3),
        outage_hours=Fraction(15),
        vends_a_second=Fraction(9000),
        speed_source="as given",
    )
    for line in lines:
        assert f"{line.what:<28}{line.result:<26}  {line.sum}" in GUIDE


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not here; Debian has it")
def test_the_wrk_script_refuses_another_machine() -> None:
    ran = subprocess.run(
        ["wrk", "-t1", "-c1", "-d1s", "-s", "loadtests/confirm.lua", "http://10.1.2.3:1/x"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "10.1.2.3 is not this machine" in ran.stdout + ran.stderr
    assert "requests in" not in ran.stdout
