-- Key changes: what the utility ordered, and the codes that were issued for it.

-- migrate:up

-- Known from the read that every sale makes of its meter: only a meter that is due costs more.
-- Constant, so that adding it rewrites no row.
alter table meter add column key_change_due boolean not null default false;

-- One row per change that was ordered: from the key the directory knew to the one it is to know.
-- A meter has one open order at most; meter.key_change_due says so and guards it. list_id is what
-- was ordered together, and the log of acts has an act under it. A vendor's request has its
-- operator and reference, under which it is answered once and for ever.
create table key_change_order (
    order_id     bigint      primary key,
    list_id      bigint      not null,
    meter_number text        not null,
    from_sgc     text        not null check (from_sgc ~ '^[0-9]{6}$'),
    from_krn     smallint    not null check (from_krn between 1 and 9),
    from_ti      smallint    not null check (from_ti between 0 and 99),
    from_base    smallint    not null check (from_base in (93, 14, 35)),
    from_ken     smallint    not null check (from_ken between 0 and 255),
    to_sgc       text        not null check (to_sgc ~ '^[0-9]{6}$'),
    to_krn       smallint    not null check (to_krn between 1 and 9),
    to_ti        smallint    not null check (to_ti between 0 and 99),
    to_base      smallint    not null check (to_base in (93, 14, 35)),
    to_ken       smallint    not null check (to_ken between 0 and 255),
    ordered_by   text        not null,
    note         text        not null,
    ordered_at   timestamptz not null,
    operator     text,
    reference    text,
    withdrawn_by text,
    withdrawn_at timestamptz,
    unique (operator, reference),
    check ((operator is null) = (reference is null)),
    check ((withdrawn_at is null) = (withdrawn_by is null)),
    check ((from_sgc, from_krn, from_ti, from_base, from_ken)
           is distinct from (to_sgc, to_krn, to_ti, to_base, to_ken))
);
create index key_change_order_meter on key_change_order (meter_number, order_id);

-- The codes of an order, in the order they are keyed in; issued once, with the sale (payment_id)
-- that they stand above, or at a vendor's request with none. Append-only, like tokens.
create table key_change (
    order_id     bigint      primary key,
    payment_id   bigint      unique,
    meter_number text        not null,
    codes        text[]      not null check (cardinality(codes) between 2 and 4
                                             and array_to_string(codes, ',') ~ '^[0-9]{20}(,[0-9]{20})+$'),
    issued_at    timestamptz not null
);
create index key_change_meter on key_change (meter_number, order_id);

grant select, insert on key_change_order, key_change to stima_app;
grant update (withdrawn_by, withdrawn_at) on key_change_order to stima_app;
