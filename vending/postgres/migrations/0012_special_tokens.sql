-- Tokens that nobody pays for: free units, and the engineering tokens that set a meter or have it
-- show something. Append-only: each row proves by itself that its caller's daily caps were kept.

-- migrate:up

-- `operator` is who issues: 'vendor:<vendor>' or 'person:<name>'; with the caller's own `reference`
-- it is the token for ever, as for a payment (P2). `facts` are what was asked. Of each caller's
-- day, `nth` counts the tokens and `day_energy_wh` sums the energy, this one included, against the
-- caps as they were then.
create table special_token (
    special_id        bigint      primary key,
    operator          text        not null check (operator like 'vendor:%' or operator like 'person:%'),
    reference         text        not null,
    kind              text        not null check (kind in ('free_basic', 'free_issue', 'power_limit',
        'phase_unbalance', 'clear_credit', 'clear_tamper', 'water_factor', 'meter_test')),
    meter_number      text,
    tid_base          smallint,
    tid               integer,
    token             text        not null
        check (length(token) = 20 and translate(token, '0123456789', '') = ''),
    value             bigint      not null check (value >= 0),
    entitlement       text,
    reason            text        not null,
    asked_by          text        not null,
    approved_by       text,
    facts             bytea       not null,
    day               date        not null,
    nth               integer     not null check (nth > 0),
    day_energy_wh     bigint      not null check (day_energy_wh >= 0),
    day_tokens_max    integer     not null,
    day_energy_max_wh bigint      not null,
    decided_at        timestamptz not null,
    unique (operator, reference),
    unique (operator, day, nth),
    check (nth <= day_tokens_max),
    check (day_energy_wh <= day_energy_max_wh),
    check (approved_by <> asked_by),
    -- A person's token has two persons behind it.
    check (operator not like 'person:%' or approved_by is not null),
    -- Only tests are for any meter, and only they have no identifier (IEC 62055-41, 6.3.5).
    check ((kind = 'meter_test') = (meter_number is null)),
    check ((meter_number is null) = (tid is null) and (tid is null) = (tid_base is null))
);
-- No meter sees a token identifier twice (P4).
create unique index special_token_identifier on special_token (meter_number, tid_base, tid)
    where tid is not null;
-- What a meter is entitled to, a month's free basic units for one, it gets once.
create unique index special_token_entitlement on special_token (meter_number, kind, entitlement)
    where entitlement is not null;

-- A request of the utility's own people: asked by one, approved or declined by another, carried out
-- by the sequencer, because nothing else makes tokens.
create table special_request (
    request_id   bigint      primary key,
    kind         text        not null,
    meter_number text,
    value        bigint      not null check (value >= 0),
    reason       text        not null,
    note         text        not null,
    asked_by     text        not null,
    asked_at     timestamptz not null,
    approved     boolean,
    judged_by    text,
    judged_at    timestamptz,
    settled_at   timestamptz,
    result       text,
    check (judged_by <> asked_by),
    check ((approved is null) = (judged_by is null)),
    check ((judged_by is null) = (judged_at is null)),
    check ((settled_at is null) = (result is null)),
    check (settled_at is null or approved is not null)
);
create index special_request_open on special_request (asked_at) where settled_at is null;

grant select, insert on special_token, special_request to stima_app;
grant update (approved, judged_by, judged_at, settled_at, result) on special_request to stima_app;
