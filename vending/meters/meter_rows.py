"""Rows of a meter file, from bytes to checked rows ready for COPY; pure, and fast on clean files.

A row is one line. Lines are taken a chunk at a time and checked column by
column: the few distinct values of most columns once each, the check digits of all meter numbers
in a few big-integer additions, all phones by one pattern. Only rows that stand out are looked at
one by one, which brings them to their stored form or finds the reason to reject them.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from operator import itemgetter
from typing import BinaryIO

from vending.errors import Rejected
from vending.meters import check_digits
from vending.meters.meter import MeterNumberMalformed, parse_meter_number
from vending.meters.phone import PhoneMalformed, e164

COLUMNS = (
    "meter_number", "sgc", "krn", "ti", "ea", "tct", "tid_base", "ken", "tariff",
    "tariff_category", "status", "phones", "language", "region",
)  # fmt: skip
"""Every column a file must have, in any order; phones are separated by semicolons."""

OPTIONAL_COLUMNS = ("customer_name", "free_month_wh")
"""Columns a file may have. One that is not there leaves what is stored as it is."""

PASSED_OVER = frozenset({"line", "reason"})
"""Columns of a rejects file that are not read, so that it can be mended and imported again."""

LINE_BYTES_MAX = 8_192
"""An honest row is about 100 bytes; ten phones and long names stay far below this."""

PHONES_MAX = 10
"""A meter's phones all read its tokens back; more than ten is a mistake in the file."""

CHUNK_BYTES = 1 << 18
"""A quarter of a megabyte, about 3,000 rows: larger ones are slower, as they outgrow the cache."""

_DISTINCT_MAX = 50_000
"""Distinct values remembered per column before starting afresh: bounds memory, not the file."""


class Reason(StrEnum):
    """Why a row is rejected; docs/operating/import-meters.md explains each to the operator."""

    COLUMN_COUNT = "column_count"
    QUOTES_UNBALANCED = "quotes_unbalanced"
    BAD_ENCODING = "bad_encoding"
    LINE_TOO_LONG = "line_too_long"
    METER_NUMBER_MALFORMED = "meter_number_malformed"
    CHECK_DIGIT = "check_digit"
    SGC_MALFORMED = "sgc_malformed"
    KRN_OUT_OF_RANGE = "krn_out_of_range"
    TI_OUT_OF_RANGE = "ti_out_of_range"
    EA_UNKNOWN = "ea_unknown"
    TCT_OUT_OF_RANGE = "tct_out_of_range"
    TID_BASE_UNKNOWN = "tid_base_unknown"
    KEN_OUT_OF_RANGE = "ken_out_of_range"
    TARIFF_MALFORMED = "tariff_malformed"
    TARIFF_CATEGORY_MALFORMED = "tariff_category_malformed"
    STATUS_UNKNOWN = "status_unknown"
    PHONE_MALFORMED = "phone_malformed"
    PHONES_TOO_MANY = "phones_too_many"
    LANGUAGE_UNKNOWN = "language_unknown"
    REGION_MALFORMED = "region_malformed"
    CUSTOMER_NAME_MALFORMED = "customer_name_malformed"
    FREE_MONTH_MALFORMED = "free_month_malformed"
    DUPLICATE_IN_FILE = "duplicate_in_file"
    KEY_DATA_DIFFERS = "key_data_differs"


class MeterFileRefused(Rejected):
    """The file is not a meter file, so none of it was imported.

    `reason` is one of: unreadable, rejects_unwritable, empty, not_utf8, header_malformed,
    column_missing, column_unknown, column_twice. The first line must name every column.
    """

    code = "meter_file_refused"


_NAME = re.compile(
    r"[^\x00-\x20\x7f-\x9f\\](?:[^\x00-\x1f\x7f-\x9f\\]{0,62}[^\x00-\x20\x7f-\x9f\\])?"
)

_FORMS: dict[str, tuple[re.Pattern[str], Reason]] = {
    "sgc": (re.compile(r"[0-9]{6}"), Reason.SGC_MALFORMED),
    "krn": (re.compile(r"[1-9]"), Reason.KRN_OUT_OF_RANGE),
    "ti": (re.compile(r"[0-9]{1,2}"), Reason.TI_OUT_OF_RANGE),
    "ea": (re.compile(r"0?7|11"), Reason.EA_UNKNOWN),
    "tct": (re.compile(r"[0-9]{1,2}"), Reason.TCT_OUT_OF_RANGE),
    "tid_base": (re.compile(r"93|14|35"), Reason.TID_BASE_UNKNOWN),
    "ken": (re.compile(r"25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9]"), Reason.KEN_OUT_OF_RANGE),
    "tariff": (_NAME, Reason.TARIFF_MALFORMED),
    "tariff_category": (_NAME, Reason.TARIFF_CATEGORY_MALFORMED),
    "status": (re.compile(r"active|blocked|removed"), Reason.STATUS_UNKNOWN),
    "language": (re.compile(r"en|sw"), Reason.LANGUAGE_UNKNOWN),
    "region": (re.compile(rf"(?:{_NAME.pattern})?"), Reason.REGION_MALFORMED),
    "customer_name": (re.compile(rf"(?:{_NAME.pattern})?"), Reason.CUSTOMER_NAME_MALFORMED),
    "free_month_wh": (re.compile(r"0|[1-9][0-9]{0,4}00|"), Reason.FREE_MONTH_MALFORMED),
}
"""The stored form of every column but the number and the phones."""

