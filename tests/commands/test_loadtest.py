"""`vending loadtest` and `vending top`: what they refuse, list and reckon."""

import contextlib
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.loadtest.records import record, samples, second
from tests.simulation.listener import listening
from vending import config
from vending.commands import loadtest
from vending.commands.loadtest import NumberUnreadable, SecretMissing
from vending.commands.loadtest_progress import Progress, Told
from vending.commands.top import MetricsAway, top
from vending.config import ConfigInvalid
from vending.loadtest import board
from vending.loadtest.run import Look
from vending.loadtest.scenarios import OPERATOR, SCENARIOS
from vending.loadtest.target import TargetForeign, TargetUnreadable
from vending.simulation.visit import DemoNotRunning, Whereabouts


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: str) -> None:
    with contextlib.suppress(SystemExit):
        loadtest.app(list(words), result_action="return_value")


def test_a_foreign_target_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(TargetForeign, match=r"10\.1\.2\.3") as refused:
        run("steady-day", "--target", "http://10.1.2.3:8080", "--secret", "X")
    assert "--i-own-this-target" in refused.value.advice()


def test_without_a_target_or_a_demo_it_says_so() -> None:
    with pytest.raises(DemoNotRunning):
        run("steady-day")


def test_without_the_secret_it_says_how_to_give_it() -> None:
    with pytest.raises(SecretMissing):
        run("steady-day", "--target", "http://127.0.0.1:8080")


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigInvalid, match="NO_SUCH_VARIABLE"):
        run("steady-day", "--target", "http://127.0.0.1:8080", "--secret", "NO_SUCH_VARIABLE")
    assert config.variable("A", {"A": "b"}) == "b"


def test_a_secret_in_a_file_is_read_from_there(tmp_path: Path) -> None:
    (tmp_path / "load.env").write_text("A=b\n")
    given = ("--target", "http://127.0.0.1:8080", "--secret-file", "load.env", "--secret")
    with pytest.raises(ConfigInvalid, match="OTHER"):
        run("steady-day", *given, "OTHER")


def test_a_demos_callback_secret_is_no_vendors_key(tmp_path: Path) -> None:
    Whereabouts(
        url="http://127.0.0.1:8080", town_url="http://127.0.0.1:1", secret="s", short_code="888880"
    ).write(tmp_path)
    with pytest.raises(SecretMissing) as missing:
        run("vendor-day", "--home", str(tmp_path))
    assert "vendor-day" in missing.value.advice()


def test_a_demos_secret_is_for_that_demo_alone(tmp_path: Path) -> None:
    Whereabouts(
        url="http://127.0.0.1:8080", town_url="http://127.0.0.1:1", secret="s", short_code="888880"
    ).write(tmp_path)
    options = loadtest.Options(home=tmp_path)
    there, secret = loadtest._address(options, OPERATOR)
    assert (there.url, secret) == ("http://127.0.0.1:8080", "s")
    with pytest.raises(SecretMissing):
        loadtest._address(loadtest.Options(home=tmp_path, target="http://127.0.0.1:9"), OPERATOR)


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run("scenarios")
    told = capsys.readouterr().out
    assert all(name in told for name in SCENARIOS)


def test_a_plan_reckons_with_what_the_bench_left(capsys: pytest.CaptureFixture[str]) -> None:
    loadtest.RESULTS.parent.mkdir(parents=True)
    drained = {"drain_540k_s": {"value": 97.3}, "vend_over_tpcb": {"value": None}}
    rounds = [{"rates": {"sale": {"per_second": 1110.0}}}]
    results = {"made_at": "2026-11-22", "figures": drained, "details": {"rounds": rounds}}
    loadtest.RESULTS.write_text(json.dumps(results))
    run("plan")
    assert "drained in 97 s" in " ".join(capsys.readouterr().out.split())
    loadtest.RESULTS.write_text(json.dumps(results | {"figures": {}}))
    run("plan")
    assert "8 min" in capsys.readouterr().out
    loadtest.RESULTS.write_text(json.dumps(results | {"figures": {}, "details": {}}))
    run("plan")
    assert "make bench" in " ".join(capsys.readouterr().out.split())
    loadtest.RESULTS.write_text("[]")
    run("plan")
    assert "make bench" in " ".join(capsys.readouterr().out.split())
    run("plan", "--measured-vends-per-second", "9,000", "--meters", "740000")
    assert "7 s" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["many", "0", "-3", "1/0"])
def test_a_plan_needs_numbers(text: str) -> None:
    with pytest.raises(NumberUnreadable):
        run("plan", f"--purchases-per-month={text}")


def test_progress_is_told_in_tenths_where_nobody_watches(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        shown = Progress(Console(file=file, width=200), title="x", seconds=100)
        with shown.shown() as progress:
            for number in range(100):
                progress.take(second(number))
    lines = (tmp_path / "log").read_text().splitlines()
    assert 9 <= len(lines) <= 12
    assert "10/s offered" in lines[0]


def test_progress_moves_on_a_terminal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        terminal = Console(file=file, width=200, force_terminal=True)
        with Progress(terminal, title="A day", seconds=2).shown() as progress:
            progress.take(second(0, status="503"))
            progress.take(Look(at=1, samples=samples(waiting=3, oldest=2)))
    told = (tmp_path / "log").read_text()
    assert "A day" in told
    assert "10 otherwise" in told
    assert "3 waiting, oldest 2 s" in told


def test_progress_says_when_the_target_shows_nothing() -> None:
    told = Told()
    told.take(Look(at=1, samples=None))
    assert told.line() == "no /metrics"
    told.take(Look(at=1, samples={}))
    assert told.line() == "? waiting, oldest ?"


async def test_top_shows_a_server_that_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The listener answers every path with a friendly body that has no metric in it."""
    async with listening() as listener:
        await _top_once(listener.url)
    told = capsys.readouterr().out
    assert f"database            {board.MISSING}" in told


async def _top_once(url: str) -> None:
    from vending.commands import top as module

    await module._top(url, once=True)


async def test_top_says_when_metrics_are_kept_from_it() -> None:
    async with listening() as listener:
        listener.plan.append((403, "no"))
        with pytest.raises(MetricsAway, match="403"):
            await _top_once(listener.url)
        url = listener.url
    with pytest.raises(MetricsAway, match="ClientConnectorError"):
        await _top_once(url)


def test_top_wants_an_address() -> None:
    with pytest.raises(TargetUnreadable):
        top(target="127.0.0.1:8080")


def test_a_stored_run_is_rendered_with_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vending.loadtest import run as runs

    runs.store(record(unacknowledged=2), tmp_path / "run.json")
    with pytest.raises(SystemExit) as end:
        loadtest.app(["render", "run.json", "--report", "page.html"], result_action="return_value")
    assert end.value.code == 1
    assert "Failed. A steady day" in capsys.readouterr().out
    assert "2 payments were never acknowledged" in (tmp_path / "page.html").read_text()
