-- Who changed what, when, and under which request.

create table audit_log (
    id bigint generated always as identity primary key,
    recorded_at timestamptz not null,
    -- `key:<prefix>` for a partner's key, `operator:<account>` for the command line, `automatic` for sweeps.
    actor text not null,
    partner_id uuid references partners (id),
    action text not null,
    subject text not null,
    request_id text,
    details jsonb not null default '{}'
);

create index audit_log_by_partner on audit_log (partner_id, recorded_at);
