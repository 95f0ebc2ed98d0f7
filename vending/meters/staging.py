"""One import's staging tables: where a file's rows lie before they are merged into the meters.

The tables are unlogged and belong to one run, which holds an advisory lock on its number for as
long as it lives; tables whose lock is free were left by a run that died, and the next run drops
them. Rows are merged in ranges of meter numbers, in order, so that two imports of the same meters
queue behind each other and never dead-lock, and so that each index page is visited once.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from vending.meters.meter_rows import Reason
from vending.postgres import pool
from vending.postgres.pool import Connection

RANGE_ROWS = 50_000
"""Rows merged in one transaction: about a second, so that nothing waits long for an import."""

ATTEMPTS_MAX = 5
"""Tries of one range when somebody else keeps adding the same meters at the same moment."""

_SCHEMA: Final = "staging"
LOCK_CLASS = 0x6D657465
"""Sets our advisory locks apart from anyone else's ("mete")."""

_LOCK = "select pg_advisory_lock($1, $2)"
_TRY_LOCK = "select pg_try_advisory_lock($1, $2)"
_UNLOCK = "select pg_advisory_unlock($1, $2)"

_LEFT_BEHIND = """
select distinct substring(tablename from '[0-9]+$')::integer
  from pg_tables
 where schemaname = 'staging' and tableowner = current_user
   and tablename ~ '^meter_(rows|rejects)_[0-9]+$'
"""

# Written for short ranges of big tables, whatever the statistics of a new table make of it.
_SESSION = """
set enable_hashjoin = off;
set enable_seqscan = off;
set plan_cache_mode = force_custom_plan;
set work_mem = '64MB';
set maintenance_work_mem = '256MB'
"""

# The index on phones takes in eight times as many at once as by itself, and writes each of its
# pages once for many phones. Until it has, a look-up by phone reads these 32 MB as well.
_IN_BULK = """
set local gin_pending_list_limit = '32MB';
set local work_mem = '128MB'
"""

_DIRECTORY_IS_EMPTY = "select not exists (select from meter)"

# ROWS and REJECTS stand for the run's own tables, which a parameter cannot name. What a file may
# have or not is written at the marks with a plus, and nothing where it has not.
_MAKE_REJECTS = "create unlogged table REJECTS (line bigint not null, reason text not null)"

_MAKE_ROWS = """
create unlogged table ROWS (
    line            bigint   not null,
    meter_number    text     not null,
    sgc             text     not null,
    krn             smallint not null,
    ti              smallint not null,
    ea              smallint not null,
    tct             smallint not null,
    tid_base        smallint not null,
    ken             smallint not null,
    tariff          text     not null,
    tariff_category text     not null,
    status          text     not null,
    phones          text     not null,
    language        text     not null,
    region          text     not null/*+type*/
)
"""

_INDEX_ROWS = "create index on ROWS (meter_number, line)"

_DROP = "drop table if exists ROWS, REJECTS"

_RANGE_END = """
select meter_number from ROWS where meter_number > $1 order by meter_number offset $2 limit 1
"""

# Of one meter's rows the first in the file counts.
_REJECT_DUPLICATES = """
with placed as (
    select meter_number, line,
           row_number() over (partition by meter_number order by line) as place
      from ROWS
     where meter_number > $1 and meter_number <= $2
), taken_out as (
    delete from ROWS r
     using placed p
     where p.place > 1 and r.meter_number = p.meter_number and r.line = p.line
    returning r.line
)
insert into REJECTS (line, reason) select line, 'duplicate_in_file' from taken_out
"""

_RANGE_IS_NEW = """
select not exists (select from meter where meter_number > $1 and meter_number <= $2)
   and not exists (select from meter_state where meter_number > $1 and meter_number <= $2)
"""

_REJECT_KEY_DATA = """
with taken_out as (
    delete from ROWS r
     using meter m
     where r.meter_number > $1 and r.meter_number <= $2 and m.meter_number = r.meter_number
       and (m.sgc, m.krn, m.ti, m.ea, m.tid_base, m.ken)
           is distinct from (r.sgc, r.krn, r.ti, r.ea, r.tid_base, r.ken)
    returning r.line
)
insert into REJECTS (line, reason) select line, 'key_data_differs' from taken_out
"""

