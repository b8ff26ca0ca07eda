-- What this database is, in one row.
--
-- A deployment is one environment for ever. `lmn migrate` says which one through the session setting
-- lmn.environment, the row remembers it, and `lmn serve` refuses a database of the other kind: a sandbox
-- server must not be able to touch production orders because someone pasted the wrong address.
--
-- The cursor key authenticates pagination cursors. It is made here, once, so that all replicas share it, cursors
-- survive restarts, and nobody has to invent or rotate a secret. Two random UUIDs carry 244 random bits.

create table deployment (
    only_row boolean primary key default true
        constraint deployment_has_one_row check (only_row),
    environment text not null
        constraint deployment_environment_known check (environment in ('production', 'sandbox')),
    cursor_key bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        constraint deployment_cursor_key_length check (octet_length(cursor_key) = 32)
);

insert into deployment (environment) values (current_setting('lmn.environment'));

-- The one clock of the product. A sandbox partner may live ahead of real time by its own offset (zero in
-- production), so every rule that asks "what time is it" asks it here. Milliseconds are all that is ever stored.
-- It is a function rather than an expression so that a test can hold time still in its own database.
create function lmn_now(offset_seconds bigint) returns timestamptz
    language sql volatile
    return date_trunc('milliseconds', clock_timestamp() + make_interval(secs => offset_seconds));
