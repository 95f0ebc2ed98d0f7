"""`vending meters`, run as a person runs it."""

import asyncio
import io
import sys
from pathlib import Path

from rich.console import Console

from tests.database import Database
from tests.meters.files import a_row, line, write
from vending.commands.meters import told_progress
from vending.meters.imports import Progress


async def vending(database: Database, *arguments: str) -> tuple[int, str, str]:
    """Run one command on a database; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vending", *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={"STIMA_DATABASE__DSN": database.dsn, "COLUMNS": "200"},
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def test_an_import_tells_its_progress_its_rate_and_its_rejects(
    database: Database, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.csv", [line(), line(), line(krn="0")])
    code, out, errors = await vending(database, "meters", "import", str(path))
    told = out.splitlines()
    assert code == 0
    assert told[0] == f"reading {path.stat().st_size} of {path.stat().st_size} bytes"
    assert told[1] == "merging 2 of 2 rows"
    assert told[2].startswith("3 rows in ")
    assert told[2].endswith(" rows/s): 2 added, 0 updated, 0 unchanged, 1 rejected")
    assert told[3] == f"rejected rows and why: {tmp_path / 'm.rejects.csv'}"
    assert '"rows_per_second":' in errors
    assert "\x1b" not in out


async def test_a_file_that_is_none_is_one_sentence_and_exit_code_1(
    database: Database, tmp_path: Path
) -> None:
    code, out, errors = await vending(database, "meters", "import", str(tmp_path / "none.csv"))
    assert (code, out) == (1, "")
    assert "[meter_file_refused: reason=unreadable" in errors
    assert "Traceback" not in errors


async def test_a_meter_is_shown_blocked_and_unblocked(database: Database, tmp_path: Path) -> None:
    row = a_row(phones="+254712345678", region="Lamu")
    number = row["meter_number"]
    await vending(
        database, "meters", "import", str(write(tmp_path / "m.csv", [",".join(row.values())]))
    )
    code, out, _ = await vending(database, "meters", "show", number)
    assert code == 0
    for shown in (number, "active", "201457", "Lamu", "+2547***78", "KE-DC, DC"):
        assert shown in out
    assert "712345678" not in out
    assert (await vending(database, "meters", "block", number))[1] == f"{number} is blocked\n"
    assert "blocked" in (await vending(database, "meters", "show", number))[1]
    assert (await vending(database, "meters", "unblock", number))[1] == f"{number} may buy\n"


async def test_a_meter_nobody_knows_is_said_to_be_unknown(database: Database) -> None:
    for verb in ("show", "block"):
        code, _, errors = await vending(database, "meters", verb, "12345678903")
        assert code == 1
        assert "[meter_unknown: meter_number=12345678903]" in errors
    code, _, errors = await vending(database, "meters", "show", "12345678904")
    assert code == 1
    assert "[meter_number_malformed: reason=check_digit]" in errors


def test_progress_is_a_few_plain_lines_where_nobody_watches() -> None:
    out = io.StringIO()
    with told_progress(Console(file=out)) as tell:
        for done in range(1, 1_001):
            tell(Progress(stage="merging", done=done, total=1_000))
    lines = out.getvalue().splitlines()
    assert lines == [f"merging {done} of 1000 rows" for done in range(100, 1_001, 100)]


def test_progress_is_bars_on_a_terminal() -> None:
    out = io.StringIO()
    with told_progress(Console(file=out, force_terminal=True, width=120)) as tell:
        tell(Progress(stage="reading", done=100, total=100))
        tell(Progress(stage="merging", done=30, total=40))
    assert "75%" in out.getvalue()
    assert "30/40" in out.getvalue()
