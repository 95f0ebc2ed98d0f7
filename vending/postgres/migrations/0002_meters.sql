-- Meters: a wide record that changes rarely, and a narrow state that every vend updates.

-- migrate:up

create table meter (
    meter_number    text        primary key check (meter_number ~ '^([0-9]{11}|[0-9]{13})$'),
    sgc             text        not null check (sgc ~ '^[0-9]{6}$'),
    krn             smallint    not null check (krn between 1 and 9),
    key_type        smallint    not null default 2 check (key_type between 0 and 3),
    ti              smallint    not null check (ti between 0 and 99),
    ea              smallint    not null check (ea in (7, 11)),
    tct             smallint    not null check (tct between 0 and 99),
    tid_base        smallint    not null check (tid_base in (93, 14, 35)),
    ken             smallint    not null check (ken between 0 and 255),
    tariff          text        not null,
    tariff_category text        not null,
    status          text        not null check (status in ('active', 'blocked', 'removed')),
    phones          text[]      not null default '{}',
    language        text        not null default 'en' check (language in ('en', 'sw')),
    region          text        not null default '',
    updated_at      timestamptz not null
);
-- Which meters belong to this phone: the read-back by USSD.
create index meter_phones on meter using gin (phones) where phones <> '{}';

-- What the next vend must know and will change. Narrow and half empty, so that updates stay
-- within their page (heap-only). A month is yyyymm in the utility's zone; 0 means never.
create table meter_state (
    meter_number         text     primary key,
    tid_base             smallint not null,
    last_tid             integer  not null default 0,
    month                integer  not null default 0,
    month_energy_wh      bigint   not null default 0,
    one_month_ago_wh     bigint   not null default 0,
    two_months_ago_wh    bigint   not null default 0,
    three_months_ago_wh  bigint   not null default 0,
    fees_paid_through    integer  not null default 0,
    open_debts           smallint not null default 0
) with (fillfactor = 70);

-- What a meter still owes and how a purchase pays it off: percent of the tender (millionths),
-- a fixed sum a purchase, or everything first. Lowest priority number first.
create table debt (
    meter_number  text        not null,
    debt_id       bigint      not null,
    kind          text        not null,
    priority      smallint    not null,
    mode          text        not null check (mode in ('percent', 'fixed', 'all')),
    rate_ppm      integer     not null default 0 check (rate_ppm between 0 and 1000000),
    amount_minor  bigint      not null default 0 check (amount_minor >= 0),
    balance_minor bigint      not null check (balance_minor >= 0),
    reason        text        not null,
    opened_at     timestamptz not null,
    primary key (meter_number, debt_id)
);

grant select, insert, update on meter, meter_state, debt to stima_app;