_CHANGE = """
update meter m
   set tct = r.tct, tariff = r.tariff, tariff_category = r.tariff_category, status = r.status,
       phones = string_to_array(r.phones, ';'), language = r.language, region = r.region,
       updated_at = $3/*+set*/
  from ROWS r
 where r.meter_number > $1 and r.meter_number <= $2 and m.meter_number = r.meter_number
   and (m.tct, m.tariff, m.tariff_category, m.status, m.phones, m.language, m.region/*+old*/)
       is distinct from (r.tct, r.tariff, r.tariff_category, r.status,
                         string_to_array(r.phones, ';'), r.language, r.region/*+new*/)
"""

# A meter that somebody else adds meanwhile makes this fail and the range start again: that is
# rare, and cheaper than asking for every row what to do on a conflict. $4 says that the range held
# no meter, and spares the look-ups.
_ADD = """
insert into meter (meter_number, sgc, krn, ti, ea, tct, tid_base, ken, tariff, tariff_category,
                   status, phones, language, region, updated_at/*+name*/)
select r.meter_number, r.sgc, r.krn, r.ti, r.ea, r.tct, r.tid_base, r.ken, r.tariff,
       r.tariff_category, r.status, string_to_array(r.phones, ';'), r.language, r.region, $3/*+new*/
  from ROWS r
 where r.meter_number > $1 and r.meter_number <= $2
   and ($4 or not exists (select from meter m where m.meter_number = r.meter_number))
 order by r.meter_number
"""

_ADD_STATE = """
insert into meter_state (meter_number, tid_base)
select r.meter_number, r.tid_base
  from ROWS r
 where r.meter_number > $1 and r.meter_number <= $2
   and ($3 or not exists (select from meter_state s where s.meter_number = r.meter_number))
 order by r.meter_number
"""

_OPTIONAL: Final = {
    "customer_name": ("text", "r.customer_name"),
    "free_month_wh": ("text", "coalesce(nullif(r.free_month_wh, ''), '0')::integer"),
}
"""The columns a file may have: their type when staged, and what is stored of them."""

