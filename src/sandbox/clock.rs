//! `/v1/sandbox/clock`: the partner's own time, and what it brings about.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::store::{self, Clock};
use crate::{
    app::App,
    error::{ApiError, Fault, IssueKind},
    gate::{
        caller::Caller,
        idempotency::{Reply, Write},
    },
    http::{
        extract::{Answer, Input, Query},
        fields::{Fields, FromBody},
    },
    orders::sweeps,
    stamp::Stamp,
};

/// Seconds that one call can move the clock: a year.
const ADVANCE_SECONDS_MAX: i64 = 31_536_000;
/// Seconds that a clock can be ahead: a century.
const OFFSET_SECONDS_MAX: i64 = 3_153_600_000;
/// Steps of the sweeps that one call waits for; the rest is done within the sweeps' interval.
const STEPS_MAX: usize = 10;

/// The clock, as it is answered.
#[derive(Debug, Serialize)]
pub(super) struct ClockView {
    now: Stamp,
    offset_seconds: i64,
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

/// What `POST /v1/sandbox/clock` takes.
#[derive(Debug)]
pub(super) struct AdvanceClock {
    advance_seconds: i64,
}

impl FromBody for AdvanceClock {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        if !fields.has("advance_seconds") {
            fields.missing("advance_seconds");
        }
        let advance_seconds =
            fields.optional_integer_in("advance_seconds", 1..=ADVANCE_SECONDS_MAX)?;
        Some(Self { advance_seconds })
    }
}

/// Shows the partner's clock.
pub(super) async fn get_clock(
    State(app): State<App>,
    caller: Caller,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let mut connection = app.db().acquire().await?;
    let clock = store::find_clock(&mut connection, caller.partner()).await?;
    let pending = sweeps::count_passed(&mut connection, caller.partner()).await?;
    Ok(Answer(ClockView::new(clock, pending)).into_response())
}

/// Moves the partner's clock on, and does what falls due.
pub(super) async fn advance_clock(
    State(app): State<App>,
    caller: Caller,
    mut write: Write,
    Input((), body): Input<(), AdvanceClock>,
) -> Result<Response, ApiError> {
    let partner = caller.partner();
    let batch = app.settings().sweeps.batch;
    let tx = write.tx();
    let seconds = body.advance_seconds;
    if !store::advance_clock(tx, partner, seconds, OFFSET_SECONDS_MAX).await? {
        return Err(too_far(seconds));
    }
    for _ in 0..STEPS_MAX {
        if sweeps::fail_passed_of(tx, Some(partner), batch).await? == 0 {
            break;
        }
    }
    sweeps::remind_overdue_of(tx, Some(partner), batch).await?;
    answer(write, &caller).await
}

/// Takes the partner's clock back to real time; times that are stored stay.
pub(super) async fn reset_clock(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
) -> Result<Response, ApiError> {
    store::reset_clock(write.tx(), caller.partner()).await?;
    answer(write, &caller).await
}

async fn answer(mut write: Write, caller: &Caller) -> Result<Response, ApiError> {
    let tx = write.tx();
    let clock = store::find_clock(tx, caller.partner()).await?;
    let pending = sweeps::count_passed(tx, caller.partner()).await?;
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
