"""Promise P4: no meter sees a token identifier (TID) twice, and a meter's identifiers only rise."""

from vending.audit.rule import Rule

# Sales and special tokens take the identifiers of one meter alike.
ISSUED = """(
    select payment_id as number, meter_number, tid_base, tid, decided_at
      from outcome where tid is not null
    union all
    select special_id, meter_number, tid_base, tid, decided_at
      from special_token where tid is not null) as issued
"""

TID_TWICE = f"""
select meter_number || ' ' || tid_base || '/' || tid
  from {ISSUED}
 group by meter_number, tid_base, tid having count(*) > 1
"""  # noqa: S608 -- our own text

# One batch decides all its payments at one instant, and the order among those is not stored.
TID_NOT_RISING = f"""
select number::text
  from (select number, tid,
               max(tid) over (partition by meter_number, tid_base order by decided_at
                              range between unbounded preceding and current row exclude group)
                   as before
          from {ISSUED}) as ordered
 where tid <= before
"""  # noqa: S608 -- our own text

TID_RESERVED = f"""
select number::text from {ISSUED} where tid % 1440 = 1
"""  # noqa: S608 -- our own text

# IEC 62055-41, 6.3.5: minutes since the base date, in 24 bits. A minute of grace for the border.
TID_IMPOSSIBLE = f"""
select number::text
  from {ISSUED}
  left join (values (93, timestamptz '1993-01-01 00:00Z'), (14, '2014-01-01 00:00Z'),
                    (35, '2035-01-01 00:00Z')) as base (tid_base, began)
    on base.tid_base = issued.tid_base
 where (began is null or tid not between 1 and 16777215
        or began + (tid + 1) * interval '1 minute' < decided_at)
"""  # noqa: S608 -- our own text

STATE_DIFFERS = f"""
select sold.meter_number
  from (select meter_number, tid_base, max(tid) as last_tid,
               max(max(decided_at)) over (partition by meter_number) as newest,
               max(decided_at) as decided_at
          from {ISSUED}
         group by meter_number, tid_base) as sold
  left join meter_state as state using (meter_number)
 where sold.decided_at = sold.newest
   and (state.tid_base, state.last_tid) is distinct from (sold.tid_base, sold.last_tid)
"""  # noqa: S608 -- our own text

METER_UNKNOWN = f"""
select number::text
  from {ISSUED}
 where not exists (select from meter where meter.meter_number = issued.meter_number)
"""  # noqa: S608 -- our own text

# The amount code of a token: 14 bits times 1, 10, 100 or 1000 tenths, from four offsets on.
ENERGY_NOT_CARRIED = """
select payment_id::text
  from outcome
 where energy_wh is not null
   and (energy_wh % 100 <> 0
        or energy_wh / 100 not between 1 and 18201624
        or case when energy_wh / 100 < 16384 then 0
                when energy_wh / 100 < 180224 then (energy_wh / 100 - 16384) % 10
                when energy_wh / 100 < 1818624 then (energy_wh / 100 - 180224) % 100
                else (energy_wh / 100 - 1818624) % 1000 end <> 0)
"""

RULES = (
    Rule(
        name="identifier-once",
        promise="P4",
        says="no meter has two tokens with one identifier on one base date",
        violations=TID_TWICE,
    ),
    Rule(
        name="identifiers-rise",
        promise="P4",
        says="a later token of a meter has a higher identifier",
        violations=TID_NOT_RISING,
    ),
    Rule(
        name="identifier-not-reserved",
        promise="P4",
        says="no token has the reserved identifier of the minute 00:01",
        violations=TID_RESERVED,
    ),
    Rule(
        name="identifier-possible",
        promise="P4",
        says="every identifier fits 24 bits and is no older than its decision",
        violations=TID_IMPOSSIBLE,
    ),
    Rule(
        name="meter-remembers",
        promise="P4",
        says="a meter's state holds the highest identifier it was sold",
        violations=STATE_DIFFERS,
    ),
    Rule(
        name="token-has-meter",
        promise="P4",
        says="every token is for a meter on record",
        violations=METER_UNKNOWN,
    ),
    Rule(
        name="energy-carried",
        promise="P4",
        says="every token's energy is one that a token can carry",
        violations=ENERGY_NOT_CARRIED,
    ),
)
