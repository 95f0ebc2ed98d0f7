-- Third parties who sell for the utility: who they are, how they prove it, the money they have
-- paid in beforehand, their shifts and commission; and the log of what people did about them.

-- migrate:up

-- allowed_addresses are addresses or networks the vendor may call from; none: from anywhere.
create table vendor (
    vendor_id         text        primary key check (vendor_id ~ '^[a-z][a-z0-9-]{1,30}$'),
    name              text        not null,
    status            text        not null default 'active'
        check (status in ('active', 'suspended')),
    allowed_addresses text[]      not null default '{}',
    created_at        timestamptz not null
);

-- A key's public prefix finds it, its seal proves it: HMAC-SHA256 of a secret that is printed once
-- and kept by the vendor alone. A vendor has two places for keys that work, and two for keys of
-- the sandbox, so that one can be replaced while the other sells.
create table api_key (
    prefix     text        primary key,
    vendor_id  text        not null,
    label      text        not null,
    seal       bytea       not null check (length(seal) = 32),
    scopes     text[]      not null,
    sandbox    boolean     not null,
    place      smallint    not null check (place in (1, 2)),
    issued_at  timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz
);
create unique index api_key_place on api_key (vendor_id, sandbox, place)
    where revoked_at is null;

-- A machine that fetches short-lived access tokens, by a sealed secret or by its public keys.
create table oauth_client (
    client_id  text        primary key,
    vendor_id  text        not null,
    label      text        not null,
    seal       bytea       check (length(seal) = 32),
    key_set    text,
    scopes     text[]      not null,
    sandbox    boolean     not null,
    place      smallint    not null check (place in (1, 2)),
    issued_at  timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    check ((seal is null) <> (key_set is null))
);
create unique index oauth_client_place on oauth_client (vendor_id, sandbox, place)
    where revoked_at is null;

-- Assertions that were used, until they would have expired by themselves: none counts twice.
create table assertion_used (
    client_id  text        not null,
    jti        text        not null,
    expires_at timestamptz not null,
    primary key (client_id, jti)
);
create index assertion_used_expiry on assertion_used (expires_at);

-- What a vendor has paid in and not sold yet. A batch of sales moves each row once, and the check
-- refuses the batch that would go below the limit. last_batch is the batch that moved it last: the
-- next one is decided before this one is committed, and must know which of the two it has read.
-- Half empty, so that updates stay in their page.
create table vendor_float (
    vendor_id          text   primary key,
    balance_minor      bigint not null default 0,
    credit_limit_minor bigint not null default 0 check (credit_limit_minor >= 0),
    last_batch         bigint not null default 0,
    constraint vendor_float_covered check (balance_minor >= -credit_limit_minor)
) with (fillfactor = 10);

-- Money a vendor paid into a bank account of ours. Whoever proposes it does not confirm it, and
-- one bank reference counts once. entry_id is its document in the ledger, numbered when confirmed.
create table deposit (
    deposit_id     bigint      primary key,
    vendor_id      text        not null,
    bank           text        not null check (bank ~ '^[a-z][a-z0-9-]{1,30}$'),
    bank_reference text        not null check (bank_reference <> ''),
    amount_minor   bigint      not null check (amount_minor > 0),
    status         text        not null default 'proposed'
        check (status in ('proposed', 'confirmed', 'rejected')),
    proposed_by    text        not null,
    proposed_at    timestamptz not null,
    settled_by     text,
    settled_at     timestamptz,
    note           text        not null default '',
    entry_id       bigint      unique,
    check ((status = 'proposed') = (settled_by is null and settled_at is null)),
    check ((status = 'confirmed') = (entry_id is not null)),
    constraint deposit_checked
        check (status <> 'confirmed' or lower(settled_by) <> lower(proposed_by))
);
-- A deposit that was typed wrongly is rejected, and its reference may come again.
create unique index deposit_reference on deposit (bank, bank_reference)
    where status <> 'rejected';
create index deposit_vendor on deposit (vendor_id, deposit_id);

-- A clerk's shift at an outlet, or at one of its tills ('-': the whole outlet). Its totals are not
-- kept here: they are what the ledger says of its time.
create table shift (
    shift_id  bigint      primary key,
    vendor_id text        not null,
    outlet    text        not null,
    till      text        not null default '-',
    clerk     text        not null default '',
    opened_at timestamptz not null,
    closed_at timestamptz check (closed_at >= opened_at)
);
create unique index shift_open on shift (vendor_id, outlet, till) where closed_at is null;
create index shift_vendor on shift (vendor_id, shift_id);

-- What a vendor earns: rows with one effective_from are one rate table, which ends the one before
-- it. The band is the one with the largest from_minor that the tender reaches.
create table commission_rate (
    vendor_id      text        not null,
    product        text        not null,
    effective_from timestamptz not null,
    from_minor     bigint      not null default 0 check (from_minor >= 0),
    rate_ppm       integer     not null check (rate_ppm between 0 and 1000000),
    fixed_minor    bigint      not null default 0 check (fixed_minor >= 0),
    primary key (vendor_id, product, effective_from, from_minor)
);

-- What people and vendors did that is not a sale: each act holds the digest of the one before it,
-- so that none can be altered, removed or slipped in unseen. Written once.
create table act (
    number   bigint      primary key check (number > 0),
    at       timestamptz not null,
    who      text        not null,
    what     text        not null,
    subject  text        not null,
    facts    text        not null,
    previous bytea       not null check (length(previous) = 32),
    digest   bytea       not null check (length(digest) = 32)
);
create index act_subject on act (subject, number);

-- The last act: one row, locked by whoever adds the next, so that the chain has no branches.
create table act_head (
    shard  smallint primary key check (shard = 0),
    number bigint   not null,
    digest bytea    not null
) with (fillfactor = 10);
insert into act_head (shard, number, digest) values (0, 0, decode(repeat('00', 32), 'hex'));

-- A vendor's own sales in the order of their numbers: statements and shifts. Partial, so that a
-- mobile-money payment pays nothing for it.
create index payment_vendor on payment (operator, payment_id) where operator like 'vendor:%';

grant select, insert on
    vendor, api_key, oauth_client, assertion_used, vendor_float, deposit, shift, commission_rate, act
    to stima_app;
grant select on act_head to stima_app;
grant update (name, status, allowed_addresses) on vendor to stima_app;
grant update (revoked_at) on api_key, oauth_client to stima_app;
grant delete on assertion_used to stima_app;
grant update (balance_minor, credit_limit_minor, last_batch) on vendor_float to stima_app;
grant update (status, settled_by, settled_at, note, entry_id) on deposit to stima_app;
grant update (closed_at) on shift to stima_app;
grant update (number, digest) on act_head to stima_app;
