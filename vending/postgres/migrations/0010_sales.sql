-- Selling to vendors: prices that were promised, references that are barred, copies that were
-- printed, and sales that somebody wants undone.

-- migrate:up

-- What a vendor was told a meter would get for a sum, and until when that stands. Looked at once
-- more when the sale names it; rows that have expired are removed a day later.
create table quote (
    quote_id        bigint      primary key,
    vendor_id       text        not null,
    meter_number    text        not null,
    amount_minor    bigint      not null check (amount_minor > 0),
    energy_wh       bigint      not null check (energy_wh > 0),
    tariff          text        not null,
    tariff_version  text        not null,
    tariff_category text        not null,
    line_codes      text[]      not null,
    line_amounts    bigint[]    not null,
    quoted_at       timestamptz not null,
    expires_at      timestamptz not null check (expires_at > quoted_at),
    check (cardinality(line_codes) = cardinality(line_amounts))
);
create index quote_expiry on quote (expires_at);

-- References under which nothing was sold and nothing ever will be (P8): whoever was told
-- "unknown, sell again" must not be sold to twice when the first request arrives late.
create table sale_barred (
    operator  text        not null,
    reference text        not null,
    barred_at timestamptz not null,
    primary key (operator, reference)
);

-- Each copy of a receipt that a vendor asked for after the first: how many there are is on it.
create table reprint (
    payment_id bigint      not null,
    copy       integer     not null check (copy > 0),
    asked_by   text        not null,
    asked_at   timestamptz not null,
    primary key (payment_id, copy)
);

-- A sale that its vendor wants undone although its token is out: a token cannot be recalled from a
-- meter, so a person decides. One for each sale.
create table dispute (
    dispute_id bigint      primary key,
    payment_id bigint      not null unique,
    vendor_id  text        not null,
    reason     text        not null,
    opened_by  text        not null,
    opened_at  timestamptz not null,
    settled_by text,
    settled_at timestamptz,
    resolution text,
    check ((settled_at is null) = (settled_by is null)),
    check ((settled_at is null) = (resolution is null))
);
create index dispute_open on dispute (opened_at) where settled_at is null;

grant select, insert on quote, sale_barred, reprint, dispute to stima_app;
grant delete on quote to stima_app;
grant update (settled_by, settled_at, resolution) on dispute to stima_app;
