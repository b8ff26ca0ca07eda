//! The schemas of members of `error.details` whose types do not say enough.

use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, Type, schema::SchemaType};

use crate::values::string_enum::StringEnum;

/// Describes an enumeration, without the meanings of its values.
pub(super) fn words<W: StringEnum>() -> ObjectBuilder {
    one_of(W::ALL.iter().map(|it| it.as_str()))
}

/// Describes the reason of `invalid_api_key`.
pub(super) fn key_reasons() -> ObjectBuilder {
    one_of(["unknown", "revoked", "expired", "wrong_environment"])
}

/// Describes the reason of `invalid_operator_token`.
pub(super) fn token_reasons() -> ObjectBuilder {
    one_of(["unknown", "revoked", "expired"])
}

/// Describes the role of an operator.
pub(super) fn role() -> ObjectBuilder {
    one_of(["viewer", "trader", "logistics", "admin"])
}

/// Describes the roles that an operation needs.
pub(super) fn roles() -> ArrayBuilder {
    ArrayBuilder::new().items(role()).min_items(Some(1))
}

/// Describes the name of a rate limit.
pub(super) fn policies() -> ObjectBuilder {
    one_of(["read", "write", "unknown_key"])
}

/// Describes the parts in which a request can differ from the first one with its Idempotency-Key.
pub(super) fn mismatches() -> ArrayBuilder {
    let parts = [
        "method",
        "path",
        "query",
        "vehicle_id",
        "max_bid_amount_usd",
        "body",
    ];
    ArrayBuilder::new().items(one_of(parts)).min_items(Some(1))
}

/// Describes the address of a client.
pub(super) fn client_ip() -> ObjectBuilder {
    text().description(Some("The address that the request came from."))
}

/// Describes the field that a validation error points at.
pub(super) fn first_field() -> ObjectBuilder {
    text().description(Some("The field to look at first, if there is one."))
}

/// Describes the reason of a validation error.
pub(super) fn address_reason() -> ObjectBuilder {
    let description = "Present if a URL does not lead to public addresses only.";
    one_of(["address_not_public"]).description(Some(description))
}

/// Describes a number that is at least 1.
pub(super) fn count() -> ObjectBuilder {
    integer().minimum(Some(1))
}

/// Describes a number that is always 0.
pub(super) fn zero() -> ObjectBuilder {
    integer().enum_values(Some([0]))
}

/// Describes a whole number that can be null.
pub(super) fn integer_or_null() -> ObjectBuilder {
    integer().schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
}

/// Describes the status of an order, or null.
pub(super) fn order_status() -> OneOfBuilder {
    or_null("OrderStatus")
}

/// Describes the fulfillment detail of an order, or null.
pub(super) fn fulfillment_detail() -> OneOfBuilder {
    or_null("FulfillmentDetail")
}

/// Describes the actions that an order allows.
pub(super) fn actions() -> ArrayBuilder {
    ArrayBuilder::new().items(Ref::from_schema_name("Action"))
}

fn or_null(name: &str) -> OneOfBuilder {
    OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .item(Ref::from_schema_name(name))
}

fn one_of(words: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    text().enum_values(Some(words))
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn integer() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer)
}
