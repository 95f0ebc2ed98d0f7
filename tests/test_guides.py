"""What the guides for operators show is what the server takes."""

import os
import re
import socket
import sys
from pathlib import Path

import pytest

from tests.commands.demo_process import demo, ended
from vending.tariffs.charge import ChargeKind, TaxMode
from vending.tariffs.document import parse
from vending.tariffs.example import check

HERE = "http://127.0.0.1:8080"
"""Where the guides expect a demo; a test's is elsewhere."""

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
OPERATING = Path(__file__).parents[1] / "docs" / "operating"


def guide(name: str) -> str:
    return (OPERATING / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """Return a guide's blocks in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", guide(name), re.MULTILINE | re.DOTALL)


def test_the_tariff_guide_is_a_tariff_whose_examples_come_out() -> None:
    document = parse("\n".join(blocks("tariffs.md", "toml")))
    check(document.tariff, document.examples)
    assert len(document.examples) >= 2
    assert document.tariff.code in blocks("tariffs.md", "console")[0]


@pytest.mark.parametrize("word", [*ChargeKind, *TaxMode])
def test_the_tariff_guide_knows_every_kind_of_line_and_of_tax(word: str) -> None:
    assert f"| `{word}` |" in guide("tariffs.md")


async def test_the_guide_for_those_who_sell_can_be_pasted(tmp_path: Path) -> None:
    """All its commands, in their order, at a demo; `make run` is the first of them."""
    start, *pasted = blocks("sell.md", "sh")
    first, second = blocks("sell.md", "python")
    assert start == "make run\n"
    async with demo(tmp_path / ".stima") as running:
        url = re.sub(r".*server +", "", await running.line("server       http"))
        await running.line("Serving since")
        code, told = await ended(
            ("bash", "-euo", "pipefail", "-c", "".join(pasted).replace(HERE, url)),
            environment={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            folder=tmp_path,
        )
        assert code == 0, told
        tokens = re.findall(r'"token":"([0-9]{20})"', told)
        assert len(tokens) == 4
        assert len(set(tokens)) == 2
        assert told.count('"sandbox":true') == 1
        assert '"balance_minor":24950000' in told
        assert told.count('"code":"reference_barred"') == 2
        key = (tmp_path / "acme.key").read_text().strip()
        for program, shown in ((first, "('energy', "), (second, "1 sale for 30000 cents")):
            code, told = await ended(
                (sys.executable, "-c", program.replace(HERE, url)), environment={"KEY": key}
            )
            assert code == 0, told
            assert shown in told
            assert re.search(r"\b[0-9]{20}\b", told), told
        await _hear(tmp_path, {"KEY": key, "URL": url})


async def _hear(folder: Path, environment: dict[str, str]) -> None:
    """Paste what webhooks.md shows to try: an endpoint, a receiver, a test event, a forged one."""
    page = REFERENCE / "webhooks.md"
    text = re.sub(r"^.*?## Try it", "", page.read_text("utf-8"), flags=re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    text = text.replace("9000", port)
    made, asked = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (folder / "receiver.py").write_text(program)
    heard = folder / "heard.txt"
    script = (
        f"{made}\n{sys.executable} receiver.py > heard.txt 2>&1 & receiver=$!\n"
        f"for _ in $(seq 100); do curl -s -o /dev/null localhost:{port} && break; sleep 0.1; done\n"
        f"{asked}\nfor _ in $(seq 100); do grep -q genuine heard.txt && break; sleep 0.1; done\n"
        "kill $receiver"
    )
    code, told = await ended(("bash", "-c", script), environment=environment, folder=folder)
    assert code == 0, told
    assert "genuine: endpoint.test" in heard.read_text(), told
    assert "not believed: " in heard.read_text(), told
