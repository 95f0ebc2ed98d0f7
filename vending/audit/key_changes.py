"""Key changes: every code was ordered, no code has other digits, the directory follows the meter.

With promise P2: whoever asks for a sale again gets the same codes; and with P4, since a token under
another key than the meter's is one that no meter takes.
"""

from vending.audit.rule import Rule

NOT_ORDERED = """
select key_change.order_id::text
  from key_change
  left join key_change_order using (order_id)
 where key_change_order.meter_number is distinct from key_change.meter_number
    or key_change_order.withdrawn_at is not null
    or key_change_order.ordered_at > key_change.issued_at
    or (key_change_order.operator is null) is distinct from (key_change.payment_id is not null)
    or operator is null
   and not exists (select from act
                    where act.subject = 'key-changes:' || key_change_order.list_id
                      and act.at = key_change_order.ordered_at)
    or operator is not null
   and not exists (select from sale_barred
                    where sale_barred.operator = key_change_order.operator
                      and sale_barred.reference = key_change_order.reference)
"""

# The codes follow from the two keys alone, so a second set with other digits is of other keys.
OTHER_DIGITS = """
select key_change_order.meter_number
  from key_change
  join key_change_order using (order_id)
 group by key_change_order.meter_number, from_sgc, from_krn, from_ti, from_base, from_ken,
          to_sgc, to_krn, to_ti, to_base, to_ken
having count(distinct codes) > 1
"""

SALE_DIFFERS = """
select key_change.payment_id::text
  from key_change
  join key_change_order using (order_id)
  left join outcome using (payment_id)
 where key_change.payment_id is not null
   and (outcome.kind, outcome.meter_number, outcome.tid_base, outcome.decided_at)
       is distinct from
       ('token_issued', key_change.meter_number, key_change_order.to_base, key_change.issued_at)
"""

DIRECTORY_DIFFERS = """
select last.meter_number
  from (select distinct on (key_change.meter_number) key_change.meter_number,
               to_sgc, to_krn, to_ti, to_base, to_ken
          from key_change
          join key_change_order using (order_id)
         order by key_change.meter_number, issued_at desc, order_id desc) as last
  left join meter using (meter_number)
 where (meter.sgc, meter.krn, meter.ti, meter.tid_base, meter.ken)
       is distinct from (to_sgc, to_krn, to_ti, to_base, to_ken)
"""

DUE_DIFFERS = """
select coalesce(meter.meter_number, waiting.meter_number)
  from (select meter_number from meter where key_change_due) as meter
  full join (select meter_number, count(*) as orders
               from key_change_order
              where withdrawn_at is null
                and not exists (select from key_change
                                 where key_change.order_id = key_change_order.order_id)
              group by meter_number) as waiting
    on waiting.meter_number = meter.meter_number
 where (meter.meter_number is not null, waiting.orders) is distinct from (true, 1)
"""

# Compared where they are, so that no digits leave the database.
CODES_UNTOLD = """
select message.message_id::text
  from message
  join key_change using (payment_id)
  join outcome using (payment_id)
 where message.kind in ('receipt', 'copy')
   and (select array_agg(regexp_replace(found.digits[1], '[ -]', '', 'g') order by found.place)
          from regexp_matches(body, '[0-9]{4}(?:[ -]?[0-9]{4}){4}(?![0-9])', 'g')
               with ordinality as found (digits, place))
       is distinct from codes || outcome.token
"""

SOLD_RULES = (
    Rule(
        name="codes-same",
        promise="P2",
        says="no change from one key of a meter to another has codes with two sets of digits",
        violations=OTHER_DIGITS,
    ),
    Rule(
        name="codes-sold",
        promise="P2",
        says="the codes of a sale are of its meter, and its token is on the new key's base date",
        violations=SALE_DIFFERS,
    ),
)

TOLD_RULES = (
    Rule(
        name="codes-told",
        promise="P3",
        says="every receipt of a sale with codes has them above the token, in order",
        violations=CODES_UNTOLD,
    ),
)

KEY_RULES = (
    Rule(
        name="codes-ordered",
        promise="P4",
        says="every set of codes was ordered by a logged act, or asked for by a vendor's message",
        violations=NOT_ORDERED,
    ),
    Rule(
        name="key-followed",
        promise="P4",
        says="the directory has every meter under the key that its last codes took it to",
        violations=DIRECTORY_DIFFERS,
    ),
    Rule(
        name="key-change-due",
        promise="P4",
        says="a meter is marked due if, and only if, one order of it waits",
        violations=DUE_DIFFERS,
    ),
)
