-- The warning level of a vendor's float: whoever runs low hears of it before sales are refused.

-- migrate:up

-- Of what can still be sold for, the credit limit included; 0: no warning. The sale that takes it
-- from here or above to below tells the vendor once.
alter table vendor_float
    add column warning_minor bigint not null default 0 check (warning_minor >= 0);

grant update (warning_minor) on vendor_float to stima_app;
