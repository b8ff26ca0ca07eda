//! What time does to orders: auctions that passed without LMN acting, and deliveries that are long overdue.
//!
//! Each sweep is one step, which the loop repeats, the sandbox clock takes for one partner, and tests call. Any number
//! of replicas may sweep: they meet at the locks, and who comes second finds nothing left to do.

use chrono::TimeDelta;

use super::{
    advance::{Advance, Held},
    model::Overdue,
    progress::{self, ProgressError},
    state::{FailureReason, OrderStatus, Owner},
    store,
};
use crate::{
    app::App,
    audit::model::Author,
    clock,
    database::{Connection, Tx},
    id::{PartnerId, RequestId},
    telemetry::sweep::Sweep,
    word::Word,
};

/// How long after an auction its result may take, before orders that nobody acted on have failed.
const RESULT_GRACE: TimeDelta = TimeDelta::hours(24);
/// After how many days in shipping a delivery is overdue.
pub(crate) const OVERDUE: TimeDelta = TimeDelta::days(90);

/// Sweeps until nothing is due, and again after every interval, until the replica stops.
pub async fn run(app: App) {
    let settings = &app.settings().sweeps;
    loop {
        if let Err(error) = sweep(&app).await {
            tracing::warn!(error = %error, "a sweep was not finished; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(settings.interval) => {}
            () = app.stopping() => return,
        }
    }
}

/// Does all that is due; what fails in one sweep keeps the other from nothing.
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

/// Why a sweep was not finished.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SweepError(#[from] ProgressError);

impl From<sqlx::Error> for SweepError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.into())
    }
}

/// Fails orders whose auction passed a day ago and on which LMN has not acted, a bounded number of cars at a time.
pub async fn fail_passed(app: &App) -> Result<usize, SweepError> {
    let mut tx = app.begin().await?;
    let failed = fail_passed_of(&mut tx, None, app.settings().sweeps.batch).await?;
    tx.commit().await?;
    app.metrics().count_failed_by_time(failed);
    Ok(failed)
}

/// Does the same within a transaction, for one partner or for all.
pub(crate) async fn fail_passed_of(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    cars_max: i64,
) -> Result<usize, ProgressError> {
    let cars = store::lock_passed(tx, partner, RESULT_GRACE, cars_max).await?;
    let ids = store::lock_open(tx, &cars).await?;
    let mut held = store::hold(tx, &ids).await?;
    held.retain(|it| has_passed(it) && partner.is_none_or(|partner| it.partner == partner));
    for held in &mut held {
        held.advance(
            &Advance::Fail(FailureReason::AuctionPassed),
            Owner::Automatic,
        )?;
    }
    progress::record(tx, &automatic(), &held).await?;
    Ok(held.len())
}

fn has_passed(held: &Held) -> bool {
    let auction = held.order.bid.map(|bid| bid.auction_date.instant());
    let is_waiting = held.order.state.status == OrderStatus::Proceed;
    is_waiting && auction.is_some_and(|at| at + RESULT_GRACE <= held.now)
}

/// Counts what the sweeps have still to do for a partner.
pub(crate) async fn count_due(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<i64, sqlx::Error> {
    store::count_due(conn, partner, RESULT_GRACE, OVERDUE).await
}

/// Reminds of deliveries that are overdue, once a day each: on record, in the log and in a metric.
pub async fn remind_overdue(app: &App) -> Result<Vec<Overdue>, SweepError> {
    let mut tx = app.begin().await?;
    let reminded = remind_overdue_of(&mut tx, None, app.settings().sweeps.batch).await?;
    tx.commit().await?;
    tell(app, &reminded);
    Ok(reminded)
}

/// Records the reminders within a transaction, for one partner or for all; [`tell`] comes after the commit.
pub(crate) async fn remind_overdue_of(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    orders_max: i64,
) -> Result<Vec<Overdue>, sqlx::Error> {
    let now = clock::store::real_now(tx).await?;
    let overdue = store::list_overdue(tx, partner, OVERDUE, true, orders_max).await?;
    store::remind(tx, overdue, now).await
}

/// Tells of reminders that are on record.
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

fn automatic() -> Author {
    Author {
        actor: Owner::Automatic.as_str().to_owned(),
        request_id: RequestId::random(),
    }
}
