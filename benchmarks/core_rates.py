"""The STS core's own rates, from the benches that come with it: Rust's and Python's tables, read.

A bench prints lines such as ``EA07 derive and issue, batch   1,990,721 /s``; the slower of the two
algorithms counts.
"""

import asyncio
import re
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.goals import Result
from benchmarks.processors import Spent
from benchmarks.quiet import Quiet, spent_in

ROOT = Path(__file__).parents[1]
RUST = ("cargo", "bench", "--quiet", "--locked")
PYTHON = (sys.executable, str(Path(__file__).with_name("sts_tokens.py")))

ROWS = {
    "derive_issue": "derive and issue, batch",
    "issue_ready": "issue, ready key, batch",
    "decode": "decode, ready key, batch",
}

_RATE = re.compile(r"^(EA\d\d) (.+?)\s{2,}([\d,]+) /s", re.MULTILINE)


def rates(table: str) -> dict[str, dict[str, float]]:
    """Return the rates of a bench's table by row and algorithm."""
    found: dict[str, dict[str, float]] = {}
    for algorithm, row, rate in _RATE.findall(table):
        found.setdefault(row, {})[algorithm] = float(rate.replace(",", ""))
    return found


async def measure(result: Result, *, quiet: Quiet) -> None:
    """Run both benches and set their figures."""
    for language, command, folder in (
        ("rust", RUST, ROOT / "sts_core_rs"),
        ("python", PYTHON, ROOT),
    ):
        if shutil.which(command[0]) is None:
            _nothing(result, language, f"{command[0]} is not installed")
            continue
        table, status = await quiet.measure(
            f"core from {language}", partial(_listened_to, command, folder), tries=2
        )
        if status:
            _nothing(result, language, table.strip().splitlines()[-1] if table.strip() else "")
            continue
        found = rates(table)
        for name, row in ROWS.items():
            each = found[row]
            told = ", ".join(f"{algorithm} {rate:,.0f}/s" for algorithm, rate in each.items())
            note = told + quiet.told(f"core from {language}")
            result.set(f"sts_{language}_{name}", min(each.values()), note=note)


def _nothing(result: Result, language: str, reason: str) -> None:
    for name in ROWS:
        result.set(f"sts_{language}_{name}", reason=reason or "the bench failed")


async def _listened_to(command: Sequence[str], folder: Path) -> tuple[tuple[str, int], Spent]:
    """Run a bench; return what it said, its status, and the processor time meanwhile."""
    return await spent_in({}, _run(command, folder))


async def _run(command: Sequence[str], folder: Path) -> tuple[str, int]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return said.decode(), process.returncode or 0
