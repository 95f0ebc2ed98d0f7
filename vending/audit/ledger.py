"""Promise P3: no token without its payment and its ledger entry, and every entry sums to zero."""

from vending.audit.rule import Rule

OUTCOME_WITHOUT_PAYMENT = """
select payment_id::text
  from outcome
 where not exists (select from payment where payment.payment_id = outcome.payment_id)
"""

ENTRY_WITHOUT_OUTCOME = """
select document_id || '/' || sequence
  from entry
 where not exists (select from outcome where outcome.payment_id = entry.document_id)
   and not exists (select from deposit
                    where deposit.entry_id = entry.document_id and deposit.status = 'confirmed')
"""

# A sale is a payment's only entry, or the second one after its reassignment out of suspense.
UNBOOKED_SALE = """
select outcome.payment_id::text
  from outcome
  left join (select document_id, array_agg(kind order by sequence) as kinds,
                    array_agg(sequence::integer order by sequence) as sequences
               from entry group by document_id) as booked
    on booked.document_id = outcome.payment_id
 where outcome.kind = 'token_issued'
   and (booked.kinds, booked.sequences) is distinct from (array['sale'], array[0])
   and (booked.kinds, booked.sequences) is distinct from (array['suspense', 'sale'], array[0, 1])
"""

REFUND_NOT_BOOKED = """
select outcome.payment_id::text
  from outcome
  left join (select document_id,
                    count(*) filter (where kind = 'suspense' and sequence = 0) as suspended,
                    count(*) filter (where kind = 'suspense' and sequence <> 0) as again,
                    count(*) filter (where kind = 'sale') as sold
               from entry group by document_id) as booked
    on booked.document_id = outcome.payment_id
 where outcome.kind in ('refund_due', 'refunded')
   and (booked.suspended, booked.again, booked.sold) is distinct from (1, 0, 0)
"""

# The first posting is the debit; the next are what each debt was paid, in order, and after them
# there is only what a vendor earns on it.
REPAYMENT_NOT_BOOKED = """
select outcome.payment_id::text
  from outcome
  left join payment on payment.payment_id = outcome.payment_id
  left join entry as booked
    on booked.document_id = outcome.payment_id and booked.kind = 'repayment'
 where outcome.kind = 'account_credited'
   and (booked.sequence is distinct from 0
        or (select count(*) from entry where entry.document_id = outcome.payment_id) <> 1
        or outcome.meter_number is null
        or payment.product is distinct from 'account'
        or payment.amount_minor
           is distinct from (select sum(minor) from unnest(outcome.line_amounts) as minor)
        or (select min(minor) from unnest(outcome.line_amounts) as minor) <= 0
        or (select array_agg(-minor order by place)
              from unnest(booked.amounts[2:1 + cardinality(outcome.line_amounts)])
                   with ordinality as line (minor, place))
           is distinct from outcome.line_amounts
        or exists (select from unnest(booked.accounts[2 + cardinality(outcome.line_amounts):])
                               as more (account_id)
                     join account using (account_id)
                    where account.code not like 'commission:%'))
union all
select document_id::text
  from entry
 where kind = 'repayment'
   and not exists (select from outcome
                    where outcome.payment_id = entry.document_id
                      and outcome.kind = 'account_credited')
"""

ENTRY_UNBALANCED = """
select document_id || '/' || sequence
  from entry
 where cardinality(accounts) <> cardinality(amounts)
    or cardinality(amounts) < 2
    or (select sum(amount) from unnest(amounts) as amount) <> 0
    or exists (select from unnest(accounts) as used (account_id)
                where not exists (select from account
                                   where account.account_id = used.account_id))
"""

LEDGER_UNBALANCED = """
select 'total ' || sum(amount_minor)
  from posting having coalesce(sum(amount_minor), 0) <> 0
"""

