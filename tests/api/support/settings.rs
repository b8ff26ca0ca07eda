//! Settings that tests change. Each is a pair of a name, as in the environment without the prefix `LMN_`, and a value.

/// The name and the value of a setting.
pub type Setting = (&'static str, &'static str);

/// Webhooks may be delivered to this machine.
pub const LOCAL_ENDPOINTS: Setting = ("WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8");
/// This machine, from which the tests call, is a trusted proxy.
pub const BEHIND_A_PROXY: Setting = ("GATE__TRUSTED_PROXIES", "127.0.0.0/8,::1");
/// Vehicles are read from the database for every response.
pub const NO_VEHICLE_CACHE: Setting = ("CATALOGUE__CACHE_MEBIBYTES", "0");
/// A server logs nothing.
pub const LOG_OFF: Setting = ("LOG__FILTER", "off");
/// A server also logs each request.
pub const LOG_INFO: Setting = ("LOG__FILTER", "info");
/// `GET /v1/vehicles` is deprecated.
pub const LIST_VEHICLES_DEPRECATED: [Setting; 3] = [
    (
        "DEPRECATIONS__LIST_VEHICLES__DEPRECATED_AT",
        "2027-01-01T00:00:00Z",
    ),
    (
        "DEPRECATIONS__LIST_VEHICLES__SUNSET_AT",
        "2028-01-01T09:00:00+09:00",
    ),
    (
        "DEPRECATIONS__LIST_VEHICLES__LINK",
        "https://lmn.example/docs/changelog",
    ),
];

/// Defines for each setting with a number a function that returns it.
macro_rules! numbers {
    ($($function:ident: $name:literal,)*) => {
        $(pub fn $function(value: u32) -> Setting {
            ($name, value.to_string().leak())
        })*
    };
}

numbers! {
    attempt_seconds: "WEBHOOKS__ATTEMPT_SECONDS",
    backlog_seconds: "WEBHOOKS__BACKLOG_SECONDS",
    lease_seconds: "WEBHOOKS__LEASE_SECONDS",
    poll_milliseconds: "WEBHOOKS__POLL_MILLISECONDS",
    sends_max: "WEBHOOKS__SENDS_MAX",

    acquire_seconds: "DATABASE__ACQUIRE_SECONDS",
    database_connections_max: "DATABASE__CONNECTIONS_MAX",
    lock_seconds: "DATABASE__LOCK_SECONDS",
    statement_seconds: "DATABASE__STATEMENT_SECONDS",

    body_seconds: "SERVER__BODY_SECONDS",
    connections_max: "SERVER__CONNECTIONS_MAX",
    deadline_seconds: "SERVER__DEADLINE_SECONDS",
    first_byte_seconds: "SERVER__FIRST_BYTE_SECONDS",
    header_seconds: "SERVER__HEADER_SECONDS",
    idle_seconds: "SERVER__IDLE_SECONDS",
    requests_max: "SERVER__REQUESTS_MAX",
    write_seconds: "SERVER__WRITE_SECONDS",

    key_use_seconds: "GATE__KEY_USE_SECONDS",
    partner_requests_max: "LIMITS__PARTNER_REQUESTS_MAX",
    partner_write_wait_seconds: "LIMITS__PARTNER_WRITE_WAIT_SECONDS",
    partner_writes_max: "LIMITS__PARTNER_WRITES_MAX",
    unknown_key_burst: "LIMITS__UNKNOWN_KEY__BURST",
    unknown_key_window_seconds: "LIMITS__UNKNOWN_KEY__WINDOW_SECONDS",

    request_log_batch_max: "REQUEST_LOG__BATCH_MAX",
    request_log_flush_milliseconds: "REQUEST_LOG__FLUSH_MILLISECONDS",
    request_log_queue_max: "REQUEST_LOG__QUEUE_MAX",
    request_log_refusals_burst: "REQUEST_LOG__REFUSALS__BURST",
    request_log_refusals_limit: "REQUEST_LOG__REFUSALS__LIMIT",
    request_log_refusals_window_seconds: "REQUEST_LOG__REFUSALS__WINDOW_SECONDS",

    shared_connect_milliseconds: "RATE_LIMIT__SHARED__CONNECT_MILLISECONDS",
    shared_retry_milliseconds: "RATE_LIMIT__SHARED__RETRY_MILLISECONDS",
    shared_timeout_milliseconds: "RATE_LIMIT__SHARED__TIMEOUT_MILLISECONDS",

    export_milliseconds: "TELEMETRY__EXPORT_MILLISECONDS",
    export_seconds: "TELEMETRY__EXPORT_SECONDS",
    sample_percent: "TELEMETRY__SAMPLE_PERCENT",
    span_queue_max: "TELEMETRY__QUEUE_MAX",
}

/// Returns timeouts of the database and of requests that are a few seconds each, and nest as the defaults do.
pub fn short_timeouts() -> [Setting; 4] {
    [
        acquire_seconds(1),
        lock_seconds(1),
        statement_seconds(2),
        deadline_seconds(3),
    ]
}

/// Returns the setting of the store that counts the rate limits of all replicas.
pub fn shared_store(url: &str) -> (&'static str, &str) {
    ("RATE_LIMIT__SHARED__URL", url)
}

/// Returns the setting of the collector to which spans are exported.
pub fn collector(url: &str) -> (&'static str, &str) {
    ("TELEMETRY__OTLP_ENDPOINT", url)
}
