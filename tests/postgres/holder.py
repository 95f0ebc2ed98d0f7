"""A process of its own that runs the embedded PostgreSQL until its standard input closes.

Usage: python -m tests.postgres.holder DATA_DIR SYSTEM_HOME. Prints the address once it runs, then
after Ctrl-C one more line that proves PostgreSQL was still there to be asked.
"""

import asyncio
import sys
from pathlib import Path

import asyncpg

from vending.postgres.embedded import EmbeddedSettings, running


async def _hold(settings: EmbeddedSettings) -> None:
    async with running(settings) as dsn:
        print(dsn, flush=True)
        try:
            await asyncio.to_thread(sys.stdin.read)
        finally:
            connection = await asyncpg.connect(dsn)
            print("still there:", await connection.fetchval("select 1"), flush=True)
            await connection.close()


if __name__ == "__main__":
    data_dir, system_home = map(Path, sys.argv[1:])
    asyncio.run(
        _hold(EmbeddedSettings(data_dir=data_dir, system_home=system_home, shared_buffers_mb=32))
    )
