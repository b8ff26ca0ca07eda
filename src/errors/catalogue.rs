//! The error catalogue: one row for every error code of the API.
//!
//! The error type, the three representations, `GET /v1/errors`, `docs/errors.md` and the OpenAPI documents are all built
//! from these rows, so they cannot differ. What partners read lists only [`Code::ALL`]; the operator API adds
//! [`Code::OPERATOR`].

use utoipa::{
    PartialSchema,
    openapi::{RefOr, Schema},
};

use super::{
    entry::{Entry, LendFoundryCode, RetryClass},
    issue::Issues,
    payloads::{
        DuplicateOrder, IdempotencyKeyReused, InvalidApiKey, InvalidCursor, InvalidOperatorToken,
        InvalidStatusTransition, IpNotAllowed, MethodNotAllowed, MissingMaxBid, PastOrderCutoff,
        RoleNotAllowed, ServiceUnavailable, VehicleUnavailable,
    },
    rate_limited::RateLimited,
};

/// Expands to a value that a row may lack, or to the default.
macro_rules! or_default {
    (; $default:expr) => {
        $default
    };
    ($value:expr; $default:expr) => {
        $value
    };
}

/// Generates [`Code`] with its rows from the table below, so that each row is written once.
///
/// `@LIST = documentation;` begins the rows of a list of codes. The head of a row is: variant, code, statuses with the code in LendFoundry's representation, retry class. `meaning`
/// is also the variant's documentation. `details` is the type of `error.details`.
macro_rules! catalogue {
    ($(@$list:ident = $contents:literal; $($variant:ident = $code:literal
        [$($status:literal $lendfoundry:ident),+] $retry:ident {
            title: $title:literal,
            meaning: $meaning:literal,
            when: $when:literal,
            what_to_do: $what_to_do:literal,
            $(details: $details:ident,)?
        }
    )+)+) => {
        /// An error code of the API. Clients branch on it and on nothing else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $meaning] $variant,)+)+
        }

        impl Code {
            $(
                #[doc = $contents]
                pub const $list: [Code; [$(Code::$variant),+].len()] = [$(Code::$variant),+];
            )+

            /// Returns the code's row.
            pub const fn entry(self) -> &'static Entry {
                match self {
                    $($(Code::$variant => &Entry {
                        code: $code,
                        statuses: &[$($status),+],
                        lendfoundry: &[$(LendFoundryCode::$lendfoundry),+],
                        title: $title,
                        meaning: $meaning,
                        when: $when,
                        what_to_do: $what_to_do,
                        retry: RetryClass::$retry,
                        details: or_default!($($details::MEMBERS)?; &[]),
                    },)+)+
                }
            }

            /// Returns the schema of `error.details`; `None` if the code has none.
            pub(crate) fn details_schema(self) -> Option<RefOr<Schema>> {
                match self {
                    $($(Code::$variant => or_default!($(Some($details::schema()))?; None),)+)+
                }
            }
        }
    };
}

