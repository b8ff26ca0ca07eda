-- Lists by status or type read as many rows as they return, however long the history of a partner is.

-- Done orders by each sort. An order is placed as `proceed`, so these indexes are not maintained when it is placed.
create index orders_done_by_created on orders (partner_id, status, created_at, id)
    where status in ('delivered', 'cancelled', 'failed');
create index orders_done_by_updated on orders (partner_id, status, updated_at, id)
    where status in ('delivered', 'cancelled', 'failed');
create index orders_done_by_auction on orders (partner_id, status, auction_order, id)
    where status in ('delivered', 'cancelled', 'failed');

-- Events by type and delivery status. A list of some statuses reads every type by itself.
drop index events_by_type, events_by_delivery;
create index events_by_type on events (partner_id, type, delivery_status, position);

-- Requests during an attempt to send the head of a queue, which concern the time after it. A lease begins without them.
alter table delivery_queues
    -- The attempts were reset: a failure of the attempt in progress does not count.
    add column is_restarted boolean not null default false,
    -- A redelivery was requested: the head is sent again after the attempt.
    add column is_redelivery_requested boolean not null default false;
