"""Promise P2: one payment, one outcome."""

from vending.audit.rule import Rule

# A payment released from quarantine is due again from its release on.
UNDECIDED = """
select payment_id::text
  from payment
 where received_at < $1
   and not exists (select from outcome where outcome.payment_id = payment.payment_id)
   and not exists (select from quarantine
                    where quarantine.payment_id = payment.payment_id
                      and (resolved_at is null or resolved_at >= $1))
"""

DECIDED_TWICE = """
select payment_id::text from outcome group by payment_id having count(*) > 1
"""

RECEIVED_TWICE = """
select min(payment_id)::text from payment group by operator, transaction_id having count(*) > 1
"""

TWO_OUTCOMES_IN_ONE = """
select payment_id::text
  from outcome
 where case kind when 'token_issued'
                 then reason is not null or token is null or tid is null or tid_base is null
                      or meter_number is null or energy_wh is null
                 else token is not null or tid is not null or energy_wh is not null end
    or (kind in ('refund_due', 'refunded')) is distinct from (reason is not null)
"""

REASSIGNED_WRONGLY = """
select reassignment.payment_id::text
  from reassignment
  left join outcome using (payment_id)
 where (settled_at is null) is distinct from (result is null)
    or (result = 'token_issued' and outcome.kind is distinct from 'token_issued')
"""

RULES = (
    Rule(
        name="payment-decided",
        promise="P2",
        says="every payment past its time, and not in quarantine, has an outcome",
        violations=UNDECIDED,
        needs=("decided_before",),
    ),
    Rule(
        name="payment-decided-once",
        promise="P2",
        says="no payment has two outcomes",
        violations=DECIDED_TWICE,
    ),
    Rule(
        name="payment-stored-once",
        promise="P2",
        says="no operator's transaction is stored as two payments",
        violations=RECEIVED_TWICE,
    ),
    Rule(
        name="token-or-refund",
        promise="P2",
        says="an outcome is a token or a refund, never both and never half of one",
        violations=TWO_OUTCOMES_IN_ONE,
    ),
    Rule(
        name="reassignment-told-true",
        promise="P2",
        says="a reassignment that says it issued a token did",
        violations=REASSIGNED_WRONGLY,
    ),
)
