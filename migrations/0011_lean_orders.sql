-- Orders, leaner: the same promises for less work at each write.
--
-- A CHECK is parsed anew for every insert and a foreign key looks its parent up again, which together were a third of
-- what an order cost. Single columns are held by domains, rules that span columns by a trigger that is compiled once a
-- session, parents by a trigger on the parent's own deletion, which hardly ever happens. And what can be derived is not
-- stored twice: the first step of an order is the order, the audit entry of a step is the step.

-- The words and amounts of orders.
create domain usd as integer
    constraint usd_range check (value between 1 and 10000000);
create domain usd_fee as integer
    constraint usd_fee_range check (value between 0 and 10000000);
create domain utc_offset_minutes as smallint
    constraint utc_offset_minutes_range check (value between -1439 and 1439);
create domain order_status as text
    constraint order_status_known check (value in
        ('proceed', 'acquiring', 'secured', 'shipping', 'delivered', 'cancelled', 'failed'));
create domain fulfillment_detail as text
    constraint fulfillment_detail_known check (value in
        ('export_processing', 'awaiting_pickup', 'in_transit', 'customs'));
create domain failure_reason as text
    constraint failure_reason_known check (value in
        ('auction_passed', 'outbid', 'outbid_internally', 'vehicle_unavailable', 'auction_cancelled'));
create domain cancellation_reason as text
    constraint cancellation_reason_known check (value in
        ('partner_cancelled', 'auction_rescheduled_too_soon', 'auction_cancelled', 'seller_withdrew'));
create domain step_owner as text
    constraint step_owner_known check (value in ('partner', 'operator', 'automatic'));
create domain external_user_id as text
    constraint external_user_id_length check (char_length(value) between 1 and 128);
create domain request_fingerprint as bytea
    constraint request_fingerprint_length check (octet_length(value) = 96);

drop view orders_with_standing;
drop index orders_one_open, orders_one_winner, orders_bidding, orders_waiting, orders_shipping,
    orders_done_by_vin, orders_done_by_plate;

alter table orders
    drop constraint orders_partner_id_fkey,
    drop constraint orders_vehicle_id_fkey,
    drop constraint orders_status_known,
    drop constraint orders_fulfillment_known,
    drop constraint orders_bid_range,
    drop constraint orders_purchase_price_range,
    drop constraint orders_auction_fee_range,
    drop constraint orders_failure_reason_known,
    drop constraint orders_cancellation_reason_known,
    drop constraint orders_external_user_length,
    drop constraint orders_auction_whole,
    drop constraint orders_failure_reason_iff_failed,
    drop constraint orders_cancellation_reason_iff_cancelled,
    drop constraint orders_amounts_once_secured,
    drop constraint orders_price_within_bid,
    drop constraint orders_fulfillment_once_shipping,
    drop constraint orders_standing_frozen,
    drop constraint orders_etd_whole,
    drop constraint orders_eta_whole,
    drop constraint orders_etd_offset_range,
    drop constraint orders_eta_offset_range,
    alter column status type order_status,
    alter column fulfillment_detail type fulfillment_detail,
    alter column max_bid_usd type usd,
    alter column final_highest_bid_usd type usd,
    alter column purchase_price_usd type usd,
    alter column auction_fee_usd type usd_fee,
    alter column failure_reason type failure_reason,
    alter column cancellation_reason type cancellation_reason,
    alter column external_user_id type external_user_id,
    alter column etd_offset_minutes type utc_offset_minutes,
    alter column eta_offset_minutes type utc_offset_minutes,
    -- Who placed the order, under which request, and when in real time: its audit entry.
    add column placed_by text not null default 'unknown',
    add column request_id text,
    add column placed_at timestamptz,
    -- Whether a rival ever bid on the vehicle while this order did. As long as none has, the order's own bid is the
    -- highest, and nobody has to search for it.
    add column is_contested boolean not null default false,
    -- The order as JSON, as its partner reads it but for the standing of its bid: written once when the order changes,
    -- and copied when it is read.
    add column rendered text;
alter table orders alter column placed_by drop default;

