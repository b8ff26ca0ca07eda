-- The attempts to deliver an event, so that its partner sees the cause of each failure.

create domain delivery_error as text
    constraint delivery_error_known check (value in
        ('timeout', 'tls', 'dns', 'refused', 'address_not_public', 'connection', 'status'));

-- The statement that records an attempt also deletes those that are too old, so an event keeps the last 20. There is no
-- foreign key, because that statement locks the event, and events are never deleted.
create table delivery_attempts (
    event_id uuid not null,
    -- `events.attempts` after the attempt. A binary of the release before counts attempts without recording them.
    number integer not null,
    attempted_at timestamptz not null,          -- in the partner's time
    response_code integer,                      -- null if there was no response
    error delivery_error,                       -- null if the event was delivered
    duration_ms integer not null,
    constraint delivery_attempts_pkey primary key (event_id, number)
);
