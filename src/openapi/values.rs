//! Schemas of ids, money and times.
//!
//! They are here and not beside their types, because the types are pure and this is about JSON. Enumerations declared
//! with `string_enum!` describe themselves (`word.rs`).

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

use crate::values::{
    id::{EventId, OrderId, VehicleId},
    money::Usd,
    timestamp::Timestamp,
};

/// Implements `ToSchema` for a type.
macro_rules! value {
    ($name:ident, $object:expr) => {
        impl ToSchema for $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $object.into()
            }
        }
    };
}

value!(
    OrderId,
    text("The id of an order: a ULID of 26 characters.")
        .pattern(Some("^[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
        .examples(["01KNVD7K402JY0W9P0X3A6T4QB"])
);
value!(
    EventId,
    text("The id of an event: `evt_` and a ULID of 26 characters.")
        .pattern(Some("^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
        .examples(["evt_01KNVD7K402JY0W9P0X3A6T4QB"])
);
value!(
    VehicleId,
    text("The id of a vehicle: an opaque text given by its source.")
        .pattern(Some("^[A-Za-z0-9_-]{1,64}$"))
        .examples(["glovis_20260420_1064_2345"])
);
value!(
    Usd,
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
        .description(Some("Whole US dollars."))
        .minimum(Some(1))
        .maximum(Some(Usd::MAX.dollars()))
        .examples([15_500])
);
value!(
    Timestamp,
    text(
        "An RFC 3339 time with the offset of its place, never `Z`, and with three fractional digits or none. \
         Korean times, and all times set by LMN, end in `+09:00`."
    )
    .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
    .pattern(Some(
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?[+-]\d{2}:\d{2}$"
    ))
    .examples(["2026-04-20T13:00:00+09:00"])
);

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
}
