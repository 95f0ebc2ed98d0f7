-- Messages to people: written in the same transaction as what they tell, sent afterwards at least
-- once. bucket is the home column; a relay claims the waiting rows of a bucket by moving
-- next_attempt_at into the future, so a relay that dies gives them back by itself.

-- migrate:up

create table message (
    bucket          smallint    not null,
    message_id      bigint      not null,
    payment_id      bigint,
    kind            text        not null,
    recipient       text        not null,
    body            text        not null,
    state           text        not null default 'waiting'
        check (state in ('waiting', 'sent', 'delivered', 'failed', 'given_up')),
    attempts        smallint    not null default 0,
    next_attempt_at timestamptz not null,
    created_at      timestamptz not null,
    sent_at         timestamptz,
    settled_at      timestamptz,
    gateway_id      text,
    last_failure    text,
    primary key (bucket, message_id)
);
create index message_waiting on message (bucket, next_attempt_at) where state = 'waiting';
create index message_gateway on message (gateway_id) where gateway_id is not null;
create index message_payment on message (payment_id) where payment_id is not null;

grant select, insert, update on message to stima_app;
