//! Parameters of the OpenAPI document, built from the same types and bounds that parse them.

use std::ops::RangeInclusive;

use utoipa::{
    PartialSchema,
    openapi::{
        ArrayBuilder, KnownFormat, ObjectBuilder, RefOr, Required, Schema, SchemaFormat, Type,
        path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    },
};

use super::text::{NAME_CHARACTERS_MAX, Name};

/// The 36-character form of a UUID v4, in any case.
const UUID_V4: &str =
    "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-4[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$";

/// A time in a request: RFC 3339 with an offset, not `Z`.
pub(crate) const TIME: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?[+-]\d{2}:\d{2}$";

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        text()
            .min_length(Some(1))
            .max_length(Some(NAME_CHARACTERS_MAX))
            .into()
    }
}

/// Describes a query parameter of one value.
pub(crate) fn query<T: PartialSchema>(name: &str, description: &str) -> Parameter {
    parameter(ParameterIn::Query, name, description, T::schema()).build()
}

/// Describes a query parameter with the given string or number schema.
pub(crate) fn query_text(name: &str, description: &str, object: ObjectBuilder) -> Parameter {
    parameter(ParameterIn::Query, name, description, object.into()).build()
}

/// Describes a query parameter that is a list of at most `max` values.
///
/// It is `explode`d, as some generators repeat the parameter whatever the document says.
pub(crate) fn csv<T: PartialSchema>(name: &str, max: usize, description: &str) -> Parameter {
    let description = &format!(
        "{description} Repeat the parameter for each value, or separate values by commas; a value that contains a comma \
         stands in double quotes (`\"White, pearl\"`)."
    );
    let array = ArrayBuilder::new()
        .items(T::schema())
        .min_items(Some(1))
        .max_items(Some(max));
    parameter(ParameterIn::Query, name, description, array.into())
        .style(Some(ParameterStyle::Form))
        .explode(Some(true))
        .build()
}

/// Describes a query parameter that is a whole number within bounds.
pub(crate) fn integer(
    name: &str,
    bounds: &RangeInclusive<i64>,
    default: i64,
    description: &str,
) -> Parameter {
    query_text(
        name,
        description,
        whole(bounds).default(Some(default.into())),
    )
}

/// Describes a query parameter that is one end of a range, a whole number within bounds.
pub(crate) fn bound(name: &str, bounds: &RangeInclusive<i64>, description: &str) -> Parameter {
    query_text(name, description, whole(bounds))
}

fn whole(bounds: &RangeInclusive<i64>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(*bounds.start()))
        .maximum(Some(*bounds.end()))
}

/// Describes a query parameter that is a date.
pub(crate) fn day(name: &str, description: &str) -> Parameter {
    let date = SchemaFormat::KnownFormat(KnownFormat::Date);
    query_text(name, description, text().format(Some(date)))
}

/// Describes `sort`; the first name is the default.
pub(crate) fn sort<S>(sorts: &[(&'static str, S)], description: &str) -> Parameter {
    let names: Vec<_> = sorts.iter().map(|(name, _)| *name).collect();
    let object = text()
        .default(names.first().map(|name| (*name).into()))
        .enum_values(Some(names));
    query_text("sort", description, object)
}

/// Describes a query parameter that is a time with an offset.
///
/// It has no `format: date-time`, as clients write the times of their languages with `Z`.
pub(crate) fn time(name: &str, description: &str) -> Parameter {
    let description = format!(
        "{description} RFC 3339 with an offset, such as `2026-04-20T13:00:00+09:00`; `Z` is refused. \
         Encode `+` as `%2B`."
    );
    query_text(name, &description, text().pattern(Some(TIME)))
}

/// Describes a path parameter.
pub(crate) fn path<T: PartialSchema>(name: &str, description: &str) -> Parameter {
    parameter(ParameterIn::Path, name, description, T::schema())
        .required(Required::True)
        .build()
}

/// Describes a header.
pub(crate) fn header(name: &str, description: &str, object: ObjectBuilder) -> ParameterBuilder {
    parameter(ParameterIn::Header, name, description, object.into())
}

/// Describes a UUID v4. It has no `format: uuid`, for which generators make values that the header does not accept.
pub(crate) fn uuid_v4() -> ObjectBuilder {
    text().pattern(Some(UUID_V4))
}

/// Describes a string.
pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn parameter(
    at: ParameterIn,
    name: &str,
    description: &str,
    schema: RefOr<Schema>,
) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(at)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}
