"""Meter files to import: rows with a default for every column, and files made of them."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from tests.builders import a_meter_number
from vending.meters.meter_rows import COLUMNS

ROW = {
    "meter_number": "",
    "sgc": "201457",
    "krn": "1",
    "ti": "01",
    "ea": "07",
    "tct": "02",
    "tid_base": "14",
    "ken": "255",
    "tariff": "KE-DC",
    "tariff_category": "DC",
    "status": "active",
    "phones": "+254712345678",
    "language": "en",
    "region": "Nairobi",
}


def a_row(**values: str) -> dict[str, str]:
    """Return a good row, of a meter nobody else has."""
    return ROW | {"meter_number": a_meter_number()} | values


def line(**values: str) -> str:
    """Return a good row as a line of a file, without its end."""
    return ",".join(a_row(**values).values())


def write(path: Path, lines: Iterable[str], *, columns: Iterable[str] = COLUMNS) -> Path:
    """Write a header and lines, and return the path."""
    path.write_text("\n".join([",".join(columns), *lines]) + "\n", encoding="utf-8")
    return path


def rejects(path: Path) -> list[tuple[int, str]]:
    """Return line number and reason of every row of a rejects file."""
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
    return [(int(row["line"]), row["reason"]) for row in rows]
