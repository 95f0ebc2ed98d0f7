"""Special tokens: nobody pays for them, so caps and two persons stand where money would (P3)."""

from vending.audit.rule import Rule

# Each row carries its caller's sums of the day and the caps as they were: recomputed here.
CAP_BROKEN = """
select special_id::text
  from (select special_id, nth, day_energy_wh, day_tokens_max, day_energy_max_wh,
               row_number() over counted as counted_nth,
               sum(case when kind in ('free_basic', 'free_issue') then value else 0 end)
                   over counted as summed_wh
          from special_token
        window counted as (partition by operator, day order by nth, special_id)) as told
 where nth <> counted_nth or day_energy_wh <> summed_wh
    or nth > day_tokens_max or day_energy_wh > day_energy_max_wh
"""

SOLD_AND_GIVEN = """
select special_id::text
  from special_token
  join payment on payment.operator = special_token.operator
   and payment.transaction_id = special_token.reference
union all
select special_id::text
  from special_token
  join key_change_order using (operator, reference)
"""

# A vendor's reference that a token was made under is barred for sales.
STILL_OPEN = """
select special_id::text
  from special_token
 where operator like 'vendor:%'
   and not exists (select from sale_barred
                    where sale_barred.operator = special_token.operator
                      and sale_barred.reference = special_token.reference)
"""

ENTITLED_TWICE = """
select meter_number || ' ' || kind || ' ' || entitlement
  from special_token where entitlement is not null
 group by meter_number, kind, entitlement having count(*) > 1
"""

# What is not entitled to by rule, or is a person's, two persons stand behind.
UNAPPROVED = """
select special_id::text
  from special_token
  left join special_request on request_id = special_id
 where special_token.operator like 'person:%'
   and (request_id is null or approved is not true
        or special_request.asked_by is not distinct from special_request.judged_by
        or (special_token.kind, special_token.asked_by, special_token.approved_by,
            coalesce(special_token.meter_number, ''))
           is distinct from (special_request.kind, special_request.asked_by,
            special_request.judged_by, coalesce(special_request.meter_number, '')))
    or special_token.operator like 'vendor:%'
   and special_token.kind in ('free_basic', 'free_issue') and special_token.entitlement is null
"""

SETTLED_UNISSUED = """
select 'request ' || request_id
  from special_request
 where (result = 'token_issued')
       is distinct from (select true from special_token where special_id = request_id)
   and (result = 'token_issued' or exists (select from special_token
                                            where special_id = request_id))
"""

# The code of an amount: 14 bits times 1, 10, 100 or 1000, from four offsets on. Tenths or watts.
VALUE_NOT_CARRIED = """
select special_id::text
  from (select special_id, kind, value,
               case when kind in ('free_basic', 'free_issue') then value / 100 else value end
                   as amount
          from special_token
         where kind in ('free_basic', 'free_issue', 'power_limit', 'phase_unbalance')) as told
 where amount > 18201624
    or kind like 'free%' and (value % 100 <> 0 or amount = 0)
    or case when amount < 16384 then 0
            when amount < 180224 then (amount - 16384) % 10
            when amount < 1818624 then (amount - 180224) % 100
            else (amount - 1818624) % 1000 end <> 0
"""

GIVEN_RULES = (
    Rule(
        name="special-caps",
        promise="P3",
        says="every caller's free units and special tokens of a day are within its caps",
        violations=CAP_BROKEN,
    ),
    Rule(
        name="special-entitled-once",
        promise="P3",
        says="no meter has been given what it is entitled to twice",
        violations=ENTITLED_TWICE,
    ),
    Rule(
        name="special-approved",
        promise="P3",
        says="every special token is one that a vendor may make, or two persons stand behind it",
        violations=UNAPPROVED,
    ),
    Rule(
        name="special-settled",
        promise="P3",
        says="every request for a special token that says it was carried out has its token",
        violations=SETTLED_UNISSUED,
    ),
)

IDENTIFIER_RULES = (
    Rule(
        name="special-carried",
        promise="P4",
        says="every special token's value is one that a token can carry",
        violations=VALUE_NOT_CARRIED,
    ),
)

REFERENCE_RULES = (
    Rule(
        name="special-or-sale",
        promise="P8",
        says="no reference of a special token stands for a sale or a key change as well",
        violations=SOLD_AND_GIVEN,
    ),
    Rule(
        name="special-barred",
        promise="P8",
        says="nothing can be sold under a vendor's reference that a special token was made under",
        violations=STILL_OPEN,
    ),
)
