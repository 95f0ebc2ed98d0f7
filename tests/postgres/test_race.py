"""Two starters of one cluster: a server that was killed while PostgreSQL started left it starting.

Its successor sees nothing yet, starts a PostgreSQL of its own, and finds the place taken.
"""

import dataclasses
from pathlib import Path

from tests.postgres.test_embedded import ask, pid_of
from vending.postgres import postmaster
from vending.postgres.account import account_for
from vending.postgres.binaries import find
from vending.postgres.embedded import EmbeddedSettings, running

# The first call brings up a PostgreSQL that is nobody's, and only then becomes one itself.
RACED = """#!/bin/sh
case "$1" in
-D)
    if mkdir "$2/raced" 2>/dev/null; then
        setsid {postgres} "$@" &
        until tail -n 1 "$2/postmaster.pid" 2>/dev/null | grep -q ready; do sleep 0.01; done
    fi ;;
esac
exec {postgres} "$@"
"""


def _raced_programs(directory: Path, settings: EmbeddedSettings) -> Path:
    account = account_for(settings.data_dir)
    found = find(None, account, settings.system_home / "programs")
    bin_dir = directory / "bin"
    bin_dir.mkdir()
    (bin_dir / "initdb").symlink_to(found.bin_dir / "initdb")
    postgres = bin_dir / "postgres"
    postgres.write_text(RACED.format(postgres=found.bin_dir / "postgres"))
    postgres.chmod(0o755)
    return bin_dir


async def test_a_postgres_that_somebody_else_was_starting_is_taken_over(
    directory: Path, settings: EmbeddedSettings
) -> None:
    async with running(settings):
        pass
    raced = dataclasses.replace(settings, bin_dir=_raced_programs(directory, settings))
    said: list[str] = []
    async with running(raced, on_line=said.append) as dsn:
        assert await ask(dsn, "select 1") == 1
        first = pid_of(raced)
        # It is followed like one of our own: alive, so not started again.
        await ask(dsn, "select pg_sleep(0.6)")
        assert pid_of(raced) == first
    assert not [line for line in said if "has died" in line]
    assert postmaster.running(settings.data_dir.resolve()) is None
