//! `/v1/sandbox/clock`: the partner's own clock. Advancing it runs the jobs that become due.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::store::{self, Clock};
use crate::{
    audit::{self, store::Change},
    config::Settings,
    database::{self, Database, Tx},
    errors::{ApiError, Fault, IssueKind},
    http::{
        body::{Answer, Input},
        extract::Query,
        fields::{Fields, FromBody},
    },
    idempotency::{Reply, Write},
    orders::jobs,
    request::Caller,
    telemetry::metrics::Metrics,
    values::timestamp::Timestamp,
    webhooks,
};

/// Maximum seconds by which one call can advance the clock: a year.
const ADVANCE_SECONDS_MAX: i64 = 31_536_000;
/// Maximum seconds that a clock can be ahead of real time: a century.
const OFFSET_SECONDS_MAX: i64 = 3_153_600_000;

/// Your sandbox clock.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clock)]
pub(crate) struct ClockView {
    /// The current time of your clock.
    now: Timestamp,
    /// Seconds by which your clock is ahead of real time.
    offset_seconds: i64,
    /// Number of jobs that are due and not done yet. They are done within a minute.
    pending_jobs: i64,
}

impl ClockView {
    fn new(clock: Clock, pending_jobs: i64) -> Self {
        Self {
            now: Timestamp::kst(clock.now),
            offset_seconds: clock.offset_seconds,
            pending_jobs,
        }
    }
}

/// The time to advance the clock by. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct AdvanceClock {
    /// Seconds, at most a year.
    #[schema(minimum = 1, maximum = 31_536_000)]
    advance_seconds: i64,
}

impl FromBody for AdvanceClock {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["advance_seconds"]);
        let advance_seconds =
            fields.optional_integer_in("advance_seconds", 1..=ADVANCE_SECONDS_MAX)?;
        Some(Self { advance_seconds })
    }
}

/// Returns your clock.
///
/// `now` is the time that decides about your orders, such as whether a cutoff has passed.
#[utoipa::path(get, path = "/v1/sandbox/clock", tag = "sandbox", responses(
    (status = 200, description = "The clock.", body = ClockView),
))]
pub(crate) async fn get_clock(
    State(database): State<Database>,
    caller: Caller,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let clock = store::find_clock(&mut connection, caller.partner()).await?;
    let pending = jobs::count_due(&mut connection, caller.partner()).await?;
    Ok(Answer(ClockView::new(clock, pending)).into_response())
}

/// Advances your clock, and runs the jobs that become due.
///
/// The response is sent when they are done. With very many orders, it is sent when the first thousands are done:
/// `pending_jobs` counts the rest, which is done within a minute.
/// Your clock applies to cutoffs, scheduled jobs, reports and stored times. Keys, rate limits and signatures use real
/// time.
#[utoipa::path(post, path = "/v1/sandbox/clock", tag = "sandbox", request_body = AdvanceClock, responses(
    (status = 200, description = "The clock.", body = ClockView),
))]
pub(crate) async fn advance_clock(
    State(settings): State<Arc<Settings>>,
    State(metrics): State<Metrics>,
    caller: Caller,
    mut write: Write,
    Input((), body): Input<(), AdvanceClock>,
) -> Result<Response, ApiError> {
    let partner = caller.partner();
    let jobs_max = settings.jobs.clock_batch;
    let tx = write.tx();
    let seconds = body.advance_seconds;
    if !store::advance_clock(tx, partner, seconds, OFFSET_SECONDS_MAX).await? {
        return Err(too_far(seconds));
    }
    record(tx, &caller, "clock.advanced", json!({"seconds": seconds})).await?;
    // One batch for all orders: vehicles are locked in the order of their ids, and event feeds last.
    jobs::fail_passed_of(tx, Some(partner), jobs_max).await?;
    let reminded = jobs::remind_overdue_of(tx, Some(partner), jobs_max).await?;
    // Deliveries are due by the partner's clock, so some may be due now.
    webhooks::store::wake(write.tx()).await?;
    let response = answer(write, &caller).await?;
    jobs::report_overdue(&metrics, &reminded);
    Ok(response)
}

/// Resets your clock to real time. Stored times stay unchanged.
///
/// Pending webhook deliveries are moved back with the clock, so that they do not wait longer than before.
#[utoipa::path(delete, path = "/v1/sandbox/clock", tag = "sandbox", responses(
    (status = 200, description = "The clock.", body = ClockView),
))]
pub(crate) async fn reset_clock(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let ahead = store::reset_clock(tx, caller.partner()).await?;
    webhooks::store::lock_feed(tx, caller.partner()).await?;
    webhooks::store::turn_back(tx, caller.partner(), ahead).await?;
    record(tx, &caller, "clock.reset", json!({})).await?;
    answer(write, &caller).await
}

/// Records an audit row.
async fn record(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    details: Value,
) -> Result<(), sqlx::Error> {
    let now = database::clock::real_now(tx).await?;
    let change = Change {
        actor: &caller.actor(),
        partner: Some(caller.partner()),
        action,
        subject: "clock",
        details,
    };
    audit::store::record(tx, &change, now).await
}

async fn answer(mut write: Write, caller: &Caller) -> Result<Response, ApiError> {
    let tx = write.tx();
    let clock = store::find_clock(tx, caller.partner()).await?;
    let pending = jobs::count_due(tx, caller.partner()).await?;
    let reply = Reply::json(StatusCode::OK, &ClockView::new(clock, pending))?;
    write.commit(reply).await
}

fn too_far(seconds: i64) -> ApiError {
    let message = "the clock can be at most a century ahead; reset it with DELETE";
    let fault = Fault::new(IssueKind::OutOfRange, message);
    fault
        .at("advance_seconds", Some(&seconds.to_string()))
        .into()
}
