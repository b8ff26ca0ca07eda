-- What LMN's steps do to orders, as partners are told of it: events, numbered twice.
--
-- `sequence` counts an order's events from 1 without a gap; it is handed out under the order's row lock. `position`
-- counts all events of a partner; it is handed out under the partner's row of `event_feeds`, which stays locked until
-- the commit. So positions become visible in their order, and a reader who has seen one never misses a smaller one.

create table event_feeds (
    partner_id uuid primary key references partners (id),
    last_position bigint not null
        constraint event_feeds_position_positive check (last_position >= 1)
);

create table events (
    id uuid primary key,                        -- a ULID; `evt_` and its 26 characters are made at the edge
    partner_id uuid not null references partners (id),
    position bigint not null,
    -- Both null for a test of the partner's endpoint, which concerns no order.
    order_id uuid references orders (id),
    sequence integer
        constraint events_sequence_positive check (sequence >= 1),
    type text not null
        constraint events_type_known check (type in ('order.status_changed', 'order.fulfillment_updated',
            'order.auction_rescheduled', 'order.price_updated', 'order.re_auctioned', 'webhook.test')),
    -- The listing under which a car came back: a partner is told of it once.
    new_vehicle_id text collate "C",
    occurred_at timestamptz not null,
    -- The event as it is sent. Text, not jsonb: the order in it is byte for byte what a reader got at that version.
    payload json not null,
    delivery_status text not null default 'delivery_skipped'
        constraint events_delivery_status_known check (delivery_status in
            ('pending', 'delivered', 'failed', 'delivery_skipped')),
    attempts integer not null default 0,
    last_attempt_at timestamptz,
    last_response_code integer,
    next_attempt_at timestamptz,
    constraint events_position_unique unique (partner_id, position),
    constraint events_sequence_unique unique (order_id, sequence),
    constraint events_order_whole check (num_nulls(order_id, sequence) = case when type = 'webhook.test' then 2 else 0 end),
    constraint events_relisting_whole check ((new_vehicle_id is not null) = (type = 'order.re_auctioned')),
    constraint events_relisting_told_once unique (partner_id, new_vehicle_id)
);

-- The feed by type; whole, it is read by the position's own index.
create index events_by_type on events (partner_id, type, position);

-- How many events an order has had.
alter table orders add column last_sequence integer not null default 0;
-- Dates of a voyage keep the offset of their port.
alter table orders add column etd_offset_minutes smallint, add column eta_offset_minutes smallint;
alter table orders
    add constraint orders_etd_whole check (num_nulls(etd, etd_offset_minutes) in (0, 2)),
    add constraint orders_eta_whole check (num_nulls(eta, eta_offset_minutes) in (0, 2)),
    add constraint orders_etd_offset_range check (etd_offset_minutes between -1439 and 1439),
    add constraint orders_eta_offset_range check (eta_offset_minutes between -1439 and 1439);

-- Since when an order ships; the history knows it, but cannot be searched by it.
alter table orders add column shipping_since timestamptz;
update orders set shipping_since = (select min(recorded_at) from order_history
                                    where order_id = orders.id and order_history.status = 'shipping')
where status in ('shipping', 'delivered');

-- The view was made of the columns that there were.
drop view orders_with_standing;
create view orders_with_standing as
select
    orders.*,
    case when status in ('proceed', 'acquiring') then leader.id = orders.id else final_is_highest end
        as is_highest_bid,
    case when status in ('proceed', 'acquiring') then leader.max_bid_usd else final_highest_bid_usd end
        as current_max_bid_usd
from orders
left join lateral (
    select rival.id, rival.max_bid_usd
    from orders rival
    where rival.vehicle_id = orders.vehicle_id
      and rival.status in ('proceed', 'acquiring')
      and rival.max_bid_usd is not null
    order by rival.max_bid_usd desc, rival.accepted_no
    limit 1
) leader on orders.max_bid_usd is not null and orders.status in ('proceed', 'acquiring');

-- The orders that a change of their car concerns, those without a bid included.
drop index orders_bidding;
create index orders_bidding on orders (vehicle_id, max_bid_usd desc, accepted_no)
    where status in ('proceed', 'acquiring');
-- What the sweeps look for: lots that nobody acted on, and cars that are long on their way.
create index orders_waiting on orders (partner_id, auction_date) where status = 'proceed' and max_bid_usd is not null;
create index orders_shipping on orders (shipping_since) where status = 'shipping';
-- Former orders of a car that is listed again.
create index orders_done_by_vin on orders (vin) where status in ('delivered', 'cancelled', 'failed');
create index orders_done_by_plate on orders (license_plate) where status in ('delivered', 'cancelled', 'failed');

-- Deliveries that are long overdue: one reminder a day, whichever replica is first.
create table overdue_reminders (
    order_id uuid not null references orders (id),
    days integer not null                       -- in shipping so far
        constraint overdue_reminders_days_range check (days >= 90),
    recorded_at timestamptz not null,
    constraint overdue_reminders_pkey primary key (order_id, days)
);

-- Whom a reminder is meant for, on the partner's side.
alter table partners add column contact text
    constraint partners_contact_length check (char_length(contact) between 1 and 256);