-- The rules that span columns. An order begins in one shape, so all but the first can only break when it changes.
alter table orders add constraint orders_auction_whole check (
    num_nulls(max_bid_usd, auction_date, order_cutoff_at) in (0, 3));
create function orders_check_shape() returns trigger language plpgsql as $$
declare
    broken text := case
        when (new.failure_reason is not null) <> (new.status = 'failed')
            then 'orders_failure_reason_iff_failed'
        when (new.cancellation_reason is not null) <> (new.status = 'cancelled')
            then 'orders_cancellation_reason_iff_cancelled'
        when num_nulls(new.purchase_price_usd, new.auction_fee_usd)
            <> case when new.status in ('secured', 'shipping', 'delivered') then 0 else 2 end
            then 'orders_amounts_once_secured'
        when new.purchase_price_usd > new.max_bid_usd
            then 'orders_price_within_bid'
        when (new.fulfillment_detail is not null) <> (new.status in ('shipping', 'delivered'))
            then 'orders_fulfillment_once_shipping'
        when num_nulls(new.final_is_highest, new.final_highest_bid_usd)
            <> case when new.max_bid_usd is null or new.status in ('proceed', 'acquiring') then 2 else 0 end
            then 'orders_standing_frozen'
        when num_nulls(new.etd, new.etd_offset_minutes) = 1
            then 'orders_etd_whole'
        when num_nulls(new.eta, new.eta_offset_minutes) = 1
            then 'orders_eta_whole'
        when new.rendered = old.rendered
            and (new.status, new.updated_at) is distinct from (old.status, old.updated_at)
            then 'orders_rendered_with_each_change'
        end;
begin
    if broken is not null then
        raise check_violation using
            message = format('order %s violates %s', new.id, broken), table = 'orders', constraint = broken;
    end if;
    return new;
end $$;

-- The 26 characters by which the API names a row.
create function ulid(id uuid) returns text language sql immutable strict as $$
    select string_agg(
        substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ',
               1 + substring(bits from 1 + 5 * place for 5)::bit(5)::integer, 1), '' order by place)
    from (select '00'::bit(2) || ('x' || replace(id::text, '-', ''))::bit(128) as bits) as value,
         generate_series(0, 25) as place
$$;

-- Orders that are there already are rendered here, as the server renders them.
create function pg_temp.stamp(instant timestamptz, minutes integer) returns text language sql as $$
    select coalesce('"' || to_char(here, 'YYYY-MM-DD"T"HH24:MI:SS')
        || case when extract(milliseconds from here)::integer % 1000 = 0 then '' else to_char(here, '.MS') end
        || case when minutes < 0 then '-' else '+' end
        || lpad((abs(minutes) / 60)::text, 2, '0') || ':' || lpad((abs(minutes) % 60)::text, 2, '0') || '"', 'null')
    from (select instant at time zone 'UTC' + make_interval(mins => minutes) as here) as place
$$;
create function pg_temp.json(value text) returns text language sql as $$
    select coalesce(to_json(value)::text, 'null')
$$;
update orders set rendered = concat(
    '{"id":', pg_temp.json(ulid(id)), ',"vehicle_id":', pg_temp.json(vehicle_id), ',"vin":', pg_temp.json(vin),
    ',"license_plate":', pg_temp.json(license_plate), ',"status":', pg_temp.json(status),
    ',"fulfillment_detail":', pg_temp.json(fulfillment_detail),
    ',"max_bid_amount_usd":', coalesce(max_bid_usd::text, 'null'),
    ',"amounts":{"purchase_price_usd":', coalesce(purchase_price_usd::text, 'null'),
    ',"auction_fee_usd":', coalesce(auction_fee_usd::text, 'null'),
    '},"auction_date":', pg_temp.stamp(auction_date, 540), ',"order_cutoff_at":', pg_temp.stamp(order_cutoff_at, 540),
    ',"failure_reason":', pg_temp.json(failure_reason), ',"cancellation_reason":', pg_temp.json(cancellation_reason),
    ',"shipment":', case
        when num_nonnulls(vessel_name, bl_number, port_of_loading, port_of_discharge, etd, eta) = 0 then 'null'
        else concat('{"vessel_name":', pg_temp.json(vessel_name), ',"bl_number":', pg_temp.json(bl_number),
                    ',"port_of_loading":', pg_temp.json(port_of_loading),
                    ',"port_of_discharge":', pg_temp.json(port_of_discharge),
                    ',"etd":', pg_temp.stamp(etd, etd_offset_minutes),
                    ',"eta":', pg_temp.stamp(eta, eta_offset_minutes), '}') end,
    ',"allowed_actions":', case status when 'proceed' then '["cancel"]'
                                       when 'shipping' then '["in_transit","customs","delivered"]' else '[]' end,
    ',"created_at":', pg_temp.stamp(created_at, 540), ',"updated_at":', pg_temp.stamp(updated_at, 540), '}');
