"""Vendors' sales: quotes that were kept (P5), and one truth under each reference (P8)."""

from vending.audit.rule import Rule

QUOTE_UNBALANCED = """
select 'quote ' || quote_id
  from quote
 where amount_minor is distinct from (select sum(amount) from unnest(line_amounts) as amount)
"""

# What a vendor asked for is stored with its payment, as JSON. Quotes are forgotten after a day.
QUOTE_NOT_KEPT = """
select payment.payment_id::text
  from payment
  join outcome on outcome.payment_id = payment.payment_id
  join quote on quote.quote_id = (convert_from(payment.raw, 'UTF8')::jsonb ->> 'quote')::bigint
 where payment.operator like 'vendor:%' and length(payment.raw) > 0
   and ('vendor:' || quote.vendor_id, quote.amount_minor, quote.meter_number, quote.energy_wh,
        quote.line_codes, quote.line_amounts)
       is distinct from (payment.operator, payment.amount_minor, outcome.meter_number,
        outcome.energy_wh, outcome.line_codes, outcome.line_amounts)
"""

SOLD_UNDER_BARRED = """
select payment.payment_id::text
  from sale_barred
  join payment on payment.operator = sale_barred.operator
   and payment.transaction_id = sale_barred.reference
"""

# A vendor's sale is made, with a token or debts that it paid, or nothing of it is stored.
STORED_UNSOLD = """
select payment.payment_id::text
  from payment
  left join outcome on outcome.payment_id = payment.payment_id
 where payment.operator like 'vendor:%'
   and coalesce(outcome.kind, '') not in ('token_issued', 'account_credited')
"""

COPIES_MISCOUNTED = """
select payment_id::text
  from reprint
 group by payment_id
having max(copy) <> count(*) or min(copy) <> 1
    or not exists (select from payment where payment.payment_id = reprint.payment_id)
"""

DISPUTE_ABOUT_NOTHING = """
select 'dispute ' || dispute_id
  from dispute
 where not exists (select from payment
                    where payment.payment_id = dispute.payment_id
                      and payment.operator = 'vendor:' || dispute.vendor_id)
"""

RULES = (
    Rule(
        name="quote-sums",
        promise="P5",
        says="every quote's lines sum to its amount",
        violations=QUOTE_UNBALANCED,
    ),
    Rule(
        name="quote-kept",
        promise="P5",
        says="every sale of a quote that is still known is the quote to the cent",
        violations=QUOTE_NOT_KEPT,
    ),
    Rule(
        name="barred-unsold",
        promise="P8",
        says="nothing was sold under a reference that is barred",
        violations=SOLD_UNDER_BARRED,
    ),
    Rule(
        name="vendor-sale-made",
        promise="P8",
        says="every vendor's sale that is stored has its token, or has paid a debt",
        violations=STORED_UNSOLD,
    ),
    Rule(
        name="copies-counted",
        promise="P8",
        says="the copies of a receipt are counted from one without a gap",
        violations=COPIES_MISCOUNTED,
    ),
    Rule(
        name="dispute-of-sale",
        promise="P8",
        says="every dispute is about a sale of the vendor that opened it",
        violations=DISPUTE_ABOUT_NOTHING,
    ),
)
