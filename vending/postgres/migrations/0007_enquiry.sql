-- "We have your money" must be found by the meter that was typed while half a million payments
-- wait: no other path leads from a meter to a payment that has no outcome yet.

-- migrate:up

create index payment_reference on payment (account_reference, payment_id);
