-- Orders, what happened to them, and the car as it was when it was ordered.

create table orders (
    id uuid primary key,                        -- a ULID; its 26 characters are made at the edge
    partner_id uuid not null references partners (id),
    vehicle_id text collate "C" not null references vehicles (id),
    vin text,
    license_plate text,
    status text not null
        constraint orders_status_known check (status in
            ('proceed', 'acquiring', 'secured', 'shipping', 'delivered', 'cancelled', 'failed')),
    fulfillment_detail text
        constraint orders_fulfillment_known check (fulfillment_detail in
            ('export_processing', 'awaiting_pickup', 'in_transit', 'customs')),
    max_bid_usd integer
        constraint orders_bid_range check (max_bid_usd between 1 and 10000000),
    -- How the bid stood when the order left the bidding; while it bids, its standing is computed from its rivals.
    final_is_highest boolean,
    final_highest_bid_usd integer,
    purchase_price_usd integer
        constraint orders_purchase_price_range check (purchase_price_usd between 1 and 10000000),
    auction_fee_usd integer
        constraint orders_auction_fee_range check (auction_fee_usd between 0 and 10000000),
    auction_date timestamptz,
    order_cutoff_at timestamptz,
    failure_reason text
        constraint orders_failure_reason_known check (failure_reason in
            ('auction_passed', 'outbid', 'outbid_internally', 'vehicle_unavailable', 'auction_cancelled')),
    cancellation_reason text
        constraint orders_cancellation_reason_known check (cancellation_reason in
            ('partner_cancelled', 'auction_rescheduled_too_soon', 'auction_cancelled', 'seller_withdrew')),
    vessel_name text,
    bl_number text,
    port_of_loading text,
    port_of_discharge text,
    etd timestamptz,
    eta timestamptz,
    -- Whom in the partner's organisation the order is for. For the operator's eyes only.
    external_user_id text
        constraint orders_external_user_length check (char_length(external_user_id) between 1 and 128),
    -- Which bid was accepted first. Assigned under the vehicle's lock; created_at cannot say it, because sandbox
    -- partners live in different times.
    accepted_no bigint not null generated always as identity,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- What the list sorts by: orders on buy-now cars, which wait for no auction, stand last.
    auction_order timestamptz not null generated always as (coalesce(auction_date, timestamptz 'infinity')) stored,

    constraint orders_auction_whole check (
        num_nulls(max_bid_usd, auction_date, order_cutoff_at) in (0, 3)),
    constraint orders_failure_reason_iff_failed check ((failure_reason is not null) = (status = 'failed')),
    constraint orders_cancellation_reason_iff_cancelled check ((cancellation_reason is not null) = (status = 'cancelled')),
    constraint orders_amounts_once_secured check (
        num_nulls(purchase_price_usd, auction_fee_usd)
            = case when status in ('secured', 'shipping', 'delivered') then 0 else 2 end),
    constraint orders_price_within_bid check (purchase_price_usd <= max_bid_usd),
    constraint orders_fulfillment_once_shipping check (
        (fulfillment_detail is not null) = (status in ('shipping', 'delivered'))),
    constraint orders_standing_frozen check (
        num_nulls(final_is_highest, final_highest_bid_usd)
            = case when max_bid_usd is null or status in ('proceed', 'acquiring') then 2 else 0 end)
);

-- A partner has at most one open order for a car ...
create unique index orders_one_open on orders (partner_id, vehicle_id)
    where status in ('proceed', 'acquiring', 'secured', 'shipping');
-- ... and a car is bought for one partner at most, ever.
create unique index orders_one_winner on orders (vehicle_id)
    where status in ('secured', 'shipping', 'delivered');
-- The bids that compete for a car, best first.
create index orders_bidding on orders (vehicle_id, max_bid_usd desc, accepted_no)
    where status in ('proceed', 'acquiring') and max_bid_usd is not null;
-- What a partner ordered of a car, the last one last.
create index orders_by_vehicle on orders (partner_id, vehicle_id, accepted_no);
-- The partner's list, one index a sort; the first is read both ways.
create index orders_by_created on orders (partner_id, created_at, id);
create index orders_by_updated on orders (partner_id, updated_at, id);
create index orders_by_auction on orders (partner_id, auction_order, id);

-- Every step of an order, numbered without a gap.
create table order_history (
    order_id uuid not null references orders (id),
    n integer not null
        constraint order_history_counts_from_one check (n >= 1),
    status text not null,
    fulfillment_detail text,
    by text not null
        constraint order_history_by_known check (by in ('partner', 'operator', 'automatic')),
    -- When it happened, with the offset of the place where it happened.
    occurred_at timestamptz not null,
    occurred_offset_minutes smallint not null
        constraint order_history_offset_range check (occurred_offset_minutes between -1439 and 1439),
    recorded_at timestamptz not null,
    notes text
        constraint order_history_notes_length check (char_length(notes) <= 2000),
    constraint order_history_pkey primary key (order_id, n)
);

-- The car as the partner saw it when it ordered. Text, not jsonb: what was promised is kept byte for byte.
create table order_vehicles (
    order_id uuid primary key references orders (id),
    vehicle json not null
);

-- Orders as they are read. While an order bids, how it stands is computed from its rivals: the highest bid leads,
-- and of two equal ones the one accepted first. Once it has left the bidding, its standing is what it was then.
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