alter table orders alter column rendered set not null;
create trigger orders_shape before update on orders
    for each row execute function orders_check_shape();

-- What orders point at stays. The vehicle is locked while an order is placed; deleting one looks for its orders.
create function vehicles_refuse_deletion() returns trigger language plpgsql as $$
begin
    if exists (select from public.orders where vehicle_id = old.id) then
        raise foreign_key_violation using message = format('vehicle %s has orders', old.id), table = 'vehicles';
    end if;
    return old;
end $$;
create trigger vehicles_keep_ordered before delete on vehicles
    for each row execute function vehicles_refuse_deletion();
create function partners_refuse_deletion() returns trigger language plpgsql as $$
begin
    if exists (select from public.orders where partner_id = old.id)
        or exists (select from public.idempotency_keys where partner_id = old.id) then
        raise foreign_key_violation using message = format('partner %s has orders or keys', old.id), table = 'partners';
    end if;
    return old;
end $$;
create trigger partners_keep_ordering before delete on partners
    for each row execute function partners_refuse_deletion();
-- Orders are kept for ever.
create function refuse_deletion() returns trigger language plpgsql as $$
begin
    raise foreign_key_violation using message = format('rows of %s are never deleted', tg_table_name);
end $$;
create trigger orders_keep before delete on orders for each statement execute function refuse_deletion();

create unique index orders_one_open on orders (partner_id, vehicle_id)
    where status in ('proceed', 'acquiring', 'secured', 'shipping');
create unique index orders_one_winner on orders (vehicle_id)
    where status in ('secured', 'shipping', 'delivered');
create index orders_bidding on orders (vehicle_id, max_bid_usd desc, accepted_no)
    where status in ('proceed', 'acquiring');
create index orders_waiting on orders (partner_id, auction_date)
    where status = 'proceed' and max_bid_usd is not null;
create index orders_shipping on orders (shipping_since) where status = 'shipping';
create index orders_done_by_vin on orders (vin) where status in ('delivered', 'cancelled', 'failed');
create index orders_done_by_plate on orders (license_plate) where status in ('delivered', 'cancelled', 'failed');
-- Whether a vehicle has orders, and which of them are a partner's, the last one last.
drop index orders_by_vehicle;
create index orders_by_vehicle on orders (vehicle_id, partner_id, accepted_no);
-- What the audit log shows of orders.
create index orders_by_placing on orders (placed_at);

update orders set is_contested = true
where max_bid_usd is not null and status in ('proceed', 'acquiring')
  and exists (select from orders as rival
              where rival.vehicle_id = orders.vehicle_id and rival.id <> orders.id
                and rival.max_bid_usd is not null and rival.status in ('proceed', 'acquiring'));

-- Orders as they are read. While an order bids, its standing is computed: the highest bid leads, of two equal ones the
-- one accepted first, and an order that was never contested leads alone. Once it has left the bidding, its standing is
-- what it was then. The search for the leader stands in functions: as a part of the statement it would be prepared for
-- every execution, though few orders need it.
create function leading_order(the_vehicle text) returns uuid
    language plpgsql stable as $$
begin
    return (select id from public.orders
            where vehicle_id = the_vehicle and status in ('proceed', 'acquiring') and max_bid_usd is not null
            order by max_bid_usd desc, accepted_no
            limit 1);
end $$;
create function highest_bid_usd(the_vehicle text) returns integer
    language plpgsql stable as $$
begin
    return (select max(max_bid_usd) from public.orders
            where vehicle_id = the_vehicle and status in ('proceed', 'acquiring'));
