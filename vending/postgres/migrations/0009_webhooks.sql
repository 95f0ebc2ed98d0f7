-- What vendors are told, where, and how each telling went.
--
-- An event is written in the same transaction as what it tells. A relay then spreads it to the
-- endpoints that want it, one delivery each, and calls them until they say yes. None of this is
-- money: rows go when their time is over.

-- migrate:up

-- An endpoint is failing from its first failure after a success; a pause rests all of it, so that
-- one that does not answer costs one place at a time. A deleted one is kept for its number alone.
create table webhook_endpoint (
    endpoint_id     bigint      primary key,
    vendor_id       text        not null,
    url             text        not null,
    description     text        not null,
    event_types     text[]      not null,
    schemes         text[]      not null,
    state           text        not null default 'enabled'
        check (state in ('enabled', 'disabled', 'deleted')),
    disabled_reason text        check (disabled_reason in ('by_vendor', 'gone', 'failing')),
    disabled_at     timestamptz,
    failures        integer     not null default 0,
    failing_since   timestamptz,
    paused_until    timestamptz not null,
    delivered_at    timestamptz,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    check ((state = 'disabled') = (disabled_reason is not null and disabled_at is not null))
);
create index webhook_endpoint_vendor on webhook_endpoint (vendor_id, endpoint_id);
create index webhook_endpoint_enabled on webhook_endpoint (paused_until) where state = 'enabled';

-- Secrets an endpoint is signed for with, sealed. expires_at is null for the present one, and the
-- end of the overlap for one that was replaced.
create table webhook_secret (
    secret_id   bigint      primary key,
    endpoint_id bigint      not null,
    scheme      text        not null check (scheme in ('v1', 'v1a')),
    sealed      bytea       not null,
    public_key  text,
    created_at  timestamptz not null,
    expires_at  timestamptz,
    check ((scheme = 'v1a') = (public_key is not null))
);
create index webhook_secret_endpoint on webhook_secret (endpoint_id);

-- One row: what the passphrase of the secrets is derived with, and a box that tells a wrong one.
create table webhook_seal (
    seal       smallint    primary key check (seal = 1),
    salt       bytea       not null,
    proof      bytea       not null,
    created_at timestamptz not null
);

-- The body is final when it is written: every delivery carries the same bytes. endpoint_id is set
-- for an event that concerns one endpoint alone.
create table webhook_event (
    event_id    bigint      primary key,
    vendor_id   text        not null,
    type        text        not null,
    body        text        not null,
    endpoint_id bigint,
    occurred_at timestamptz not null,
    spread_at   timestamptz
);
create index webhook_event_fresh on webhook_event (event_id) where spread_at is null;
create index webhook_event_vendor on webhook_event (vendor_id, event_id);

-- attempts counts every try there ever was and is a try's fence; the schedule counts from
-- attempts_before, which a replay moves up.
create table webhook_delivery (
    event_id        bigint      not null,
    endpoint_id     bigint      not null,
    state           text        not null default 'waiting'
        check (state in ('waiting', 'delivered', 'given_up')),
    attempts        integer     not null default 0,
    attempts_before integer     not null default 0,
    next_attempt_at timestamptz not null,
    created_at      timestamptz not null,
    settled_at      timestamptz,
    primary key (event_id, endpoint_id)
);
create index webhook_delivery_waiting on webhook_delivery (endpoint_id, next_attempt_at)
    where state = 'waiting';
create index webhook_delivery_endpoint on webhook_delivery (endpoint_id, event_id);

create table webhook_attempt (
    event_id     bigint      not null,
    endpoint_id  bigint      not null,
    attempt      integer     not null,
    at           timestamptz not null,
    milliseconds integer     not null,
    status       smallint,
    failure      text,
    answer       text        check (octet_length(answer) <= 2048),
    primary key (event_id, endpoint_id, attempt)
);

grant select, insert, update, delete on webhook_endpoint, webhook_secret, webhook_event,
    webhook_delivery, webhook_attempt to stima_app;
grant select, insert on webhook_seal to stima_app;