# None, one or two different Kenyan mobiles a line. Possessive: a long column needs no stack.
_PHONES = r"(?:(\+2547[0-9]{8})(?:;(?!\1)\+2547[0-9]{8})?)?"
_PHONES_STORED = re.compile(_PHONES)
_PHONES_STORED_ALL = re.compile(rf"(?:{_PHONES}\n)*+")


class RowRejected(Exception):
    """A row cannot be taken, for a reason."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of one file as they stand in it."""

    names: tuple[str, ...]

    @property
    def staged(self) -> tuple[str, ...]:
        """The columns that are read, in the file's order."""
        return tuple(name for name in self.names if name not in PASSED_OVER)


def read_header(line: bytes) -> Header:
    """Return the columns a file's first line names. Raises MeterFileRefused."""
    if not line.strip():
        raise MeterFileRefused(reason="empty")
    try:
        text = line.decode("utf-8-sig")
        fields = split_row(text.rstrip("\r\n"))
    except UnicodeDecodeError:
        raise MeterFileRefused(reason="not_utf8") from None
    except RowRejected:
        raise MeterFileRefused(reason="header_malformed") from None
    names = tuple(name.strip().lower() for name in fields)
    if missing := [name for name in COLUMNS if name not in names]:
        raise MeterFileRefused(reason="column_missing", columns=" ".join(missing))
    if unknown := set(names).difference(COLUMNS, OPTIONAL_COLUMNS, PASSED_OVER):
        raise MeterFileRefused(reason="column_unknown", columns=" ".join(sorted(unknown)))
    if len(set(names)) < len(names):
        raise MeterFileRefused(reason="column_twice")
    return Header(names)


def read_header_line(file: BinaryIO) -> Header:
    """Read a file's first line and return the columns it names. Raises MeterFileRefused."""
    return read_header(file.readline(LINE_BYTES_MAX))


def chunks(file: BinaryIO, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield whole lines of the rest of a file, about `chunk_bytes` at a time.

    A line too long to be a row is cut short, so that memory stays flat whatever the file holds.
    """
    rest = b""
    for block in iter(partial(file.read, chunk_bytes), b""):
        whole, newline, tail = block.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = tail[: LINE_BYTES_MAX + 1]
        else:
            rest = (rest + tail)[: LINE_BYTES_MAX + 1]
    if rest:
        yield rest


def lines_of(chunk: bytes) -> list[bytes]:
    """Return a chunk's lines without their line feeds."""
    return chunk.removesuffix(b"\n").split(b"\n")


def row_as_written(line: bytes, header: Header) -> list[str]:
    """Return a rejected line's fields for a person to mend: all of it in the first when unclear."""
    text = line.decode("utf-8", "backslashreplace").removesuffix("\r").replace("\0", "\\0")
    try:
        fields = split_row(text)
    except RowRejected:
        fields = []
    if len(fields) != len(header.names):
        return [text, *[""] * (len(header.staged) - 1)]
    return [
        field for name, field in zip(header.names, fields, strict=True) if name not in PASSED_OVER
    ]


def split_row(text: str) -> list[str]:
    """Return the fields of one line. Raises RowRejected when its quotes do not close."""
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader((text,), strict=True))
    except csv.Error:
        raise RowRejected(Reason.QUOTES_UNBALANCED) from None


@dataclass(frozen=True, slots=True)
class Checked:
    """One chunk's outcome: rows as COPY's text format, rejects as line number and reason."""

    lines: int
    rows: int
    copy_data: bytes
    rejects: list[tuple[int, Reason]]