end $$;
create view orders_with_standing as
select
    orders.*,
    coalesce(final_is_highest, case
        when is_contested then leading_order(vehicle_id) = id
        when max_bid_usd is not null then true end) as is_highest_bid,
    coalesce(final_highest_bid_usd, case
        when is_contested then highest_bid_usd(vehicle_id)
        else max_bid_usd end) as current_max_bid_usd
from orders;

-- The steps of orders. The first one of each is the order itself, so only those after it have rows.
alter table order_history rename to order_steps;
alter table order_steps rename constraint order_history_pkey to order_steps_pkey;
delete from order_steps where n = 1;
alter table order_steps
    drop constraint order_history_order_id_fkey,
    drop constraint order_history_counts_from_one,
    drop constraint order_history_by_known,
    drop constraint order_history_offset_range,
    alter column status type order_status,
    alter column fulfillment_detail type fulfillment_detail,
    alter column by type step_owner,
    alter column occurred_offset_minutes type utc_offset_minutes,
    add constraint order_steps_count_from_two check (n >= 2),
    -- Who made the step, under which request, and when in real time: its audit entry.
    add column made_by text not null default 'unknown',
    add column request_id text,
    add column made_at timestamptz;
alter table order_steps alter column made_by drop default;
alter table order_steps rename constraint order_history_notes_length to order_steps_notes_length;
create index order_steps_by_making on order_steps (made_at);

create view order_history as
select id as order_id, 1 as n, 'proceed' as status, null as fulfillment_detail, 'partner' as by,
       created_at as occurred_at, 540::smallint as occurred_offset_minutes, created_at as recorded_at, null as notes
from orders
union all
select order_id, n, status::text, fulfillment_detail::text, by::text,
       occurred_at, occurred_offset_minutes::smallint, recorded_at, notes
from order_steps;

-- The server has written the vehicle as JSON; nobody needs to read it again to store it.
alter table order_vehicles drop constraint order_vehicles_order_id_fkey, alter column vehicle type text;

alter table idempotency_keys
    drop constraint idempotency_keys_partner_id_fkey,
    drop constraint idempotency_keys_order_id_fkey,
    drop constraint idempotency_keys_fingerprint_length,
    alter column fingerprint type request_fingerprint;

-- The audit log: entries of their own, and those which orders and their steps are.
alter table audit_log rename to audit_entries;
alter table audit_entries rename constraint audit_log_pkey to audit_entries_pkey;
alter table audit_entries rename constraint audit_log_partner_id_fkey to audit_entries_partner_id_fkey;
alter index audit_log_by_time rename to audit_entries_by_time;
alter index audit_log_by_partner rename to audit_entries_by_partner;

update orders set placed_by = actor, request_id = entry.request_id, placed_at = entry.recorded_at
from audit_entries as entry
where action = 'order.placed' and subject = ulid(orders.id);
update orders set placed_at = created_at where placed_at is null;
alter table orders alter column placed_at set not null;
with told as (
    select subject, actor, request_id, entry.recorded_at,
           1 + row_number() over (partition by subject order by entry.id, place) as n
    from audit_entries as entry, jsonb_array_elements(details -> 'steps') with ordinality as step (status, place)
    where action in ('order.cancelled', 'order.reported', 'order.advanced')
)
update order_steps set made_by = told.actor, request_id = told.request_id, made_at = told.recorded_at
from told
where told.subject = ulid(order_steps.order_id) and told.n = order_steps.n;
update order_steps set made_at = recorded_at where made_at is null;
alter table order_steps alter column made_at set not null;
delete from audit_entries where action in ('order.placed', 'order.cancelled', 'order.reported', 'order.advanced');

create view audit_log as
select id, recorded_at, actor, partner_id, action, subject, request_id, details
from audit_entries
union all
select accepted_no, placed_at, placed_by, partner_id, 'order.placed', ulid(id), request_id, '{}'
from orders
union all
select step.n, made_at, made_by, partner_id,
       case when by <> 'partner' then 'order.advanced'
            when step.status = 'cancelled' then 'order.cancelled'
            else 'order.reported' end,
       ulid(order_id), step.request_id,
       jsonb_build_object('from', coalesce((select status from order_steps as former
                                            where former.order_id = step.order_id and former.n = step.n - 1), 'proceed'),
                          'to', step.status, 'fulfillment_detail', step.fulfillment_detail)
