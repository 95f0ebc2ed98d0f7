-- Where files are laid out before they are merged: unlogged tables, one a run, dropped at its end.
-- The application may make tables here and nowhere else.

-- migrate:up

create schema staging;
grant usage, create on schema staging to stima_app;
