//! `/v1/sandbox/clock`: the partner's own time, and what it brings about.

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
    app::App,
    audit::{self, store::Change},
    clock,
    database::Tx,
    error::{ApiError, Fault, IssueKind},
    http::{
        extract::{Answer, Input, Query},
        fields::{Fields, FromBody},
    },
    idempotency::{Reply, Write},
    orders::sweeps,
    request::Caller,
    stamp::Stamp,
    webhooks,
};

/// Seconds that one call can move the clock: a year.
const ADVANCE_SECONDS_MAX: i64 = 31_536_000;
/// Seconds that a clock can be ahead: a century.
const OFFSET_SECONDS_MAX: i64 = 3_153_600_000;

/// Your own time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clock)]
pub(super) struct ClockView {
    /// What time it is for you.
    now: Stamp,
    /// How far that is ahead of real time.
    offset_seconds: i64,
    /// What is due and not done yet: it follows within a minute.
    pending_jobs: i64,
}

impl ClockView {
    fn new(clock: Clock, pending_jobs: i64) -> Self {
        Self {
            now: Stamp::kst(clock.now),
            offset_seconds: clock.offset_seconds,
            pending_jobs,
        }
    }
}

/// How far to move on. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(super) struct AdvanceClock {
    /// A year at most.
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

/// Shows your clock.
#[utoipa::path(get, path = "/v1/sandbox/clock", tag = "sandbox", responses(
    (status = 200, description = "The clock.", body = ClockView),
))]
pub(super) async fn get_clock(
    State(app): State<App>,
    caller: Caller,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let mut connection = app.acquire().await?;
    let clock = store::find_clock(&mut connection, caller.partner()).await?;
    let pending = sweeps::count_due(&mut connection, caller.partner()).await?;
    Ok(Answer(ClockView::new(clock, pending)).into_response())
}

/// Moves your clock on, and does what falls due.
///
/// It answers when that is done; of very many orders, when the first thousands are: `pending_jobs` counts the rest, which
/// follows within a minute.
/// It is your time for cutoffs, sweeps, reports and the times that are stored (contract, section 9); keys, rate limits
/// and signatures stay in real time.
#[utoipa::path(post, path = "/v1/sandbox/clock", tag = "sandbox", request_body = AdvanceClock, responses(
    (status = 200, description = "The clock.", body = ClockView),
))]
pub(super) async fn advance_clock(
    State(app): State<App>,
    caller: Caller,
    mut write: Write,
    Input((), body): Input<(), AdvanceClock>,
) -> Result<Response, ApiError> {
    let partner = caller.partner();
    let jobs_max = app.settings().sweeps.clock_batch;
    let tx = write.tx();
    let seconds = body.advance_seconds;
    if !store::advance_clock(tx, partner, seconds, OFFSET_SECONDS_MAX).await? {
        return Err(too_far(seconds));
    }
    record(tx, &caller, "clock.advanced", json!({"seconds": seconds})).await?;
    // All at once: cars are locked in one order, and feeds last.
    sweeps::fail_passed_of(tx, Some(partner), jobs_max).await?;
    let reminded = sweeps::remind_overdue_of(tx, Some(partner), jobs_max).await?;
    // Deliveries are due in the partner's time, so moving that on has brought them nearer.
    webhooks::store::wake(write.tx()).await?;
    let response = answer(write, &caller).await?;
    sweeps::tell(&app, &reminded);
    Ok(response)
}

/// Takes your clock back to real time; times that are stored stay.
///
/// Deliveries that wait do so no longer than they would have.
#[utoipa::path(delete, path = "/v1/sandbox/clock", tag = "sandbox", responses(
    (status = 200, description = "The clock.", body = ClockView),
))]
pub(super) async fn reset_clock(
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

/// Leaves a row in the audit log.
async fn record(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    details: Value,
) -> Result<(), sqlx::Error> {
    let now = clock::store::real_now(tx).await?;
    let change = Change {
        author: &caller.author(),
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
    let pending = sweeps::count_due(tx, caller.partner()).await?;
    let reply = Reply::json(StatusCode::OK, &ClockView::new(clock, pending))?;
    write.commit(reply).await
}

fn too_far(seconds: i64) -> ApiError {
    let message = "the clock can be a century ahead at most; take it back with DELETE";
    let fault = Fault::new(IssueKind::OutOfRange, message);
    fault
        .at("advance_seconds", Some(&seconds.to_string()))
        .into()
}
