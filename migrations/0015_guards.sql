-- The newest migration that a binary must know to use this schema. A migration that drops, renames or retypes what
-- binaries of the release before use raises it, so that they refuse the database. See README.md.
alter table deployment add column oldest_binary bigint not null default 15;

-- Triggers also run in sessions with an empty search path, as in a restore, so they name the schema of each table.
create or replace function log_vehicle_changes() returns trigger language plpgsql as $$
begin
    insert into public.catalogue_changes (vehicle_ids) select array_agg(id) from changed having count(*) > 0;
    return null;
end $$;
create or replace function raise_catalogue_version() returns trigger language plpgsql as $$
declare
    raised bigint;
begin
    -- Only the first change of a transaction finds any without a version.
    perform from public.catalogue_changes where transaction_id = pg_current_xact_id() and version is null;
    if found then
        update public.catalogue set version = version + 1, changed_at = clock_timestamp() returning version into raised;
        update public.catalogue_changes set version = raised, changed_at = clock_timestamp()
        where transaction_id = pg_current_xact_id() and version is null;
        -- A version that a replica has seen is on disk. A stricter setting, such as `remote_apply`, stays.
        if current_setting('synchronous_commit') = 'off' then
            perform set_config('synchronous_commit', 'on', true);
        end if;
        perform pg_notify('lmn_catalogue', '');
    end if;
    return null;
end $$;
