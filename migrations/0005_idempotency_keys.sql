-- What each Idempotency-Key did, for ever.
--
-- The row is inserted as the first statement of the write's transaction and completed as the last one before its
-- commit. A second request with the key waits on the primary key until the first one ends: then it either sees the
-- completed row and replays it, or (the first was refused) takes its place. So a row that can be seen is complete.

create table idempotency_keys (
    partner_id uuid not null references partners (id),
    key uuid not null,
    -- Six digests of 16 bytes: method, path, query, vehicle_id, max_bid_amount_usd, the rest of the body.
    fingerprint bytea not null
        constraint idempotency_keys_fingerprint_length check (octet_length(fingerprint) = 96),
    order_id uuid references orders (id),
    -- What the first request was answered. Its status is not kept: a replay is always 200.
    reply_location text,
    reply_body bytea,
    constraint idempotency_keys_pkey primary key (partner_id, key)
);
