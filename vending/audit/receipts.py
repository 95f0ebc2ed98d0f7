"""Promise P5: a receipt's lines sum to the tender, and can be recomputed from the tariff named.

The prices themselves are not recomputed here; that the tariff text is the one that was loaded, and
that lines, ledger and meter agree with each other, is.
"""

from vending.audit.rule import Rule

RECEIPT_SUM_DIFFERS = """
select payment_id::text
  from outcome
  join payment using (payment_id)
 where outcome.kind = 'token_issued'
   and (coalesce(cardinality(line_codes), 0) = 0
        or cardinality(line_codes) is distinct from cardinality(line_amounts)
        or (select sum(minor) from unnest(line_amounts) as minor)
           is distinct from payment.amount_minor)
"""

# The sale's first posting is the debit; the next are the receipt's lines, credited, in order, and
# after them there is only what a vendor earns on it.
RECEIPT_NOT_BOOKED = """
select outcome.payment_id::text
  from outcome
  left join entry on entry.document_id = outcome.payment_id and entry.kind = 'sale'
 where outcome.kind = 'token_issued'
   and (select array_agg(-minor order by place)
          from unnest(entry.amounts[2:1 + cardinality(outcome.line_amounts)])
               with ordinality as line (minor, place))
       is distinct from outcome.line_amounts
    or outcome.kind = 'token_issued'
   and exists (select from unnest(entry.accounts[2 + cardinality(outcome.line_amounts):])
                           as more (account_id)
                 join account using (account_id)
                where account.code not like 'commission:%')
"""

TARIFF_MISSING = """
select payment_id::text
  from outcome
  join payment using (payment_id)
  left join tariff_version as version
    on version.code = outcome.tariff and version.version = outcome.tariff_version
 where outcome.kind = 'token_issued'
   and (version.code is null
        or version.effective_from > greatest(payment.paid_at, payment.received_at))
"""

TARIFF_ALTERED = """
select code || ' ' || version
  from tariff_version
 where sha256 <> encode(sha256(convert_to(source, 'UTF8')), 'hex')
"""

# Energy counts in the calendar month of payment, in the zone that the tariff file names; a time
# of payment that cannot be believed is replaced by that of arrival. State knows the newest month.
MONTH_DIFFERS = r"""
with sold as (
    select outcome.meter_number, outcome.energy_wh,
           to_char((case when payment.paid_at between payment.received_at - $2::interval
                                                  and payment.received_at + $1::interval
                         then payment.paid_at else payment.received_at end)
                   at time zone substring(version.source
                                          from '(?n)^\s*time_zone\s*=\s*["'']([^"'']+)["'']'),
                   'YYYYMM')::integer as month
      from outcome
      join payment using (payment_id)
      join tariff_version as version
        on version.code = outcome.tariff and version.version = outcome.tariff_version
     where outcome.kind = 'token_issued'
), summed as (
    select meter_number, month, sum(energy_wh) as energy_wh,
           max(month) over (partition by meter_number) as newest
      from sold group by meter_number, month
)
select summed.meter_number || ' ' || summed.month
  from summed
  left join meter_state as state using (meter_number)
 where summed.month = summed.newest
   and (state.month, state.month_energy_wh) is distinct from (summed.month, summed.energy_wh)
"""

RULES = (
    Rule(
        name="receipt-sums",
        promise="P5",
        says="every receipt's lines sum to what was paid",
        violations=RECEIPT_SUM_DIFFERS,
    ),
    Rule(
        name="receipt-booked",
        promise="P5",
        says="every receipt's lines are the ledger's, amount by amount",
        violations=RECEIPT_NOT_BOOKED,
    ),
    Rule(
        name="tariff-kept",
        promise="P5",
        says="every receipt names a tariff version that is loaded and had begun",
        violations=TARIFF_MISSING,
    ),
    Rule(
        name="tariff-unaltered",
        promise="P5",
        says="every tariff text is the one that was loaded, by its digest",
        violations=TARIFF_ALTERED,
    ),
    Rule(
        name="month-energy",
        promise="P5",
        says="a meter's month holds the energy its tokens carried in it",
        violations=MONTH_DIFFERS,
        needs=("paid_at_future", "paid_at_past"),
    ),
)
