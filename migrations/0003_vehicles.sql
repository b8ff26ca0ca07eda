-- The catalogue: what the sources list, one row a car.
--
-- A withdrawn car keeps its row, because orders point at it; every list and look-up leaves it out by withdrawn_at.
-- Ids are ordered as bytes (collate "C"), so that a page walk means the same in every database.

create table vehicles (
    id text collate "C" primary key
        constraint vehicles_id_form check (id ~ '^[A-Za-z0-9_-]{1,64}$' and id <> 'facets'),
    source text not null
        constraint vehicles_source_known check (source in ('dealer', 'glovis', 'sk', 'aj', 'lotte', 'kcar')),
    make text not null,
    model text not null,
    trim text,
    year smallint not null,
    mileage_km integer not null
        constraint vehicles_mileage_range check (mileage_km >= 0),
    fuel text
        constraint vehicles_fuel_known check (fuel in ('gasoline', 'diesel', 'hybrid', 'electric', 'lpg', 'hydrogen',
            'gasoline_hybrid', 'diesel_hybrid', 'plug_in_hybrid')),
    transmission text
        constraint vehicles_transmission_known check (transmission in ('auto', 'manual', 'cvt', 'dct')),
    drivetrain text,
    engine_cc integer,
    color text,
    accident_grade text
        constraint vehicles_accident_grade_known check (accident_grade in ('A', 'B', 'C', 'D', 'F')),
    exterior_grade text
        constraint vehicles_exterior_grade_known check (exterior_grade in ('A', 'B', 'C', 'D', 'F')),
    options text[] not null default '{}',
    lot_number text,
    auction_date timestamptz,
    auction_count smallint,
    auction_result text
        constraint vehicles_auction_result_known check (auction_result in
            ('upcoming', 'no_bid', 'sold', 'negotiation_sold', 'negotiation_requested')),
    -- When the result became known; an order after it is as late as one after the cutoff.
    auction_result_at timestamptz,
    listing_usd integer not null
        constraint vehicles_listing_range check (listing_usd between 1 and 10000000),
    thumbnail_url text,
    vin text,
    license_plate text,
    first_registered_on date,
    location text,
    photos text[] not null default '{}',
    inspection jsonb,
    description text,
    listed_at timestamptz not null,
    updated_at timestamptz not null,
    withdrawn_at timestamptz,

    -- What the list compares and sorts by. Cars without an auction stand behind all others.
    make_key text not null generated always as (lower(make)) stored,
    model_key text not null generated always as (lower(model)) stored,
    auction_order timestamptz not null generated always as (coalesce(auction_date, timestamptz 'infinity')) stored,

    -- A dealer's car has no auction at all; an auction's car has a date and a result.
    constraint vehicles_auction_whole check (case when source = 'dealer'
        then num_nonnulls(accident_grade, exterior_grade, auction_date, auction_count, lot_number, auction_result) = 0
        else num_nulls(auction_date, auction_result) = 0 end),
    constraint vehicles_result_at_whole check ((auction_result_at is null) = (coalesce(auction_result, 'upcoming') = 'upcoming'))
);

-- One index a sort order, each also read backwards; and the way in through a make and model.
create index vehicles_by_auction on vehicles (auction_order, id) where withdrawn_at is null;
create index vehicles_by_price on vehicles (listing_usd, id) where withdrawn_at is null;
create index vehicles_by_year on vehicles (year, id) where withdrawn_at is null;
create index vehicles_by_mileage on vehicles (mileage_km, id) where withdrawn_at is null;
create index vehicles_by_make on vehicles (make_key, model_key, auction_order, id) where withdrawn_at is null;

-- Every price a car was listed at, the present one included.
create table vehicle_prices (
    vehicle_id text collate "C" not null references vehicles (id),
    recorded_at timestamptz not null,
    listing_usd integer not null
        constraint vehicle_prices_range check (listing_usd between 1 and 10000000),
    constraint vehicle_prices_pkey primary key (vehicle_id, recorded_at)
);