# What its operator holds for a payment, or its vendor's float has paid for it, and what suspense
# owes for it, each to the cent.
TENDER_NOT_BOOKED = """
select payment.payment_id::text
  from payment
  join outcome using (payment_id)
  left join (select document_id, account, sum(amount_minor) as minor
               from posting where account like 'collection:%' or account like 'float:%'
              group by document_id, account) as collected
    on collected.document_id = payment.payment_id
 where collected.minor is distinct from payment.amount_minor
    or collected.account
       is distinct from case when payment.operator like 'vendor:%'
                             then 'float:' || substr(payment.operator, 8)
                             else 'collection:' || payment.operator || ':' || payment.short_code end
"""

SUSPENSE_DIFFERS = """
select payment.payment_id::text
  from payment
  join outcome using (payment_id)
  left join (select document_id, sum(amount_minor) as minor
               from posting where account = 'suspense:refund_due'
              group by document_id) as held
    on held.document_id = payment.payment_id
 where -coalesce(held.minor, 0)
       <> case outcome.kind when 'refund_due' then payment.amount_minor else 0 end
"""

# has_table_privilege counts ownership, membership and superusers; columns are asked one by one.
REWRITABLE = """
select tables.name || ' ' || rights.name
  from (values ('payment'), ('entry'), ('account'), ('tariff_version'), ('act'),
               ('commission_rate'), ('sale_barred'), ('reprint'),
               ('special_token')) as tables (name)
 cross join (values ('UPDATE'), ('DELETE'), ('TRUNCATE')) as rights (name)
 where has_table_privilege('stima_app', tables.name, rights.name)
    or (rights.name = 'UPDATE' and has_any_column_privilege('stima_app', tables.name, 'UPDATE'))
union all
select tables.name || ' ' || rights.name
  from (values ('outcome'), ('quarantine'), ('reassignment'), ('message'), ('vendor'), ('api_key'),
               ('oauth_client'), ('vendor_float'), ('deposit'), ('shift'), ('act_head'),
               ('dispute'), ('special_request'))
       as tables (name)
 cross join (values ('DELETE'), ('TRUNCATE')) as rights (name)
 where has_table_privilege('stima_app', tables.name, rights.name)
"""

RULES = (
    Rule(
        name="outcome-has-payment",
        promise="P3",
        says="every outcome belongs to a payment that was received",
        violations=OUTCOME_WITHOUT_PAYMENT,
    ),
    Rule(
        name="entry-has-outcome",
        promise="P3",
        says="every ledger entry belongs to an outcome or a confirmed deposit",
        violations=ENTRY_WITHOUT_OUTCOME,
    ),
    Rule(
        name="token-booked",
        promise="P3",
        says="every token has one sale in the ledger, first or straight out of suspense",
        violations=UNBOOKED_SALE,
    ),
    Rule(
        name="refund-booked",
        promise="P3",
        says="every refund has one suspense entry and no sale",
        violations=REFUND_NOT_BOOKED,
    ),
    Rule(
        name="repayment-booked",
        promise="P3",
        says="every account credited has one repayment, debt by debt what was paid, and no other",
        violations=REPAYMENT_NOT_BOOKED,
    ),
    Rule(
        name="entry-sums-to-zero",
        promise="P3",
        says="every ledger entry sums to zero over accounts that exist",
        violations=ENTRY_UNBALANCED,
    ),
    Rule(
        name="ledger-sums-to-zero",
        promise="P3",
        says="all postings together sum to zero",
        violations=LEDGER_UNBALANCED,
    ),
    Rule(
        name="tender-booked",
        promise="P3",
        says="the operator's account or the vendor's float was debited with just what was paid",
        violations=TENDER_NOT_BOOKED,
    ),
    Rule(
        name="suspense-owed",
        promise="P3",
        says="suspense holds a payment's money while its refund is due, and no longer",
        violations=SUSPENSE_DIFFERS,
    ),
    Rule(
        name="history-append-only",
        promise="P3",
        says="the server's role may not rewrite or delete money, tokens or tariffs",
        violations=REWRITABLE,
    ),
)