from order_steps as step join orders on orders.id = order_id;

-- Replicas cache how far a partner's time runs ahead along with its keys.
drop trigger partners_announce on partners;
create trigger partners_announce
    after update of read_limit, read_window_seconds, read_burst, write_limit, write_window_seconds, write_burst,
        clock_offset_seconds
    on partners for each statement execute function announce_gate_change();

-- Places an order in one statement, where nothing is in doubt: binds the key, verifies under the vehicle's lock what
-- the order was decided on, and records it with its reply. Each of its statements sees what was committed before it
-- began, so what is looked up after a lock was waited for is fresh.
--
-- `outcome` is 'placed'; 'key_used', with what the key did; or 'undecided': a premise does not hold, nothing is
-- recorded, the key is free, and the order is to be decided anew under the vehicle's lock.
create function place_order(
    the_partner uuid, the_key uuid, the_fingerprint bytea, the_order uuid, the_vehicle text, the_row_version text,
    decided_at timestamptz, the_vin text, the_license_plate text, the_bid integer, the_auction_date timestamptz,
    the_cutoff timestamptz, the_external_user text, the_actor text, the_request_id text, the_rendered text,
    the_snapshot text, the_location text, the_reply bytea,
    out outcome text, out first_fingerprint bytea, out first_vehicle text, out first_location text,
    out first_reply bytea
) language plpgsql as $$
declare
    the_time timestamptz;
    real_time timestamptz;
    highest_rival integer;
    is_free boolean;
begin
    insert into idempotency_keys (partner_id, key, fingerprint, order_id, reply_location, reply_body)
    values (the_partner, the_key, the_fingerprint, the_order, the_location, the_reply)
    on conflict on constraint idempotency_keys_pkey do nothing;
    if not found then
        select 'key_used', fingerprint, vehicle_id, reply_location, reply_body
        into outcome, first_fingerprint, first_vehicle, first_location, first_reply
        from idempotency_keys left join orders on orders.id = order_id
        where idempotency_keys.partner_id = the_partner and key = the_key;
        return;
    end if;

    perform from vehicles where id = the_vehicle and xmin::text = the_row_version for no key update;
    if found then
        -- Orders of the vehicle that are open, and whether it is bought; of a partner's own none may be open.
        select lmn_now(clock_offset_seconds), lmn_now(0), rivals.highest, rivals.are_others
        into the_time, real_time, highest_rival, is_free
        from partners, (
            select max(max_bid_usd) as highest,
                   coalesce(bool_and(partner_id <> the_partner and status in ('proceed', 'acquiring')), true) as are_others
            from orders
            where vehicle_id = the_vehicle
              and status in ('proceed', 'acquiring', 'secured', 'shipping', 'delivered')) as rivals
        where partners.id = the_partner;
        if is_free and decided_at between the_time - interval '1 second' and the_time
            and (the_cutoff is null or the_time < the_cutoff)
            and (highest_rival is null or highest_rival < the_bid) then
            outcome := 'placed';
        end if;
    end if;
    if outcome is null then
        delete from idempotency_keys where partner_id = the_partner and key = the_key;
        outcome := 'undecided';
        return;
    end if;

    if highest_rival is not null then
        update orders set is_contested = true
        where vehicle_id = the_vehicle and status in ('proceed', 'acquiring') and max_bid_usd is not null
          and not is_contested;
    end if;
    with placed as (
        insert into orders (id, partner_id, vehicle_id, vin, license_plate, status, max_bid_usd, auction_date,
                            order_cutoff_at, external_user_id, placed_by, request_id, placed_at, rendered,
                            is_contested, created_at, updated_at)
        values (the_order, the_partner, the_vehicle, the_vin, the_license_plate, 'proceed', the_bid, the_auction_date,
                the_cutoff, the_external_user, the_actor, the_request_id, real_time, the_rendered,
                highest_rival is not null, decided_at, decided_at))
    insert into order_vehicles (order_id, vehicle) values (the_order, the_snapshot);
end $$;