catalogue! {
    @ALL = "All codes of the partners' API, in the order of the catalogue.";
    ValidationError = "validation_error" [400 InvalidRequest] FixRequest {
        title: "Invalid request",
        meaning: "Some part of the request does not have the form that the API requires.",
        when: "A field is missing or has a wrong type, value or format, a limit is out of range, \
            more than 100 `ids` are sent, or a parameter lacks the one it needs, such as `model` \
            without `make` or `from` without `to`. A vehicle search that includes dealer vehicles \
            needs `make` or `ids`. A webhook's URL that does not lead to public addresses only has \
            the reason `address_not_public`.",
        what_to_do: "Correct everything listed in `details.issues`, where `path` names the place; \
            do not send the same request again.",
        details: Issues,
    }
    MissingIdempotencyKey = "missing_idempotency_key" [400 InvalidRequest] FixRequest {
        title: "Idempotency key missing",
        meaning: "The request needs an `Idempotency-Key` header and has none.",
        when: "A POST or DELETE request comes without the header, or the header is empty.",
        what_to_do: "Make a UUID v4 for the request, send it as `Idempotency-Key`, and send the \
            same one with every repetition of this request.",
    }
    InvalidCursor = "invalid_cursor" [400 InvalidRequest] RestartPagination {
        title: "Invalid cursor",
        meaning: "The `cursor` does not continue the list that the request asks for.",
        when: "The cursor is altered or incomplete, or it comes from another list or from a \
            request with a different `sort` or different filters. Only `limit` may change during a \
            walk; cursors do not expire.",
        what_to_do: "Drop the cursor and start again from the first page with the sort and filters \
            you want.",
        details: InvalidCursor,
    }
    MissingMaxBid = "missing_max_bid" [400 InvalidRequest] FixRequest {
        title: "Maximum bid required",
        meaning: "An order for an auction vehicle needs a bid of at least its listing price.",
        when: "`max_bid_amount_usd` is null, omitted, zero, negative or below \
            `pricing.listing_usd` in an order for an auction vehicle.",
        what_to_do: "Send `max_bid_amount_usd` as a whole number of US dollars, not below \
            `details.listing_usd`; leave it out only for buy-now vehicles.",
        details: MissingMaxBid,
    }
    MissingApiKey = "missing_api_key" [401 Unauthorized] FixCredentials {
        title: "API key missing",
        meaning: "The request has no `x-api-key` header.",
        when: "The header is absent; only the error catalogue, the OpenAPI document and the status \
            of the service can be read without a key.",
        what_to_do: "Send your API key in the `x-api-key` header with every request.",
    }
    InvalidApiKey = "invalid_api_key" [401 Unauthorized] FixCredentials {
        title: "API key not accepted",
        meaning: "The API key in the request is not valid here.",
        when: "The key is unknown, malformed, revoked or expired, belongs to the other \
            environment, or the request carries two different keys.",
        what_to_do: "Read `details.reason`, check that the key and the base URL are both sandbox \
            or both production, and ask LMN for a new key if yours was revoked, expired or \
            exposed.",
        details: InvalidApiKey,
    }
    IpNotAllowed = "ip_not_allowed" [403 Forbidden] FixCredentials {
        title: "IP address not allowed",
        meaning: "The request came from an address that is not on your allowlist.",
        when: "The outgoing address of your servers is not on the allowlist of this environment; \
            in production an empty allowlist admits no address.",
        what_to_do: "Write to integrations@lmnauto.com to have the address in `details.client_ip` \
            added, and check that your servers always send from the same addresses.",
        details: IpNotAllowed,
    }
    InvalidStatusTransition = "invalid_status_transition"
        [403 Forbidden, 409 WorkflowStateInvalid] Refetch {
        title: "Status change not allowed",
        meaning: "The requested change of the order is not permitted.",
        when: "Status 403: only LMN makes this change, for example to `export_processing`. Status \
            409: the order is not in the right state, for example `delivered` before `shipping` or \
            DELETE after `proceed`, or a sandbox step acts on a vehicle on which you are not the \
            only one with an open order.",
        what_to_do: "Fetch the order with `GET /v1/orders/{id}` and choose one of its \
            `allowed_actions`.",
        details: InvalidStatusTransition,
    }
    VehicleNotFound = "vehicle_not_found" [404 ResourceNotFound] Never {
        title: "Vehicle not found",
        meaning: "There is no vehicle with this id.",
        when: "The id is unknown, malformed or from the other environment, or the vehicle you read \
            has been withdrawn.",
        what_to_do: "Refresh your copy of the listing, and check that you use the right base URL.",
    }
    OrderNotFound = "order_not_found" [404 ResourceNotFound] Never {
        title: "Order not found",
        meaning: "You have no order with this id.",
        when: "The id is unknown, malformed, from the other environment or another partner's; the \
            answer is the same in each case.",
        what_to_do: "Check that the order is yours and that you use the right base URL.",
    }
    EventNotFound = "event_not_found" [404 ResourceNotFound] Never {
        title: "Event not found",
        meaning: "You have no event with this id.",
        when: "The id is unknown, malformed, from the other environment or another partner's; the \
            answer is the same in each case.",
        what_to_do: "Take the id from `GET /v1/events`, and check that you use the right base URL.",
    }
    WebhookEndpointNotFound = "webhook_endpoint_not_found" [404 ResourceNotFound] Never {
        title: "Webhook endpoint not found",
        meaning: "You have no webhook endpoint.",
        when: "The endpoint is read, deleted, tested or given a new secret before it was created \
            or after it was deleted.",
        what_to_do: "Create the endpoint with `PUT /v1/webhook_endpoint`.",
    }
    OrderVehicleSnapshotNotFound = "order_vehicle_snapshot_not_found" [404 ResourceNotFound] Never {
        title: "Vehicle snapshot not found",
        meaning: "You have no order with this id for which the ordered vehicle was recorded.",
        when: "`GET /v1/orders/{id}/vehicle` finds no record of the vehicle as it was ordered.",
        what_to_do: "Check the order's id, and read the vehicle with `GET /v1/vehicles/{id}`.",
    }
    NotFound = "not_found" [404 ResourceNotFound] Never {
        title: "Route not found",
        meaning: "The API has nothing at this path.",
        when: "The path is misspelled, is a sandbox route called in production, or names an error \
            code that is not in the catalogue.",
        what_to_do: "Compare the path and the base URL with the API reference.",
    }
    MethodNotAllowed = "method_not_allowed" [405 InvalidRequest] Never {
        title: "Method not allowed",
        meaning: "The path exists, but not for this HTTP method.",
        when: "A request uses a method that the path does not offer, such as PATCH on an order.",
        what_to_do: "Use one of the methods in the `Allow` header.",
        details: MethodNotAllowed,
    }
    PastOrderCutoff = "past_order_cutoff" [409 BusinessRuleViolation] Never {
        title: "Order window closed",
        meaning: "The time for ordering this auction vehicle is over.",
        when: "The order arrives at or after `order_cutoff_at`, which is midnight KST at the start \
            of the day before the auction, or the auction has already ended.",
        what_to_do: "Tell the dealer that the order window for this vehicle is closed.",
        details: PastOrderCutoff,
    }
    DuplicateOrder = "duplicate_order" [409 DuplicateResource] Never {
        title: "Order already exists",
        meaning: "You already have an open order for this vehicle.",
        when: "A vehicle is ordered again before your first order for it is delivered, cancelled \
            or failed.",
        what_to_do: "Take the user to the order in `details.existing_order_id`, and do not retry \
            automatically.",
        details: DuplicateOrder,
    }
    VehicleUnavailable = "vehicle_unavailable" [410 ResourceNotFound] Never {
        title: "Vehicle no longer available",
        meaning: "The vehicle can no longer be ordered, and no order was placed.",
        when: "The listing was withdrawn, or a buy-now vehicle is gone or sold.",
        what_to_do: "Show what you were about to order as cancelled, and tell the dealer that the \
            vehicle is gone.",
        details: VehicleUnavailable,
    }
    PayloadTooLarge = "payload_too_large" [413 InvalidRequest] FixRequest {
        title: "Request body too large",
        meaning: "The request body is larger than the API accepts.",
        when: "The body is larger than 64 KiB (65,536 bytes).",
        what_to_do: "Make the body smaller and send it again; no request of this API needs a body \
            of that size.",
    }
    UnsupportedMediaType = "unsupported_media_type" [415 InvalidRequest] FixRequest {
        title: "Unsupported media type",
        meaning: "The request body is not declared as JSON.",
        when: "The `Content-Type` header of a POST or PUT is absent or is not JSON, or the body is \
            compressed.",
        what_to_do: "Send the body as plain JSON with the header `Content-Type: application/json`.",
    }
    RequestTimeout = "request_timeout" [408 ServiceUnavailable] Backoff {
        title: "Request timed out",
        meaning: "The request body did not arrive in time.",
        when: "The whole body was not received within 10 seconds; nothing was done.",
        what_to_do: "Retry with growing pauses and the same Idempotency-Key, and check your \
            network connection if it happens often.",
    }
    IdempotencyKeyReused = "idempotency_key_reused" [422 ValidationError] NewKey {
        title: "Idempotency key reused",
        meaning: "The same Idempotency-Key was already used for a different request.",
        when: "A key that belongs to one successful request comes with another method, path, query \
            or body, such as an order for another vehicle. Nothing was done; what the key did first \
            stays as it is.",
        what_to_do: "Compare with `details.original_vehicle_id` and `details.mismatch`, and \
            generate a fresh key for each new request; repeat a key only to retry the identical \
            request.",
        details: IdempotencyKeyReused,
    }
    RateLimited = "rate_limited" [429 RateLimitExceeded] AfterDelay {
        title: "Too many requests",
        meaning: "Requests are arriving faster than the rate limit allows.",
        when: "The requests of one key exceed the read or write limit and its burst, or one \
            address tries many unknown keys.",
        what_to_do: "Nothing was done. Wait for the seconds in `Retry-After`, then retry with the \
            same Idempotency-Key; double the wait each time the answer is 429 again.",
        details: RateLimited,
    }
    InternalError = "internal_error" [500 InternalServerError] Backoff {
        title: "Internal error",
        meaning: "Something failed on LMN's side, and the request is not at fault.",
        when: "The service met a failure that it did not expect; this is rare, and LMN's engineers \
            on call are alerted automatically.",
        what_to_do: "Retry up to three times with growing pauses and the same Idempotency-Key; if \
            the error persists, send its `request_id` to LMN support.",
    }
    ServiceUnavailable = "service_unavailable" [503 ServiceUnavailable] AfterDelay {
        title: "Service temporarily unavailable",
        meaning: "The service cannot complete the request at the moment.",
        when: "The service is overloaded or partly out of reach, or the request waited too long, \
            for example for an earlier one with the same Idempotency-Key.",
        what_to_do: "Wait for the seconds in `Retry-After`, then retry with the same \
            Idempotency-Key, so that nothing is done twice.",
        details: ServiceUnavailable,
    }
    @OPERATOR = "The codes that only the operator API has.";
    MissingOperatorToken = "missing_operator_token" [401 Unauthorized] FixCredentials {
        title: "Operator token missing",
        meaning: "The request has no operator token.",
        when: "The `Authorization` header is absent or has another scheme than `Bearer`.",
        what_to_do: "Send your token as `Authorization: Bearer lmn_op_…` with every request.",
    }
    InvalidOperatorToken = "invalid_operator_token" [401 Unauthorized] FixCredentials {
        title: "Operator token not accepted",
        meaning: "The operator token in the request is not valid.",
        when: "The token is unknown, malformed, revoked or expired, or the request carries two \
            different ones.",
        what_to_do: "Read `details.reason`, and ask an administrator for a new token if yours was \
            revoked, expired or exposed.",
        details: InvalidOperatorToken,
    }
    RoleNotAllowed = "role_not_allowed" [403 Forbidden] FixCredentials {
        title: "Role not allowed",
        meaning: "Your role may not do this.",
        when: "The operation needs one of the roles in `details.needed`, and your token has \
            another one.",
        what_to_do: "Ask somebody with one of these roles, or an administrator for a token with \
            that role.",
        details: RoleNotAllowed,
    }
    PartnerNotFound = "partner_not_found" [404 ResourceNotFound] Never {
        title: "Partner not found",
        meaning: "There is no partner with this id.",
        when: "The id is unknown or malformed, or belongs to the other environment.",
        what_to_do: "Take the id from `GET /operator/v1/partners`.",
    }
}

