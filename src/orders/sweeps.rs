//! Scheduled order jobs: failing orders whose auction passed without LMN acting, and reminding of overdue deliveries.
//!
//! A sweep is a single step. The background loop repeats it, the sandbox clock runs it for one partner, and tests call
//! it directly. Any number of replicas may sweep: row locks serialize them, and the second finds nothing left to do.

use chrono::TimeDelta;

use super::{
    model::Overdue,
    state::{FailureReason, OrderStatus, Owner},
    store,
    transition::{LockedOrder, Transition},
    transitions::{self, TransitionFailed},
};
use crate::{
    app::App,
    audit::model::Actor,
    clock,
    database::{Connection, Tx},
    telemetry::sweep::Sweep,
    values::{
        id::{PartnerId, RequestId},
        string_enum::StringEnum,
    },
};

/// Time after an auction until orders that LMN has not acted on fail.
const RESULT_GRACE: TimeDelta = TimeDelta::hours(24);
/// Time in `shipping` after which a delivery is overdue.
pub(crate) const OVERDUE: TimeDelta = TimeDelta::days(90);

/// Runs the sweeps until nothing is due, and again after every interval, until the replica stops.
pub async fn run(app: App) {
    let settings = &app.settings().sweeps;
    loop {
        if let Err(error) = sweep(&app).await {
            tracing::warn!(error = %error, "a sweep failed; it is retried after the interval");
        }
        tokio::select! {
            () = tokio::time::sleep(settings.interval) => {}
            () = app.stopping() => return,
        }
    }
}

/// Runs both sweeps until nothing is due. A failure of one does not stop the other.
async fn sweep(app: &App) -> Result<(), SweepError> {
    let passed = app.note(Sweep::Auctions, fail_all_passed(app)).await;
    let overdue = app.note(Sweep::Reminders, remind_all_overdue(app)).await;
    passed.and(overdue)
}

async fn fail_all_passed(app: &App) -> Result<(), SweepError> {
    while fail_passed(app).await? > 0 {}
    Ok(())
}

async fn remind_all_overdue(app: &App) -> Result<(), SweepError> {
    while !remind_overdue(app).await?.is_empty() {}
    Ok(())
}

/// The error of a failed sweep.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SweepError(#[from] TransitionFailed);

impl From<sqlx::Error> for SweepError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.into())
    }
}

/// Fails the orders that are still `proceed` 24 hours after their auction, of a bounded number of vehicles.
///
/// Returns the number of failed orders.
pub async fn fail_passed(app: &App) -> Result<usize, SweepError> {
    let mut tx = app.begin().await?;
    let failed = fail_passed_of(&mut tx, None, app.settings().sweeps.batch).await?;
    tx.commit().await?;
    app.metrics().count_failed_by_time(failed);
    Ok(failed)
}

/// Does the work of [`fail_passed`] within a transaction, for one partner or for all.
pub(crate) async fn fail_passed_of(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    vehicles_max: i64,
) -> Result<usize, TransitionFailed> {
    let vehicles = store::lock_passed(tx, partner, RESULT_GRACE, vehicles_max).await?;
    let ids = store::lock_open(tx, &vehicles).await?;
    let mut held = store::hold(tx, &ids).await?;
    held.retain(|it| has_passed(it) && partner.is_none_or(|partner| it.partner == partner));
    for held in &mut held {
        held.advance(
            &Transition::Fail(FailureReason::AuctionPassed),
            Owner::Automatic,
        )?;
    }
    transitions::record(tx, &automatic(), &held).await?;
    Ok(held.len())
}

fn has_passed(held: &LockedOrder) -> bool {
    let auction = held.order.bid.map(|bid| bid.auction_date.instant());
    let is_waiting = held.order.state.status == OrderStatus::Proceed;
    is_waiting && auction.is_some_and(|at| at + RESULT_GRACE <= held.now)
}

/// Counts what is due for the sweeps of a partner's orders.
pub(crate) async fn count_due(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<i64, sqlx::Error> {
    store::count_due(conn, partner, RESULT_GRACE, OVERDUE).await
}

/// Records a reminder of each overdue delivery, once a day, and reports it in the log and in a metric.
pub async fn remind_overdue(app: &App) -> Result<Vec<Overdue>, SweepError> {
    let mut tx = app.begin().await?;
    let reminded = remind_overdue_of(&mut tx, None, app.settings().sweeps.batch).await?;
    tx.commit().await?;
    tell(app, &reminded);
    Ok(reminded)
}

/// Records the reminders within a transaction, for one partner or for all. Call [`tell`] after the commit.
pub(crate) async fn remind_overdue_of(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    orders_max: i64,
) -> Result<Vec<Overdue>, sqlx::Error> {
    let now = clock::store::real_now(tx).await?;
    let overdue = store::list_overdue(tx, partner, OVERDUE, true, orders_max).await?;
    store::remind(tx, overdue, now).await
}

/// Reports recorded reminders in the log and in a metric.
pub(crate) fn tell(app: &App, reminded: &[Overdue]) {
    app.metrics().count_reminded(reminded.len());
    for it in reminded {
        tracing::warn!(
            order = %it.order,
            partner = %it.partner,
            contact = it.contact.as_deref(),
            days = it.days,
            "a delivery is overdue"
        );
    }
}

fn automatic() -> Actor {
    Actor {
        actor: Owner::Automatic.as_str().to_owned(),
        request_id: RequestId::random(),
    }
}
