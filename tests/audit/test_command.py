"""`vending audit` as an operator runs it: a process with an exit code."""

import asyncio
import os
import sys

from tests.audit.conftest import Books
from vending.audit import auditor


async def _audit(books: Books, *arguments: str) -> tuple[int | None, list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vending", "audit", *arguments,
        env={**os.environ, "STIMA_DATABASE__DSN": books.database.dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, out.decode().splitlines()


async def test_a_clean_audit_says_ok_for_each_rule_and_exits_zero(books: Books) -> None:
    status, lines = await _audit(books)
    *told, last = lines
    assert status == 0
    assert len(told) == len(auditor.RULES)
    for line, rule in zip(told, auditor.RULES, strict=True):
        assert line.split()[:2] == [rule.promise, rule.name]
        assert line.endswith(": ok")
    assert last == f"{len(auditor.RULES)} rules checked, 0 broken"


async def test_a_broken_rule_is_told_in_its_line_and_by_the_exit_code(books: Books) -> None:
    await books.db.execute("delete from entry where document_id = $1", books.sold[0])
    status, lines = await _audit(books, "--older-than", "0")
    assert status == 1
    (told,) = [line for line in lines if " token-booked " in line]
    assert told.endswith(f": 1 violation: {books.sold[0]}")


async def test_the_audit_cannot_write(books: Books) -> None:
    # A rule that writes would fail here, and be told as one that could not be checked.
    await books.db.execute("alter role stima_app set default_transaction_read_only = on")
    try:
        status, _ = await _audit(books)
    finally:
        await books.db.execute("alter role stima_app reset default_transaction_read_only")
    assert status == 0
