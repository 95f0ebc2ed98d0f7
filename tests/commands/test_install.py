"""docs/operating/install.md, followed to the letter: from no database to the first token."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import database as databases
from tests.builders import VENDING_KEY
from tests.commands.demo_process import VENDING, ended, served
from tests.commands.offices import TARIFF
from vending import config

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operating" / "install.md").read_text(encoding="utf-8")
METERS = (ROOT / "docs" / "operating" / "import-meters.md").read_text(encoding="utf-8")
WAIT_SECONDS = 60


def block(text: str, language: str, containing: str = "") -> str:
    """Return the first block of a guide in a language that holds certain words."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return next(one for one in found if containing in one)


def setting(name: str) -> str:
    found = re.search(rf'^{name} = "([^"]+)"', block(GUIDE, "toml"), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture
def home() -> Iterator[Path]:
    """Lay out what the guide takes for granted: settings, a key, a tariff file, a meter file."""
    with databases.cluster_directory() as directory:
        settings = block(GUIDE, "toml").replace("/var/lib/stima", str(directory))
        settings = settings.replace("port = 8080", "port = 0")
        settings = re.sub(
            r"^allowed_addresses = .*$",
            'allowed_addresses = ["127.0.0.1"]',
            settings,
            flags=re.MULTILINE,
        )
        (directory / "stima.toml").write_text(settings, encoding="utf-8")
        (directory / "vending-key.hex").write_text(VENDING_KEY + "\n")
        (directory / "tariff.toml").write_text(TARIFF.read_text(encoding="utf-8"))
        (directory / "meters.csv").write_text(block(METERS, "csv"))
        yield directory


async def typed(command: str, home: Path, **environment: str) -> tuple[int, str]:
    """Type a command of the guide into a shell that knows `vending`."""
    words = shlex.join(VENDING)
    shell = f'vending() {{ {words} "$@"; }}; cd {shlex.quote(str(home))}; {command}'
    return await ended(("bash", "-c", shell), environment={"PYTHONPATH": str(ROOT), **environment})


def test_the_sample_settings_are_settings(tmp_path: Path) -> None:
    path = tmp_path / "stima.toml"
    path.write_text(block(GUIDE, "toml"), encoding="utf-8")
    settings = config.read(path, {})
    assert settings.product_of("mpesa", "888880") == "prepaid"
    assert settings.mpesa.allowed_addresses
    assert len(settings.mpesa.secret) >= 24


async def test_the_guide_leads_to_a_token(home: Path) -> None:
    steps = block(GUIDE, "sh", "vending keys add").splitlines()
    variables = dict(line.removeprefix("export ").split("=", 1) for line in steps[:2])
    assert list(variables) == ["STIMA_CONFIG", "STIMA_KEYS__PASSPHRASE"]
    environment = {
        "STIMA_CONFIG": str(home / "stima.toml"),
        "STIMA_KEYS__PASSPHRASE": shlex.split(variables["STIMA_KEYS__PASSPHRASE"])[0],
    }
    assert steps[-1] == "vending serve"
    for step in steps[2:-1]:
        code, told = await typed(step, home, **environment)
        assert code == 0, f"{step}\n{told}"

    async with served(home / "stima.toml", environment) as running:
        url = json.loads(await running.line('"listening"'))["url"]
        pay, show, read = re.split(
            r"\n(?=vending|tail)", block(GUIDE, "sh", "curl").strip().replace(
                "http://127.0.0.1:8080", url
            ).replace("/var/lib/stima", str(home)),
        )  # fmt: skip
        code, answer = await typed(pay.replace("curl", "curl --max-time 20"), home)
        assert (code, answer) == (0, '{"ResultCode":0,"ResultDesc":"Success"}'), answer
        async with asyncio.timeout(WAIT_SECONDS):
            while "token_issued" not in (await typed(show, home, **environment))[1]:
                await asyncio.sleep(0.1)
            while "Token:" not in (await typed(read, home))[1]:
                await asyncio.sleep(0.1)
        code, left = await running.interrupt()
    assert (code, left) == (0, [])


def test_the_unit_starts_the_server_by_the_sample_s_paths() -> None:
    unit = block(GUIDE, "ini")
    assert "ExecStart=/opt/stima/.venv/bin/vending serve --config /etc/stima/stima.toml" in unit
    assert "StateDirectory=stima" in unit
    assert setting("data_dir").startswith("/var/lib/stima/")
    drain = config.Server().drain_seconds
    stop = re.search(r"^TimeoutStopSec=(\d+)", unit, re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) > 2 * drain
