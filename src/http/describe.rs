//! Parameters as the OpenAPI document tells them, made of the same types and bounds that read them.

use std::ops::RangeInclusive;

use utoipa::{
    PartialSchema,
    openapi::{
        ArrayBuilder, KnownFormat, ObjectBuilder, RefOr, Required, Schema, SchemaFormat, Type,
        path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    },
};

use super::extract::{NAME_CHARACTERS_MAX, Name};

/// The 36-character form of a UUID v4, in any case.
const UUID_V4: &str =
    "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-4[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$";

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        text()
            .min_length(Some(1))
            .max_length(Some(NAME_CHARACTERS_MAX))
            .into()
    }
}

/// Describes a query parameter of one value.
pub(crate) fn query<T: PartialSchema>(name: &str, what: &str) -> Parameter {
    parameter(ParameterIn::Query, name, what, T::schema()).build()
}

/// Describes a query parameter of one text.
pub(crate) fn query_text(name: &str, what: &str, object: ObjectBuilder) -> Parameter {
    parameter(ParameterIn::Query, name, what, object.into()).build()
}

/// Describes a query parameter that is a comma-separated list of at most `max` values.
pub(crate) fn csv<T: PartialSchema>(name: &str, max: usize, what: &str) -> Parameter {
    let array = ArrayBuilder::new()
        .items(T::schema())
        .min_items(Some(1))
        .max_items(Some(max));
    parameter(ParameterIn::Query, name, what, array.into())
        .style(Some(ParameterStyle::Form))
        .explode(Some(false))
        .build()
}

/// Describes a query parameter that is a whole number within bounds.
pub(crate) fn integer(
    name: &str,
    bounds: &RangeInclusive<i64>,
    default: i64,
    what: &str,
) -> Parameter {
    query_text(name, what, whole(bounds).default(Some(default.into())))
}

/// Describes a query parameter that is the end of a range, a whole number within bounds.
pub(crate) fn bound(name: &str, bounds: &RangeInclusive<i64>, what: &str) -> Parameter {
    query_text(name, what, whole(bounds))
}

fn whole(bounds: &RangeInclusive<i64>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(*bounds.start()))
        .maximum(Some(*bounds.end()))
}

/// Describes a query parameter that is a day.
pub(crate) fn day(name: &str, what: &str) -> Parameter {
    let date = SchemaFormat::KnownFormat(KnownFormat::Date);
    query_text(name, what, text().format(Some(date)))
}

/// Describes `sort`; the first name is the default.
pub(crate) fn sort<S>(sorts: &[(&'static str, S)], what: &str) -> Parameter {
    let names: Vec<_> = sorts.iter().map(|(name, _)| *name).collect();
    let object = text()
        .default(names.first().map(|name| (*name).into()))
        .enum_values(Some(names));
    query_text("sort", what, object)
}

/// Describes a query parameter that is a time.
pub(crate) fn time(name: &str, what: &str) -> Parameter {
    let what = format!(
        "{what} RFC 3339 with an offset, such as `2026-04-20T13:00:00+09:00`; `Z` is refused. Encode `+` as `%2B`."
    );
    let object = text()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .pattern(Some(r"[+-]\d{2}:\d{2}$"));
    query_text(name, &what, object)
}

/// Describes a parameter in the path.
pub(crate) fn path<T: PartialSchema>(name: &str, what: &str) -> Parameter {
    parameter(ParameterIn::Path, name, what, T::schema())
        .required(Required::True)
        .build()
}

/// Describes a header.
pub(crate) fn header(name: &str, what: &str, object: ObjectBuilder) -> ParameterBuilder {
    parameter(ParameterIn::Header, name, what, object.into())
}

/// Describes a UUID v4. It has no `format: uuid`: of that, generators make values that fit no header.
pub(crate) fn uuid_v4() -> ObjectBuilder {
    text().pattern(Some(UUID_V4))
}

/// Describes a text.
pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn parameter(at: ParameterIn, name: &str, what: &str, schema: RefOr<Schema>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(at)
        .required(Required::False)
        .description(Some(what))
        .schema(Some(schema))
}
