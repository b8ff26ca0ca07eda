//! A logged request as JSON.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::{
        ObjectBuilder, Schema, Type,
        schema::{AdditionalProperties, SchemaType},
    },
};

use super::model::LogEntry;
use crate::{
    errors::catalogue::Code,
    values::{id::RequestId, timestamp::Timestamp},
};

/// A request that was refused, that failed or that wrote.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LoggedRequest)]
pub(crate) struct RequestView {
    pub request_id: RequestId,
    /// The time of the response, in real time also in the sandbox.
    pub at: Timestamp,
    /// The method and the template of the path, such as `POST /v1/orders/{id}/status`.
    pub operation: String,
    /// The status of the response.
    pub status: u16,
    /// The error code; null if the request succeeded.
    #[schema(value_type = Option<Code>)]
    pub code: Option<String>,
    #[schema(schema_with = details_schema)]
    pub details: Option<Box<RawValue>>,
    /// Time from the complete head of the request to the response, in milliseconds.
    pub duration_ms: i32,
    /// The address that the request came from.
    #[schema(value_type = String)]
    pub client_address: IpAddr,
    /// The public prefix of the API key: its first 12 characters.
    pub api_key_prefix: Option<String>,
}

/// Returns the schema of the details, which depend on the code.
fn details_schema() -> ObjectBuilder {
    let description = "The details of the error, as in its response, but without the values that were sent, and at most 2 \
                       KiB: a longer list of issues is truncated. Null if there are none.";
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some(description))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
}

impl From<LogEntry> for RequestView {
    fn from(LogEntry { request, .. }: LogEntry) -> Self {
        // The log's details are JSON, because their column is.
        let details = request
            .details
            .and_then(|it| RawValue::from_string(it).ok());
        Self {
            request_id: request.id,
            at: Timestamp::kst(request.at),
            operation: request.operation,
            status: request.status,
            code: request.code,
            details,
            duration_ms: request.duration_ms,
            client_address: request.client,
            api_key_prefix: request.key_prefix,
        }
    }
}
