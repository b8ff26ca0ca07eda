//! Scheduled order jobs: failing orders whose auction passed without LMN acting, and reminding of overdue deliveries.
//!
//! `src/jobs.rs` repeats a pass of each, and the sandbox clock runs both for one partner. Any number of replicas may run
//! them: row locks serialize the passes, and the second finds nothing left to do.

use chrono::TimeDelta;

use super::{
    locked_order::LockedOrder,
    model::Overdue,
    state_machine::{FailureReason, OrderStatus, Owner, Transition},
    store,
    transitions::{self, TransitionFailed},
};
use crate::{
    audit::Actor,
    config::Jobs,
    database::{Connection, Database, Tx, clock},
    telemetry::metrics::Metrics,
    values::{
        id::{PartnerId, RequestId},
        string_enum::StringEnum,
    },
};

/// Time after an auction until orders that LMN has not acted on fail.
const RESULT_GRACE: TimeDelta = TimeDelta::hours(24);
/// Time in `shipping` after which a delivery is overdue.
pub(crate) const OVERDUE: TimeDelta = TimeDelta::days(90);

/// Fails the orders that are still `proceed` 24 hours after their auction.
///
/// Each transaction fails those of a bounded number of vehicles. Returns the number of failed orders.
pub async fn fail_passed(
    database: &Database,
    settings: &Jobs,
    metrics: &Metrics,
) -> Result<usize, TransitionFailed> {
    let mut all = 0;
    loop {
        let mut tx = database.begin().await?;
        let failed = fail_passed_of(&mut tx, None, settings.batch).await?;
        tx.commit().await?;
        metrics.count_failed_by_time(failed);
        if failed == 0 {
            return Ok(all);
        }
        all += failed;
    }
}

/// Fails passed orders of up to `vehicles_max` vehicles within a transaction, for one partner or for all.
pub(crate) async fn fail_passed_of(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    vehicles_max: i64,
) -> Result<usize, TransitionFailed> {
    let vehicles = store::lock_passed(tx, partner, RESULT_GRACE, vehicles_max).await?;
    let mut orders = transitions::lock_open_orders(tx, &vehicles).await?;
    orders.retain(|it| has_passed(it) && partner.is_none_or(|partner| it.partner == partner));
    for order in &mut orders {
        let fail = Transition::Fail(FailureReason::AuctionPassed);
        order.apply(&fail, Owner::Automatic)?;
    }
    transitions::record(tx, &automatic(), &orders).await?;
    Ok(orders.len())
}

fn has_passed(locked: &LockedOrder) -> bool {
    let auction = locked.order.bid.map(|bid| bid.auction_date.instant());
    let is_waiting = locked.order.state.status == OrderStatus::Proceed;
    is_waiting && auction.is_some_and(|at| at + RESULT_GRACE <= locked.now)
}

fn automatic() -> Actor {
    Actor {
        actor: Owner::Automatic.as_str().to_owned(),
        request_id: RequestId::random(),
    }
}

/// Records a reminder of each overdue delivery, once a day, and reports it in the log and in a metric.
///
/// Each transaction records a bounded number of reminders. Returns all of them.
pub async fn remind_overdue(
    database: &Database,
    settings: &Jobs,
    metrics: &Metrics,
) -> Result<Vec<Overdue>, sqlx::Error> {
    let mut all = Vec::new();
    loop {
        let mut tx = database.begin().await?;
        let reminded = remind_overdue_of(&mut tx, None, settings.batch).await?;
        tx.commit().await?;
        report_overdue(metrics, &reminded);
        if reminded.is_empty() {
            return Ok(all);
        }
        all.extend(reminded);
    }
}

/// Records up to `orders_max` reminders within a transaction, for one partner or for all.
///
/// Call [`report_overdue`] after the commit.
pub(crate) async fn remind_overdue_of(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    orders_max: i64,
) -> Result<Vec<Overdue>, sqlx::Error> {
    let now = clock::real_now(tx).await?;
    let overdue = store::list_overdue(tx, partner, OVERDUE, true, orders_max).await?;
    store::remind(tx, overdue, now).await
}

/// Reports recorded reminders in the log and in a metric.
pub(crate) fn report_overdue(metrics: &Metrics, reminded: &[Overdue]) {
    metrics.count_reminded(reminded.len());
    for it in reminded {
        tracing::warn!(
            order = %it.order,
            vehicle = %it.vehicle,
            partner = %it.partner,
            contact = it.contact.as_deref(),
            days = it.days,
            "a delivery is overdue"
        );
    }
}

/// Counts what is due for the jobs of a partner's orders.
pub(crate) async fn count_due(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<i64, sqlx::Error> {
    store::count_due(conn, partner, RESULT_GRACE, OVERDUE).await
}
