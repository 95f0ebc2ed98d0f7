-- What a clerk is told before selling: whose meter it is, and the free energy it is due a month.

-- migrate:up

-- '' and 0: not known, none. The vend reads neither; vendors see the name masked, never whole.
-- A token carries hundreds of watt-hours.
alter table meter
    add column customer_name text    not null default '',
    add column free_month_wh integer not null default 0
        check (free_month_wh >= 0 and free_month_wh % 100 = 0);
