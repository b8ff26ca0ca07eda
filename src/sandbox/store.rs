//! SQL that only the sandbox uses.

use chrono::{DateTime, Utc};

use crate::{
    database::{
        Connection, Tx,
        column::{optional_word, word},
    },
    orders::state_machine::State,
    values::id::{OrderId, PartnerId, VehicleId},
};

/// A partner's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// The current time of the clock.
    pub now: DateTime<Utc>,
    /// Seconds by which it is ahead of real time.
    pub offset_seconds: i64,
}

/// Reads a partner's clock.
pub(super) async fn find_clock(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<Clock, sqlx::Error> {
    sqlx::query_as!(
        Clock,
        r#"
        select lmn_now(clock_offset_seconds) as "now!", clock_offset_seconds as offset_seconds
        from partners where id = $1
        "#,
        partner.uuid(),
    )
    .fetch_one(conn)
    .await
}

/// Advances a partner's clock. Returns `false`, with nothing changed, if its offset would exceed `offset_max` seconds.
pub(super) async fn advance_clock(
    tx: &mut Tx,
    partner: PartnerId,
    seconds: i64,
    offset_max: i64,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        r#"
        update partners set clock_offset_seconds = clock_offset_seconds + $2
        where id = $1 and clock_offset_seconds + $2 <= $3
        "#,
        partner.uuid(),
        seconds,
        offset_max,
    )
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Resets a partner's clock to real time, and returns its former offset in seconds.
pub(super) async fn reset_clock(tx: &mut Tx, partner: PartnerId) -> Result<i64, sqlx::Error> {
    // Two statements: a single one could lock a newer version of the row than it updates, and two of them deadlock.
    let seconds = sqlx::query_scalar!(
        "select clock_offset_seconds from partners where id = $1 for no key update",
        partner.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query!(
        "update partners set clock_offset_seconds = 0 where id = $1",
        partner.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(seconds)
}

/// The open orders on a vehicle, as far as one partner may know them.
#[derive(Debug)]
pub(super) struct OpenOrders {
    /// The partner's own order and its state.
    pub own: Option<(OrderId, State)>,
    /// Whether another partner has an open order.
    pub is_shared: bool,
}

/// Finds the open orders on a locked vehicle.
pub(super) async fn find_open_orders(
    conn: &mut Connection,
    partner: PartnerId,
    vehicle: &VehicleId,
) -> Result<OpenOrders, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select id, status, fulfillment_detail, partner_id = $1 as "is_own!" from orders
        where vehicle_id = $2 and status in ('proceed', 'acquiring', 'secured', 'shipping')
        "#,
        partner.uuid(),
        vehicle.as_str(),
    )
    .fetch_all(conn)
    .await?;
    let is_shared = rows.iter().any(|row| !row.is_own);
    let own = rows.into_iter().find(|row| row.is_own);
    let own = own.map(|row| {
        let state = State {
            status: word(&row.status)?,
            fulfillment: optional_word(row.fulfillment_detail.as_deref())?,
        };
        Ok::<_, sqlx::Error>((OrderId::from(row.id), state))
    });
    Ok(OpenOrders {
        own: own.transpose()?,
        is_shared,
    })
}
