-- Money that has arrived, and the one outcome each payment ends in.
--
-- The server logs in as stima_app; tables are owned by whoever migrates. Money and tokens are
-- append-only by grant: what stima_app may not UPDATE or DELETE, no bug of ours can rewrite.

-- migrate:up

do $$
begin
    if not exists (select from pg_roles where rolname = 'stima_app') then
        create role stima_app login;
    end if;
end
$$;

-- One row per payment an operator reported. Written once, before the operator is acknowledged
-- (P1), and never changed: what became of it is a row in outcome.
create table payment (
    payment_id        bigint      primary key,
    operator          text        not null,
    transaction_id    text        not null,
    short_code        text        not null,
    product           text        not null,
    account_reference text        not null,
    amount_minor      bigint      not null check (amount_minor > 0),
    paid_at           timestamptz not null,
    received_at       timestamptz not null,
    payer             text        not null,
    payer_kind        text        not null
        check (payer_kind in ('clear', 'hashed', 'masked', 'absent')),
    raw               bytea       not null,
    unique (operator, transaction_id)
);
create index payment_received on payment using brin (received_at);

-- One row per payment that has been decided: the primary key is promise P2.
-- 'refund_due' may become 'token_issued' (reassigned to the right meter) or 'refunded';
-- a token, once here, never changes.
create table outcome (
    payment_id      bigint      primary key,
    kind            text        not null check (kind in ('token_issued', 'account_credited', 'refund_due', 'refunded')),
    reason          text,
    meter_number    text,
    tid_base        smallint,
    tid             integer,
    token           text        check (length(token) = 20 and translate(token, '0123456789', '') = ''),
    energy_wh       bigint      check (energy_wh > 0),
    tariff          text,
    tariff_version  text,
    tariff_category text,
    line_codes      text[],
    line_amounts    bigint[],
    decided_at      timestamptz not null,
    check ((kind = 'token_issued') = (token is not null and tid is not null and tid_base is not null
        and energy_wh is not null and meter_number is not null and line_codes is not null
        and tariff_version is not null)),
    check ((kind in ('refund_due', 'refunded')) = (reason is not null))
);
-- No meter sees a token identifier twice (P4); serves "the last tokens of this meter" as well.
create unique index outcome_token on outcome (meter_number, tid_base, tid)
    where tid is not null;
create index outcome_refund_due on outcome (decided_at) where kind = 'refund_due';

-- What could not be believed or could not be carried out, kept for a person. A payment named here
-- waits for that person and no longer for the sequencer.
create table quarantine (
    quarantine_id  bigint      primary key,
    operator       text        not null,
    reason         text        not null,
    transaction_id text,
    payment_id     bigint,
    payload        bytea       not null,
    digest         bytea       not null,
    detail         text        not null,
    received_at    timestamptz not null,
    resolved_at    timestamptz,
    resolved_by    text,
    unique (operator, digest)
);
create index quarantine_payment on quarantine (payment_id) where payment_id is not null;

-- A request to move a refund due to the meter the payer meant: who asked, when, why, what came of
-- it. Asked by a command, carried out by the sequencer, because nothing else writes vends.
create table reassignment (
    reassignment_id bigint      primary key,
    payment_id      bigint      not null,
    meter_number    text        not null,
    person          text        not null,
    note            text        not null,
    requested_at    timestamptz not null,
    settled_at      timestamptz,
    result          text
);
create index reassignment_open on reassignment (requested_at) where settled_at is null;

-- Who may write vends. Every batch moves this row under its epoch, so a former owner that wakes
-- up late finds its epoch gone and writes nothing.
create table sequencer_lease (
    shard      smallint    primary key,
    owner      text        not null,
    epoch      bigint      not null,
    expires_at timestamptz not null,
    batches    bigint      not null default 0
) with (fillfactor = 10);

grant select on schema_migrations to stima_app;
grant select, insert on payment, quarantine, reassignment to stima_app;
grant select, insert, update on outcome, sequencer_lease to stima_app;
grant update (settled_at, result) on reassignment to stima_app;
grant update (resolved_at, resolved_by) on quarantine to stima_app;
