"""Promise P3, its last part: no token leaves before its commit, and none but the one committed."""

from vending.audit.rule import Rule

# A token as it is written to people: five groups of four digits.
_DIGITS = r"[0-9]{4}([ -]?[0-9]{4}){4}"

NEWS_OF_NOTHING = """
select message_id::text
  from message
 where kind in ('receipt', 'copy', 'refund_due')
   and not exists (select from outcome where outcome.payment_id = message.payment_id)
"""

RECEIPT_OF_NO_SALE = """
select message_id::text
  from message
  left join outcome using (payment_id)
 where message.kind in ('receipt', 'copy') and outcome.kind is distinct from 'token_issued'
"""

# Compared where they are, so that no digits leave the database. Where codes of a key change stand
# above the token, codes-told compares all of them.
DIGITS_DIFFER = rf"""
select message_id::text
  from message
  join outcome using (payment_id)
 where message.kind in ('receipt', 'copy') and outcome.kind = 'token_issued'
   and regexp_replace(substring(body from '(?:^|[^0-9-])({_DIGITS})(?:[^0-9-]|$)'), '[ -]', '', 'g')
       is distinct from outcome.token
   and not exists (select from key_change where key_change.payment_id = message.payment_id)
"""  # noqa: S608 -- a pattern of our own

DIGITS_ELSEWHERE = rf"""
select message_id::text
  from message
 where kind not in ('receipt', 'copy') and body ~ '(^|[^0-9-]){_DIGITS}([^0-9-]|$)'
"""  # noqa: S608 -- a pattern of our own

# A person with a phone hears of a sale in the transaction of the sale itself.
SALE_UNTOLD = """
select outcome.payment_id::text
  from outcome
  join meter using (meter_number)
 where outcome.kind = 'token_issued' and cardinality(meter.phones) > 0
   and meter.updated_at < outcome.decided_at
   and not exists (select from message
                    where message.payment_id = outcome.payment_id and message.kind = 'receipt')
"""

RULES = (
    Rule(
        name="message-has-outcome",
        promise="P3",
        says="no message tells of an outcome that is not stored",
        violations=NEWS_OF_NOTHING,
    ),
    Rule(
        name="receipt-has-token",
        promise="P3",
        says="no receipt is sent but for an issued token",
        violations=RECEIPT_OF_NO_SALE,
    ),
    Rule(
        name="receipt-digits",
        promise="P3",
        says="every receipt message carries its outcome's own token",
        violations=DIGITS_DIFFER,
    ),
    Rule(
        name="token-only-on-receipts",
        promise="P3",
        says="no other message carries a token",
        violations=DIGITS_ELSEWHERE,
    ),
    Rule(
        name="sale-told",
        promise="P3",
        says="every sale to a meter with a phone has its receipt message",
        violations=SALE_UNTOLD,
    ),
)