impl Code {
    /// Returns the value of `error.code`.
    pub const fn as_str(self) -> &'static str {
        self.entry().code
    }

    /// Returns the code of either list with exactly this name.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let mut codes = Self::ALL.into_iter().chain(Self::OPERATOR);
        codes.find(|code| code.as_str() == text)
    }

    /// Returns the code of the partners' API with exactly this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::values::string_enum::StringEnum;

    /// The published codes, written out: code, statuses, retry class.
    const EXPECTED: [(&str, &[u16], &str); 25] = [
        ("validation_error", &[400], "fix_request"),
        ("missing_idempotency_key", &[400], "fix_request"),
        ("invalid_cursor", &[400], "restart_pagination"),
        ("missing_max_bid", &[400], "fix_request"),
        ("missing_api_key", &[401], "fix_credentials"),
        ("invalid_api_key", &[401], "fix_credentials"),
        ("ip_not_allowed", &[403], "fix_credentials"),
        ("invalid_status_transition", &[403, 409], "refetch"),
        ("vehicle_not_found", &[404], "never"),
        ("order_not_found", &[404], "never"),
        ("event_not_found", &[404], "never"),
        ("webhook_endpoint_not_found", &[404], "never"),
        ("order_vehicle_snapshot_not_found", &[404], "never"),
        ("not_found", &[404], "never"),
        ("method_not_allowed", &[405], "never"),
        ("past_order_cutoff", &[409], "never"),
        ("duplicate_order", &[409], "never"),
        ("vehicle_unavailable", &[410], "never"),
        ("payload_too_large", &[413], "fix_request"),
        ("unsupported_media_type", &[415], "fix_request"),
        ("request_timeout", &[408], "backoff"),
        ("idempotency_key_reused", &[422], "new_key"),
        ("rate_limited", &[429], "after_delay"),
        ("internal_error", &[500], "backoff"),
        ("service_unavailable", &[503], "after_delay"),
    ];

    const EXPECTED_OPERATOR: [(&str, &[u16], &str); 4] = [
        ("missing_operator_token", &[401], "fix_credentials"),
        ("invalid_operator_token", &[401], "fix_credentials"),
        ("role_not_allowed", &[403], "fix_credentials"),
        ("partner_not_found", &[404], "never"),
    ];

    /// Returns the codes of both lists.
    fn every_code() -> impl Iterator<Item = Code> {
        Code::ALL.into_iter().chain(Code::OPERATOR)
    }

    fn is_snake_case(text: &str) -> bool {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        text.split('_').all(is_word)
    }

    #[test]
    fn rows_have_the_published_codes_statuses_and_retry_classes() {
        let row = |code: Code| {
            let entry = code.entry();
            (entry.code, entry.statuses, entry.retry.as_str())
        };
        assert_eq!(Code::ALL.map(row), EXPECTED);
        assert_eq!(Code::OPERATOR.map(row), EXPECTED_OPERATOR);
    }

    #[test]
    fn codes_are_unique_and_in_catalogue_order() {
        for (position, code) in every_code().enumerate() {
            assert_eq!(code as usize, position, "{code:?} is out of order");
            assert!(is_snake_case(code.as_str()), "{code:?}");
        }
        let names: HashSet<_> = every_code().map(Code::as_str).collect();
        assert_eq!(names.len(), every_code().count());
    }

    #[test]
    fn code_name_parses_back_to_the_code() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
        for text in [
            "",
            "VALIDATION_ERROR",
            " not_found",
            "found",
            "role_not_allowed",
        ] {
            assert_eq!(Code::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn row_texts_are_complete_sentences() {
        for entry in every_code().map(Code::entry) {
            let code = entry.code;
            for text in [entry.meaning, entry.when, entry.what_to_do] {
                assert!(text.len() > 1 && text.ends_with('.'), "{code}: {text}");
                assert!(!text.contains("  "), "{code}: {text}");
            }
            let words = entry.title.split(' ').count();
            assert!((2..=5).contains(&words), "{code}");
            assert!(!entry.title.ends_with('.'), "{code}");
            assert!(!entry.statuses.is_empty(), "{code}");
            assert!(entry.statuses.iter().all(|s| (400..=599).contains(s)));
            assert_eq!(entry.statuses.len(), entry.lendfoundry.len(), "{code}");
            for detail in entry.details {
                assert!(is_snake_case(detail.name), "{code}");
                assert!(detail.meaning.ends_with('.'), "{code}: {}", detail.name);
            }
        }
    }

    #[test]
    fn retry_is_advised_only_for_after_delay_and_backoff() {
        for code in Code::ALL {
            let retry = code.entry().retry;
            let expected = ["after_delay", "backoff"].contains(&retry.as_str());
            assert_eq!(retry.should_retry(), expected, "{code:?}");
        }
    }
}
