-- Tariff versions, each the whole text of its file: a receipt names one and anyone can recompute.

-- migrate:up

create table tariff_version (
    code           text        not null,
    version        text        not null,
    effective_from timestamptz not null,
    source         text        not null,
    sha256         text        not null,
    loaded_at      timestamptz not null,
    primary key (code, version)
);

grant select, insert on tariff_version to stima_app;
