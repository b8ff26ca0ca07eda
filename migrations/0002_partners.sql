-- Who may call, with what, from where, and how often.

create table partners (
    id uuid primary key,
    name text not null
        constraint partners_name_unique unique
        constraint partners_name_length check (char_length(name) between 1 and 128),
    -- Sandbox: how far this partner's time runs ahead of real time.
    clock_offset_seconds bigint not null default 0
        constraint partners_clock_offset_range check (clock_offset_seconds between 0 and 3153600000),
    -- Limits of its own; null means the deployment's default. Each policy is set whole or not at all.
    read_limit integer, read_window_seconds integer, read_burst integer,
    write_limit integer, write_window_seconds integer, write_burst integer,
    created_at timestamptz not null,
    constraint partners_read_policy_whole check (num_nulls(read_limit, read_window_seconds, read_burst) in (0, 3)),
    constraint partners_read_policy_range check (
        least(read_limit, read_window_seconds, read_burst) >= 1
        and greatest(read_limit, read_window_seconds, read_burst) <= 1000000
        and read_window_seconds::bigint * read_burst <= read_limit::bigint * 86400),
    constraint partners_write_policy_whole check (num_nulls(write_limit, write_window_seconds, write_burst) in (0, 3)),
    constraint partners_write_policy_range check (
        least(write_limit, write_window_seconds, write_burst) >= 1
        and greatest(write_limit, write_window_seconds, write_burst) <= 1000000
        and write_window_seconds::bigint * write_burst <= write_limit::bigint * 86400)
);

-- A key is stored as a digest. 28 characters of 6 random bits cannot be guessed from it, so a plain SHA-256 is enough
-- and a look-up is one index probe. The prefix is public: it names the key in logs and on the command line.
create table api_keys (
    id uuid primary key,
    partner_id uuid not null references partners (id),
    digest bytea not null
        constraint api_keys_digest_unique unique
        constraint api_keys_digest_length check (octet_length(digest) = 32),
    prefix text not null
        constraint api_keys_prefix_unique unique
        constraint api_keys_prefix_length check (char_length(prefix) = 12),
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);

create table allowed_networks (
    partner_id uuid not null references partners (id),
    network cidr not null,
    created_at timestamptz not null,
    constraint allowed_networks_pkey primary key (partner_id, network)
);

-- Replicas cache what a key opens. Whatever changes the answer announces itself, so that no writer can forget to.
-- The columns are named: last_used_at changes often and opens nothing.
create function announce_gate_change() returns trigger
    language plpgsql as $$
begin
    perform pg_notify('lmn_gate', '');
    return null;
end $$;

create trigger partners_announce
    after update of read_limit, read_window_seconds, read_burst, write_limit, write_window_seconds, write_burst
    on partners for each statement execute function announce_gate_change();
create trigger api_keys_announce
    after update of partner_id, digest, expires_at, revoked_at or delete
    on api_keys for each statement execute function announce_gate_change();
create trigger allowed_networks_announce
    after insert or update or delete
    on allowed_networks for each statement execute function announce_gate_change();
