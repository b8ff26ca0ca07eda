-- Every replica searches the catalogue in memory. The database holds the vehicles, each of them as JSON too, and a log of
-- what changed, by which replicas follow.

drop trigger vehicles_inserted on vehicles;
drop trigger vehicles_updated on vehicles;
drop trigger vehicles_deleted on vehicles;
drop trigger vehicles_found_otherwise on vehicles;
drop trigger vehicles_forget_summary on vehicles;
drop table catalogue_changes;
drop function note_catalogue_change(), raise_catalogue_version(), forget_summary();
drop table facets;

-- No statement searches any more: vehicles are read by their ids.
drop index vehicles_by_auction, vehicles_by_price, vehicles_by_year, vehicles_by_mileage, vehicles_by_model,
    vehicles_by_model_price, vehicles_by_house, vehicles_by_terms, vehicles_unrendered;
alter table vehicles drop column make_key, drop column model_key, drop column terms, drop column auction_order;

-- The vehicle as JSON: `summary` as lists show it, `detail` as it is shown alone. Null until it is rendered. A row is
-- one piece, as it is, up to a page: writing it compresses nothing, and reading it needs no second look-up.
alter table vehicles add column detail text;
alter table vehicles alter column detail set storage main;
alter table vehicles set (toast_tuple_target = 8160);
-- Nobody asks for vehicles by these, so nobody needs to know how their values are spread.
alter table vehicles
    alter column options set statistics 0, alter column photos set statistics 0,
    alter column inspection set statistics 0, alter column description set statistics 0,
    alter column summary set statistics 0, alter column detail set statistics 0,
    alter column thumbnail_url set statistics 0, alter column vin set statistics 0,
    alter column license_plate set statistics 0, alter column location set statistics 0,
    alter column listing_digest set statistics 0, alter column lot_number set statistics 0;
create index vehicles_unrendered on vehicles (id) where detail is null;

-- A change that does not render the vehicle leaves it unrendered, never wrong.
create function forget_rendered() returns trigger language plpgsql as $$
begin
    new.summary := null;
    new.detail := null;
    return new;
end $$;
create trigger vehicles_forget_rendered before update of source, make, model, trim, year, mileage_km, fuel, transmission,
    drivetrain, engine_cc, color, accident_grade, exterior_grade, options, lot_number, auction_date, auction_count,
    auction_result, listing_usd, thumbnail_url, vin, license_plate, first_registered_on, location, photos, inspection,
    description, priced_at, listed_at, updated_at on vehicles for each row
    when (new.detail is not distinct from old.detail)
    execute function forget_rendered();

-- The log: which vehicles each statement changed, and the version of the catalogue that its commit made.
create table catalogue_changes (
    id bigint generated always as identity primary key,
    transaction_id xid8 not null default pg_current_xact_id(),
    -- Null until the commit. Later versions have later times.
    version bigint,
    changed_at timestamptz,
    vehicle_ids text[] not null
);
create index catalogue_changes_by_version on catalogue_changes (version);
create index catalogue_changes_uncommitted on catalogue_changes (transaction_id) where version is null;

-- When the catalogue last changed.
alter table catalogue add column changed_at timestamptz not null default now();

-- Triggers write the log, so that no writer can forget it. Any update counts, because replicas know a vehicle's row by
-- its xmin.
create function log_vehicle_changes() returns trigger language plpgsql as $$
begin
    insert into catalogue_changes (vehicle_ids) select array_agg(id) from changed having count(*) > 0;
    return null;
end $$;
create trigger vehicles_inserted after insert on vehicles referencing new table as changed
    for each statement execute function log_vehicle_changes();
create trigger vehicles_updated after update on vehicles referencing new table as changed
    for each statement execute function log_vehicle_changes();
create trigger vehicles_deleted after delete on vehicles referencing old table as changed
    for each statement execute function log_vehicle_changes();

-- The version is raised as the last thing before the commit and its row stays locked until then: versions are in the
-- order of commits, and nobody waits for long. A version that a replica has seen is on disk.
create function raise_catalogue_version() returns trigger language plpgsql as $$
declare
    raised bigint;
begin
    -- Only the first change of a transaction finds any without a version.
    perform from catalogue_changes where transaction_id = pg_current_xact_id() and version is null;
    if found then
        update catalogue set version = version + 1, changed_at = clock_timestamp() returning version into raised;
        update catalogue_changes set version = raised, changed_at = clock_timestamp()
        where transaction_id = pg_current_xact_id() and version is null;
        perform set_config('synchronous_commit', 'on', true);
        perform pg_notify('lmn_catalogue', '');
    end if;
    return null;
end $$;
create constraint trigger catalogue_changed after insert on catalogue_changes
    deferrable initially deferred for each row execute function raise_catalogue_version();

-- Snapshots of ordered vehicles stand in their rows as they are: compressing them costs more than it saves.
alter table order_vehicles set (toast_tuple_target = 8160);

drop function place_order(uuid, uuid, bytea, uuid, text, text, timestamptz, text, text, integer, timestamptz, timestamptz,
    text, text, text, text, text, text, bytea);

-- Places an order in one statement, where nothing is in doubt: binds the key, verifies under the vehicle's lock what
-- the order was decided on, and records it with its reply. Each of its statements sees what was committed before it
-- began, so what is looked up after a lock was waited for is fresh. The vehicle's JSON is kept with the order.
--
-- `outcome` is 'placed'; 'key_used', with what the key did; or 'undecided': a premise does not hold, nothing is
-- recorded, the key is free, and the order is to be decided anew under the vehicle's lock.
create function place_order(
    the_partner uuid, the_key uuid, the_fingerprint bytea, the_order uuid, the_vehicle text, the_row_version text,
    decided_at timestamptz, the_vin text, the_license_plate text, the_bid integer, the_auction_date timestamptz,
    the_cutoff timestamptz, the_external_user text, the_actor text, the_request_id text, the_rendered text,
    the_location text, the_reply bytea,
    out outcome text, out first_fingerprint bytea, out first_vehicle text, out first_location text,
    out first_reply bytea
) language plpgsql as $$
declare
    the_snapshot text;
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

    select detail into the_snapshot from vehicles
    where id = the_vehicle and xmin::text = the_row_version and withdrawn_at is null for no key update;
    if the_snapshot is not null then
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
