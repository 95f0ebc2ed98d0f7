"""Where meters are looked up and registered: by number, with their state, by phone.

Reads take many numbers and make one indexed read of them. `db` is an asyncpg connection or pool.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter

from asyncpg import Record, UniqueViolationError

from vending.errors import Rejected
from vending.meters.meter import DebtRecord, Meter, MeterRemoved, MeterState, MeterUnknown
from vending.postgres.columns import any_texts, one_of_texts
from vending.postgres.pool import Session


class MeterExists(Rejected):
    """A meter with this number is registered already.

    Import a file to change its record; key data changes need key-change tokens.
    """

    code = "meter_exists"


FIND = f"""
select meter_number, sgc, krn, key_type, ti, ea, tct, tid_base, ken, tariff, tariff_category,
       status, phones, language, region
  from meter
 where meter_number = {one_of_texts(1)}
"""  # noqa: S608 -- only parameter numbers are put into the text

FIND_WITH_STATE = f"""
select m.meter_number, m.sgc, m.krn, m.key_type, m.ti, m.ea, m.tct, m.tid_base, m.ken, m.tariff,
       m.tariff_category, m.status, m.phones, m.language, m.region, m.key_change_due,
       s.tid_base, s.last_tid, s.month, s.month_energy_wh, s.one_month_ago_wh,
       s.two_months_ago_wh, s.three_months_ago_wh, s.fees_paid_through, s.open_debts
  from meter m
  join meter_state s on s.meter_number = m.meter_number
 where m.meter_number = {one_of_texts(1)} and s.meter_number = {one_of_texts(1)}
"""  # noqa: S608 -- only parameter numbers are put into the text

# The second condition lets the partial index on phones be used.
OF_PHONE = """
select meter_number, sgc, krn, key_type, ti, ea, tct, tid_base, ken, tariff, tariff_category,
       status, phones, language, region
  from meter
 where phones @> array[$1::text] and phones <> '{}' and status <> 'removed'
 order by meter_number
"""

DEBTS = f"""
select meter_number, debt_id, kind, priority, mode, rate_ppm, amount_minor, balance_minor,
       reason, opened_at
  from debt
 where meter_number = {one_of_texts(1)} and balance_minor > 0
 order by meter_number, priority, debt_id
"""  # noqa: S608 -- only parameter numbers are put into the text

# Record and state in one statement, so that no meter is ever without its state.
REGISTER = """
with registered as (
    insert into meter (meter_number, sgc, krn, key_type, ti, ea, tct, tid_base, ken, tariff,
                       tariff_category, status, phones, language, region, updated_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    returning meter_number, tid_base
)
insert into meter_state (meter_number, tid_base)
select meter_number, tid_base from registered
"""

SET_STATUS = """
update meter
   set status = $2, updated_at = $3
 where meter_number = $1 and status <> 'removed'
returning meter_number
"""

# asyncpg's records are sliced field by field: one itemgetter is twice as fast as names.
_RECORD_FIELDS = itemgetter(*range(15))


def _meter(row: Record) -> Meter:
    (number, sgc, krn, key_type, ti, ea, tct, base, ken, tariff, category, status, phones,
     language, region) = _RECORD_FIELDS(row)  # fmt: skip
    return Meter(
        meter_number=number, sgc=sgc, krn=krn, key_type=key_type, ti=ti, ea=ea, tct=tct,
        tid_base=base, ken=ken, tariff=tariff, tariff_category=category, status=status,
        phones=tuple(phones), language=language, region=region,
    )  # fmt: skip


async def find(db: Session, numbers: Sequence[str]) -> dict[str, Meter]:
    """Return the meters of these numbers by number; unknown numbers are absent."""
    return {row[0]: _meter(row) for row in await db.fetch(FIND, any_texts(numbers))}


async def find_with_state(
    db: Session, numbers: Sequence[str]
) -> dict[str, tuple[Meter, MeterState]]:
    """Return record and state of these meters by number; unknown numbers are absent.

    The vend path's one read of meters: the only caller that goes on to change the state is the
    sequencer, so no row is locked.
    """
    found = {}
    for row in await db.fetch(FIND_WITH_STATE, any_texts(numbers)):
        (number, sgc, krn, key_type, ti, ea, tct, base, ken, tariff, category, status, phones,
         language, region, key_change_due, state_base, last_tid, month, month_wh, one_ago, two_ago,
         three_ago, fees, debts) = row  # fmt: skip
        found[number] = (
            Meter(
                meter_number=number, sgc=sgc, krn=krn, key_type=key_type, ti=ti, ea=ea, tct=tct,
                tid_base=base, ken=ken, tariff=tariff, tariff_category=category, status=status,
                phones=tuple(phones), language=language, region=region,
                key_change_due=key_change_due,
            ),
            MeterState(
                meter_number=number, tid_base=state_base, last_tid=last_tid, month=month,
                month_energy_wh=month_wh, history_wh=(one_ago, two_ago, three_ago),
                fees_paid_through=fees, open_debts=debts,
            ),
        )  # fmt: skip
    return found


async def debts(db: Session, numbers: Sequence[str]) -> dict[str, tuple[DebtRecord, ...]]:
    """Return the debts with a balance of these meters, first to be paid first; none: absent."""
    owed: dict[str, list[DebtRecord]] = {}
    for row in await db.fetch(DEBTS, any_texts(numbers)):
        owed.setdefault(row["meter_number"], []).append(DebtRecord(**dict(row)))
    return {number: tuple(records) for number, records in owed.items()}


async def of_phone(db: Session, phone: str) -> list[Meter]:
    """Return the meters in service registered to a phone (E.164), by number."""
    return [_meter(row) for row in await db.fetch(OF_PHONE, phone)]


async def register(db: Session, meter: Meter, *, now: datetime) -> None:
    """Add one meter and its fresh state. Raises MeterExists when its number is taken."""
    try:
        await db.fetch(
            REGISTER, meter.meter_number, meter.sgc, meter.krn, meter.key_type, meter.ti, meter.ea,
            meter.tct, meter.tid_base, meter.ken, meter.tariff, meter.tariff_category,
            meter.status, list(meter.phones), meter.language, meter.region, now,
        )  # fmt: skip
    except UniqueViolationError:
        raise MeterExists(meter_number=meter.meter_number) from None


async def block(db: Session, meter_number: str, *, now: datetime) -> None:
    """Stop sales to a meter. Raises MeterUnknown, or MeterRemoved for one out of service."""
    await _set_status(db, meter_number, "blocked", now)


async def unblock(db: Session, meter_number: str, *, now: datetime) -> None:
    """Let a blocked meter buy again. Raises MeterUnknown, or MeterRemoved."""
    await _set_status(db, meter_number, "active", now)


async def _set_status(db: Session, meter_number: str, status: str, now: datetime) -> None:
    if await db.fetch(SET_STATUS, meter_number, status, now):
        return
    if await find(db, [meter_number]):
        raise MeterRemoved(meter_number=meter_number)
    raise MeterUnknown(meter_number=meter_number)