@dataclass(slots=True)
class RowChecker:
    """Checks the rows of one file, remembering which values it has found good."""

    header: Header
    country: str
    _known: dict[str, set[str]] = field(default_factory=dict)
    _rejects: list[tuple[int, Reason]] = field(default_factory=list)

    def check(self, chunk: bytes, *, first_line: int) -> Checked:
        """Check a chunk of whole lines whose first is line number `first_line` of the file."""
        self._rejects = []
        lines = lines_of(chunk)
        numbers, rows = self._split(chunk, lines, first_line)
        suspects = self._suspects(rows) if rows else set()
        for position in sorted(suspects):
            try:
                rows[position] = self._brought_to_form(rows[position])
            except RowRejected as rejected:
                self._rejects.append((numbers[position], rejected.reason))
                rows[position] = ()
        data = "".join(
            [
                f"{number}\t" + "\t".join(row) + "\n"
                for number, row in zip(numbers, rows, strict=True)
                if row
            ]
        )
        return Checked(
            lines=len(lines),
            rows=len(rows) - sum(1 for position in suspects if not rows[position]),
            copy_data=data.encode(),
            rejects=sorted(self._rejects),
        )

    def _split(
        self, chunk: bytes, lines: list[bytes], first_line: int
    ) -> tuple[Sequence[int], list[Sequence[str]]]:
        """Split lines into fields, rejecting those that have no proper ones."""
        width = len(self.header.names)
        if b'"' not in chunk and b"\r" not in chunk:
            try:
                rows = [line.split(",") for line in chunk.decode().removesuffix("\n").split("\n")]
            except UnicodeDecodeError:
                rows = []
            if set(map(len, rows)) == {width} and len(max(lines, key=len)) <= LINE_BYTES_MAX:
                return range(first_line, first_line + len(rows)), self._picked(rows)
        numbers, rows = [], []
        for number, line in enumerate(lines, first_line):
            try:
                if fields := self._fields(line):
                    rows.append(fields)
                    numbers.append(number)
            except RowRejected as rejected:
                self._rejects.append((number, rejected.reason))
        return numbers, self._picked(rows)

    def _fields(self, line: bytes) -> list[str]:
        """Return one line's fields; none for an empty line. Raises RowRejected."""
        if len(line) > LINE_BYTES_MAX:
            raise RowRejected(Reason.LINE_TOO_LONG)
        try:
            text = line.decode().removesuffix("\r")
        except UnicodeDecodeError:
            raise RowRejected(Reason.BAD_ENCODING) from None
        if not text.strip():
            return []
        fields = split_row(text)
        if len(fields) != len(self.header.names):
            raise RowRejected(Reason.COLUMN_COUNT)
        return fields

    def _picked(self, rows: list[list[str]]) -> list[Sequence[str]]:
        """Return rows without the columns that are passed over."""
        names = self.header.names
        if PASSED_OVER.isdisjoint(names):
            return list(rows)
        pick = itemgetter(*(names.index(name) for name in self.header.staged))
        return [pick(row) for row in rows]

    def _suspects(self, rows: list[Sequence[str]]) -> set[int]:
        """Return the positions of rows with any value that is not in its stored form."""
        suspects: set[int] = set()
        for name, column in zip(self.header.staged, zip(*rows, strict=True), strict=True):
            if name == "meter_number":
                suspects.update(check_digits.suspects(column))
            elif name == "phones":
                if not _PHONES_STORED_ALL.fullmatch("\n".join(column) + "\n"):
                    stored = _PHONES_STORED.fullmatch
                    suspects.update(at for at, value in enumerate(column) if not stored(value))
            elif strange := self._strange(name, set(column)):
                suspects.update(at for at, value in enumerate(column) if value in strange)
        return suspects

    def _strange(self, name: str, values: set[str]) -> set[str]:
        """Return those values that are not in the stored form of a column."""
        known = self._known.setdefault(name, set())
        fullmatch = _FORMS[name][0].fullmatch
        new = values - known
        good = {value for value in new if fullmatch(value)}
        if len(known) + len(good) > _DISTINCT_MAX:
            known.clear()
        known |= good
        return new - good

    def _brought_to_form(self, row: Sequence[str]) -> list[str]:
        """Return a row with every value in its stored form. Raises RowRejected."""
        return [
            self._value(name, value.strip())
            for name, value in zip(self.header.staged, row, strict=True)
        ]

    def _value(self, name: str, value: str) -> str:
        if name == "meter_number":
            try:
                return parse_meter_number(value)
            except MeterNumberMalformed as malformed:
                failed = malformed.facts["reason"] in {"check_digit", "pan_check_digit"}
                reason = Reason.CHECK_DIGIT if failed else Reason.METER_NUMBER_MALFORMED
                raise RowRejected(reason) from None
        if name == "phones":
            return self._phones(value)
        form, reason = _FORMS[name]
        if not form.fullmatch(value):
            raise RowRejected(reason)
        return value

    def _phones(self, value: str) -> str:
        try:
            phones = [e164(part, country=self.country) for part in value.split(";") if part.strip()]
        except PhoneMalformed:
            raise RowRejected(Reason.PHONE_MALFORMED) from None
        if len(phones) > PHONES_MAX:
            raise RowRejected(Reason.PHONES_TOO_MANY)
        return ";".join(dict.fromkeys(phones))
