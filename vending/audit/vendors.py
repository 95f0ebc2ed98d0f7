"""Promise P3 where vendors sell: floats are the ledger's, and no act about them was altered."""

from vending.audit.rule import Rule

# Both ways: a float without its account, and an account without its float.
FLOAT_DIFFERS = """
select coalesce(vendor_float.vendor_id, substr(booked.account, 7))
  from vendor_float
  full join (select account, -sum(amount_minor) as minor
               from posting where account like 'float:%'
              group by account) as booked
    on booked.account = 'float:' || vendor_float.vendor_id
 where coalesce(booked.minor, 0) is distinct from vendor_float.balance_minor
"""

FLOAT_BELOW_LIMIT = """
select vendor_id from vendor_float where balance_minor < -credit_limit_minor
"""

VENDOR_WITHOUT_FLOAT = """
select vendor_id
  from vendor
 where not exists (select from vendor_float where vendor_float.vendor_id = vendor.vendor_id)
"""

# The whole entry: from the bank it names into the float of the vendor it names.
DEPOSIT_NOT_BOOKED = """
select deposit_id::text
  from deposit
  left join (select document_id, array_agg(kind || ' ' || account || ' ' || amount_minor
                                           order by amount_minor desc) as postings
               from posting where kind = 'deposit'
              group by document_id) as booked
    on booked.document_id = deposit.entry_id
 where status = 'confirmed'
   and booked.postings is distinct from
       array['deposit bank:' || bank || ' ' || amount_minor,
             'deposit float:' || vendor_id || ' ' || -amount_minor]
union all
select document_id::text
  from entry
 where kind = 'deposit'
   and not exists (select from deposit where deposit.entry_id = entry.document_id)
"""

DEPOSIT_UNCHECKED = """
select deposit_id::text
  from deposit
 where status = 'confirmed'
   and (settled_by is null or lower(settled_by) = lower(proposed_by))
"""

DEPOSIT_TWICE = """
select bank || ' ' || bank_reference
  from deposit where status <> 'rejected'
 group by bank, bank_reference having count(*) > 1
"""

# A key that nobody issued was planted by somebody who can write to the table.
CREDENTIAL_UNISSUED = """
with issued as (
    select prefix as name, vendor_id, 'key issued' as what from api_key
     union all
    select client_id, vendor_id, 'client issued' from oauth_client
)
select vendor_id || ' ' || name
  from issued
 where not exists (select from act
                    where act.subject = 'vendor:' || issued.vendor_id and act.what = issued.what
                      and act.facts::jsonb ->> 'name' = issued.name)
"""

# Each digest covers the one before it; the head names the last.
CHAIN_BROKEN = r"""
with told as (
    select number, previous, digest,
           row_number() over acts as place,
           lag(digest, 1, decode(repeat('00', 32), 'hex')) over acts as before,
           sha256(previous || convert_to(
               octet_length(number::text) || ':' || number
               || '27:' || to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
               || octet_length(who) || ':' || who
               || octet_length(what) || ':' || what
               || octet_length(subject) || ':' || subject
               || octet_length(facts) || ':' || facts, 'UTF8')) as again
      from act
    window acts as (order by number)
)
select 'act ' || number
  from told
 where number <> place or previous <> before or digest <> again
union all
select 'act ' || last.number + 1
  from (select coalesce(max(number), 0) as number from act) as last
  left join act on act.number = last.number
 where not exists (select from act_head
                    where act_head.number = last.number
                      and act_head.digest = coalesce(act.digest, decode(repeat('00', 32), 'hex')))
"""

RULES = (
    Rule(
        name="float-booked",
        promise="P3",
        says="every vendor's float is what the ledger says we owe it",
        violations=FLOAT_DIFFERS,
    ),
    Rule(
        name="float-covered",
        promise="P3",
        says="no float is below its credit limit",
        violations=FLOAT_BELOW_LIMIT,
    ),
    Rule(
        name="vendor-has-float",
        promise="P3",
        says="every vendor has a float",
        violations=VENDOR_WITHOUT_FLOAT,
    ),
    Rule(
        name="deposit-booked",
        promise="P3",
        says="every confirmed deposit, and no other, has its entry from that bank to that float",
        violations=DEPOSIT_NOT_BOOKED,
    ),
    Rule(
        name="deposit-checked",
        promise="P3",
        says="no deposit was confirmed by whoever proposed it",
        violations=DEPOSIT_UNCHECKED,
    ),
    Rule(
        name="deposit-once",
        promise="P3",
        says="no bank reference counts as two deposits",
        violations=DEPOSIT_TWICE,
    ),
    Rule(
        name="credential-issued",
        promise="P3",
        says="every key and client of a vendor was issued by somebody who is on record",
        violations=CREDENTIAL_UNISSUED,
    ),
    Rule(
        name="acts-chained",
        promise="P3",
        says="the log of acts is unbroken from the first to the last",
        violations=CHAIN_BROKEN,
    ),
)