_REJECTS_IN_ORDER = "select line, reason from REJECTS order by line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """How many rows of a range were new, changed a meter, or were rejected."""

    added: int = 0
    updated: int = 0
    rejected: int = 0

    def __add__(self, other: "Merged") -> "Merged":
        return Merged(
            added=self.added + other.added,
            updated=self.updated + other.updated,
            rejected=self.rejected + other.rejected,
        )


@dataclass(slots=True)
class Staging:
    """The staging tables of one run. `rows` counts what was copied in."""

    connection: Connection
    columns: Sequence[str]
    number: int
    rows: int = 0

    async def make(self) -> None:
        """Take the run's number, clear up after runs that died, and make the rejects table."""
        await settle(self.connection)
        await self.connection.execute(_LOCK, LOCK_CLASS, self.number)
        await self._drop_left_behind()
        await self.connection.execute(self._sql(_MAKE_REJECTS))

    async def fill(self, copy_data: AsyncIterator[bytes]) -> None:
        """Make the rows table of checked rows in COPY's text format, and index it."""
        async with pool.transaction(self.connection):
            await self.connection.execute(self._sql(_MAKE_ROWS))
            tag = await self.connection.copy_to_table(
                f"meter_rows_{self.number}",
                schema_name=_SCHEMA,
                columns=["line", *self.columns],
                source=copy_data,
                freeze=True,
            )
            self.rows = _count(tag)
            await self.connection.execute(self._sql(_INDEX_ROWS))

    async def reject(self, connection: Connection, rejects: list[tuple[int, Reason]]) -> None:
        """Note rows that were found wrong before staging; `fill` still has its connection."""
        await connection.copy_records_to_table(
            f"meter_rejects_{self.number}",
            schema_name=_SCHEMA,
            records=[(line, reason.value) for line, reason in rejects],
        )

    async def ranges(self) -> AsyncIterator[tuple[str, str]]:
        """Yield the ranges of meter numbers to merge, each from above the first to the second."""
        after = ""
        while end := await self.connection.fetchval(self._sql(_RANGE_END), after, RANGE_ROWS - 1):
            yield after, end
            after = end
        yield after, "~"

    async def directory_is_empty(self) -> bool:
        """Whether there is no meter yet, so that nobody looks one up."""
        return bool(await self.connection.fetchval(_DIRECTORY_IS_EMPTY))

    async def merge(
        self,
        connection: Connection,
        bounds: tuple[str, str],
        *,
        now: datetime,
        in_bulk: bool = False,
    ) -> Merged:
        """Merge one range in one transaction, again when somebody else got in between.

        `in_bulk` is quicker, and makes look-ups by phone slower until others were merged without.
        """
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                async with pool.transaction(connection):
                    if in_bulk:
                        await connection.execute(_IN_BULK)
                    return await self._merge(connection, bounds, now)
            except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                if attempt == ATTEMPTS_MAX:
                    raise
        raise AssertionError(ATTEMPTS_MAX)

    async def _merge(
        self, connection: Connection, bounds: tuple[str, str], now: datetime
    ) -> Merged:
        duplicates = await self._run(connection, _REJECT_DUPLICATES, *bounds)
        differing = updated = 0
        is_new = await connection.fetchval(_RANGE_IS_NEW, *bounds)
        if not is_new:
            differing = await self._run(connection, _REJECT_KEY_DATA, *bounds)
            updated = await self._run(connection, _CHANGE, *bounds, now)
        added = await self._run(connection, _ADD, *bounds, now, is_new)
        await self._run(connection, _ADD_STATE, *bounds, is_new)
        return Merged(added=added, updated=updated, rejected=duplicates + differing)

    async def rejects(self) -> AsyncIterator[tuple[int, str]]:
        """Yield line number and reason of every rejected row, in the file's order."""
        async with self.connection.transaction(readonly=True):
            async for row in self.connection.cursor(self._sql(_REJECTS_IN_ORDER), prefetch=1_000):
                yield row[0], row[1]

    async def drop(self) -> None:
        """Drop the run's tables; closing the connection frees its number."""
        await self.connection.execute(self._sql(_DROP))

    async def _drop_left_behind(self) -> None:
        for row in await self.connection.fetch(_LEFT_BEHIND):
            if await self.connection.fetchval(_TRY_LOCK, LOCK_CLASS, row[0]):
                await self.connection.execute(_named(_DROP, row[0]))
                await self.connection.execute(_UNLOCK, LOCK_CLASS, row[0])

    async def _run(self, connection: Connection, statement: str, *arguments: object) -> int:
        return _count(await connection.execute(self._sql(statement), *arguments))

    def _sql(self, statement: str) -> str:
        return _named(_with_optional(statement, self.columns), self.number)


async def settle(connection: Connection) -> None:
    """Make a connection plan for ranges of big tables."""
    await connection.execute(_SESSION)


def _with_optional(statement: str, columns: Sequence[str]) -> str:
    """Return a statement with what it says of the optional columns that are in the file."""
    given = [(name, *_OPTIONAL[name]) for name in columns if name in _OPTIONAL]
    said = {
        "type": [f"{name} {kind} not null" for name, kind, _ in given],
        "set": [f"{name} = {new}" for name, _, new in given],
        "old": [f"m.{name}" for name, _, _ in given],
        "new": [new for _, _, new in given],
        "name": [name for name, _, _ in given],
    }
    for place, parts in said.items():
        mark = f"/*+{place}*/"
        statement = statement.replace(mark, "".join(f", {part}" for part in parts))
    return statement


def _named(statement: str, number: int) -> str:
    return statement.replace("ROWS", f"{_SCHEMA}.meter_rows_{number}").replace(
        "REJECTS", f"{_SCHEMA}.meter_rejects_{number}"
    )


def _count(tag: str) -> int:
    """Return the rows a command tag such as "INSERT 0 12" speaks of."""
    return int(tag.rpartition(" ")[2])
