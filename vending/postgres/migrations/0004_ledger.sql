-- Double entry, append-only by grant. An entry carries its postings as two arrays of equal length,
-- so that "sums to zero" is a CHECK on the row: no entry that does not can be stored (P3).
-- Debits are positive, credits negative.

-- migrate:up

create table account (
    account_id integer primary key generated always as identity,
    code       text    not null unique
);

-- A loop, because an aggregate in a CHECK costs three times as much a row.
create function sums_to_zero(amounts bigint[]) returns boolean
    language plpgsql immutable strict parallel safe
as $$
declare
    total bigint := 0;
    amount bigint;
begin
    foreach amount in array amounts loop
        total := total + amount;
    end loop;
    return total = 0;
end
$$;

-- document_id is the payment (or, for other stories, the document) that the entry is about;
-- sequence 0 is its first entry, a later move of the same money is 1, 2 ...
create table entry (
    document_id bigint      not null,
    sequence    smallint    not null,
    kind        text        not null,
    accounts    integer[]   not null,
    amounts     bigint[]    not null,
    booked_at   timestamptz not null,
    primary key (document_id, sequence),
    check (cardinality(accounts) = cardinality(amounts) and cardinality(amounts) >= 2),
    check (sums_to_zero(amounts))
);
create index entry_booked on entry using brin (booked_at);

create view posting as
    select entry.document_id, entry.sequence, entry.kind, entry.booked_at,
           account.code as account, line.amount_minor
      from entry
     cross join unnest(entry.accounts, entry.amounts) as line (account_id, amount_minor)
      join account using (account_id);

grant select, insert on account, entry to stima_app;
grant select on posting to stima_app;
