-- The catalogue at its full size: what a list compares, finds and shows is made once, when a car is written.

-- Names and words as they are compared, made by the server: `vehicles/terms.rs` knows what a lower-case letter is in
-- every script, a database only in its own locale. A car's terms are its words and values, each with a letter for its
-- kind (`m:kia`, `w:k5`); one index finds any combination of them.
alter table vehicles alter column make_key drop expression, alter column model_key drop expression;
alter table vehicles add column terms tsvector not null default '';
alter table vehicles alter column terms drop default;
-- Read for many rows of a walk, so it stays in the row; and counted well, because names are many.
alter table vehicles alter column terms set storage main, alter column terms set statistics 1000;

-- The car as a list shows it, as JSON; null until somebody has rendered it.
alter table vehicles add column summary text;
alter table vehicles alter column summary set storage main;
create index vehicles_unrendered on vehicles (id) where summary is null;

-- A price stands with its car, and since when; only what it was before has rows of its own.
alter table vehicles add column priced_at timestamptz;
update vehicles set priced_at = (select max(recorded_at) from vehicle_prices where vehicle_id = vehicles.id);
delete from vehicle_prices using vehicles where vehicle_id = vehicles.id and recorded_at = priced_at;
update vehicles set priced_at = listed_at where priced_at is null;
alter table vehicles alter column priced_at set not null;

-- Whoever took a car off the catalogue; a file of its source brings back only what its source took off.
alter table vehicles add column withdrawn_by text
    constraint vehicles_withdrawn_by_known check (withdrawn_by in ('source', 'operator'));
update vehicles set withdrawn_by = 'operator' where withdrawn_at is not null;

-- What a walk begins with: a model; the auctions of a house, which are held on its own days.
alter index vehicles_by_make rename to vehicles_by_model;
create index vehicles_by_model_price on vehicles (make_key, model_key, listing_usd, id) where withdrawn_at is null;
create index vehicles_by_house on vehicles (source, auction_result, auction_order, id)
    where withdrawn_at is null and auction_result is not null;
create index vehicles_by_terms on vehicles using gin (terms) where withdrawn_at is null;

-- What its source said of a car last, as a digest of the line: an import leaves a car alone of which the same is said
-- again, whatever LMN has changed since. Whoever changes how lines are read makes the next migration set it to null.
alter table vehicles add column listing_digest bytea
    constraint vehicles_listing_digest_length check (octet_length(listing_digest) = 16);

-- Whoever changes a rendered car and does not render it anew leaves it unrendered, never wrong.
create function forget_summary() returns trigger language plpgsql as $$
begin
    new.summary := null;
    return new;
end $$;
create trigger vehicles_forget_summary before update of source, make, model, trim, year, mileage_km, fuel, transmission,
    drivetrain, engine_cc, color, accident_grade, exterior_grade, options, lot_number, auction_date, auction_count,
    auction_result, listing_usd, thumbnail_url, listed_at, updated_at on vehicles for each row
    when (new.summary is not distinct from old.summary)
    execute function forget_summary();

-- The catalogue's version: one more with every commit that changes cars. Replicas keep answers as long as it stands.
create table catalogue (
    only_row boolean primary key default true
        constraint catalogue_only_row check (only_row),
    version bigint not null
);
insert into catalogue (version) values (1);

-- A transaction's first change leaves a row here; its deferred trigger raises the version as the last thing before the
-- commit. So no writer can forget it, versions are in the order of commits, and the lock on the one row is held as
-- shortly as can be.
create table catalogue_changes (
    transaction_id xid8 primary key
);
create function note_catalogue_change() returns trigger language plpgsql as $$
begin
    insert into catalogue_changes values (pg_current_xact_id()) on conflict do nothing;
    return null;
end $$;
create function raise_catalogue_version() returns trigger language plpgsql as $$
begin
    delete from catalogue_changes where transaction_id = new.transaction_id;
    update catalogue set version = version + 1;
    perform pg_notify('lmn_catalogue', '');
    return null;
end $$;
create constraint trigger catalogue_changed after insert on catalogue_changes
    deferrable initially deferred for each row execute function raise_catalogue_version();
create trigger vehicles_inserted after insert on vehicles
    for each statement execute function note_catalogue_change();
create trigger vehicles_deleted after delete on vehicles
    for each statement execute function note_catalogue_change();
-- Every column that a partner reads; rendering a car changes nothing.
create trigger vehicles_updated after update of source, make, model, trim, year, mileage_km, fuel, transmission,
    drivetrain, engine_cc, color, accident_grade, exterior_grade, options, lot_number, auction_date, auction_count,
    auction_result, listing_usd, thumbnail_url, vin, license_plate, first_registered_on, location, photos, inspection,
    description, listed_at, updated_at, withdrawn_at on vehicles
    for each statement execute function note_catalogue_change();

-- A car is rendered apart from its change: it looks the same then, but may be found by something else.
create trigger vehicles_found_otherwise after update of make_key, model_key, terms on vehicles for each row
    when (old.terms <> new.terms or old.make_key <> new.make_key or old.model_key <> new.model_key)
    execute function note_catalogue_change();

-- The values that there are, by source, counted at most a few minutes ago.
create table facets (
    source text primary key
        constraint facets_source_known check (source in ('dealer', 'glovis', 'sk', 'aj', 'lotte', 'kcar')),
    -- {"models": {make: […]}, "fuels": […], "transmissions": […], "colors": […]}
    found jsonb not null,
    version bigint not null,                    -- of the catalogue
    as_of timestamptz not null
);
