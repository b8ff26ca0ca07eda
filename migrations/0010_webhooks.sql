-- Where a partner wants its events, and what is on its way there.
--
-- An event that is to be sent waits in a lane. A lane is one order's queue: its head is sent, nothing behind it is until
-- the head is delivered or given up, so an order's events arrive in their sequence and one dead order delays no other.
-- A redelivery is outside the order's sequence and has a lane of its own, and so has a test. A lane is there exactly as
-- long as something waits in it, so the queue is as small as what waits, however many events there are.

create table webhook_endpoints (
    partner_id uuid primary key references partners (id),
    url text not null
        constraint webhook_endpoints_url_length check (char_length(url) between 1 and 2048),
    enabled boolean not null,
    -- Why LMN disabled it; null if it is enabled, or if its partner paused it.
    disabled_reason text
        constraint webhook_endpoints_reason_known check (disabled_reason in ('endpoint_gone', 'failing_for_five_days')),
    description text
        constraint webhook_endpoints_description_length check (char_length(description) <= 256),
    -- Since when every attempt has failed, in the partner's time; null after a success.
    failing_since timestamptz,
    -- When the last of these attempts did.
    last_failed_at timestamptz,
    -- When a worker last took something to send: who waited longest is next.
    served_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint webhook_endpoints_reason_of_disabled check (not enabled or disabled_reason is null)
);

-- Signing needs the secrets as they are. They stand apart, and only the statement that leases reads them, so that no
-- list and no log can show one by accident.
create table webhook_secrets (
    secret text primary key
        constraint webhook_secrets_form check (secret ~ '^whsec_[A-Za-z0-9+/]{43}=$'),
    partner_id uuid not null references webhook_endpoints (partner_id) on delete cascade,
    -- In real time; null for the present one.
    expires_at timestamptz
);
create unique index webhook_secrets_present on webhook_secrets (partner_id) where expires_at is null;
create unique index webhook_secrets_former on webhook_secrets (partner_id) where expires_at is not null;

-- What an appended event has to know of the endpoint stands in the feed's row, which the append locks: so it is never
-- older than the event, and an endpoint that goes while events are written leaves none behind.
alter table event_feeds
    add column has_endpoint boolean not null default false,
    -- The types that are wanted; null for all.
    add column event_types text[],
    drop constraint event_feeds_position_positive,
    add constraint event_feeds_position_positive check (last_position >= 0);

-- What time it is for a partner. A function looks when it is called: it sees what was committed while its statement waited
-- for a lock, and a clock can have been taken back then.
create function lmn_now_of(partner uuid) returns timestamptz
    language sql volatile
    return (select lmn_now(clock_offset_seconds) from partners where id = partner);

create table webhook_lanes (
    id uuid primary key,                        -- of the order, of the event, or of a replay
    partner_id uuid not null references partners (id),
    -- The head.
    event_id uuid not null references events (id)
        constraint webhook_lanes_event_unique unique,
    -- When the head is sent next, in the partner's time: what moves that on brings deliveries nearer.
    due_at timestamptz not null,
    -- How often the head was sent since it began to wait.
    tries integer not null default 0
        constraint webhook_lanes_tries_positive check (tries >= 0),
    -- Who sends the head right now, and until when nobody else does, in real time.
    lease uuid,
    leased_until timestamptz,
    constraint webhook_lanes_lease_whole check (num_nulls(lease, leased_until) in (0, 2))
);
create index webhook_lanes_due on webhook_lanes (partner_id, due_at);
create index webhook_lanes_leased on webhook_lanes (partner_id) where lease is not null;

alter table events
    -- Where it waits.
    add column lane_id uuid,
    add constraint events_pending_in_a_lane check ((lane_id is not null) = (delivery_status = 'pending')),
    -- It is the lane's to know.
    drop column next_attempt_at;

create index events_waiting on events (lane_id, sequence) where lane_id is not null;
create index events_by_delivery on events (partner_id, delivery_status, position);
