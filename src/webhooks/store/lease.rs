//! Leases: a due event is assigned to one worker for a limited time, fairly among partners.
//!
//! A short transaction runs two statements. The first finds, locks and orders the endpoints with due deliveries; the
//! second leases no more of an endpoint's delivery queues than it may have in flight. Neither reads more than a few
//! queues of a partner, however many there are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::super::{signature::Secret, target::Target};
use crate::{
    database::Tx,
    values::id::{EventId, PartnerId},
};

/// The limits of one lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The maximum number of delivery queues.
    pub queues: i64,
    /// The maximum number of failing endpoints.
    pub failing: i64,
    /// The maximum number of one partner's queues that are leased at the same time.
    pub of_partner: i64,
    /// The duration of the lease.
    pub lease: Duration,
}

/// A locked endpoint with due deliveries.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    partner: PartnerId,
    target: Target,
    secrets: Vec<Secret>,
    /// The partner's time.
    now: DateTime<Utc>,
    /// The real time.
    real_now: DateTime<Utc>,
    /// Whether its last attempt failed.
    is_failing: bool,
    /// The number of delivery queues that may be leased in addition.
    free: i64,
}

/// A due event under a lease.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    /// The delivery queue of which the event is the head.
    pub queue: Uuid,
    /// The token of the lease.
    pub lease: Uuid,
    /// The event.
    pub event: EventId,
    /// The partner.
    pub partner: PartnerId,
    /// The event as JSON, the body of the request.
    pub payload: String,
    /// The time at which it was due, by the partner's clock.
    pub due_at: DateTime<Utc>,
    /// The URL to send it to.
    pub target: Target,
    /// The secrets that sign it, the current one first.
    pub secrets: Vec<Secret>,
    /// The time of the lease, by the partner's clock.
    pub now: DateTime<Utc>,
    /// The time of the lease, in real time.
    pub real_now: DateTime<Utc>,
    /// Whether the endpoint was failing at that time.
    pub is_failing: bool,
}

/// Locks the endpoints with due deliveries: the least recently served one first, failing endpoints last.
pub(crate) async fn serve(tx: &mut Tx, limits: Limits) -> Result<Vec<Served>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with enabled as materialized (
            select partner_id, lmn_now(clock_offset_seconds) as now, lmn_now(0) as real_now,
                   failing_since is not null as is_failing, served_at
            from webhook_endpoints join partners on partners.id = partner_id
            where enabled
        ), waiting as materialized (
            select enabled.*, row_number() over (partition by is_failing order by served_at nulls first) as turn,
                   $3 - (select count(*) from delivery_queues queue
                         where queue.partner_id = enabled.partner_id and lease is not null
                           and leased_until > enabled.real_now) as free
            from enabled cross join lateral (
                -- A limit, because `exists` becomes a join that reads all queues there are.
                select from delivery_queues
                where delivery_queues.partner_id = enabled.partner_id and due_at <= enabled.now
                  and (leased_until is null or leased_until <= enabled.real_now)
                order by due_at
                limit 1
            ) due
        ), locked as (
            select partner_id, waiting.now, waiting.real_now, waiting.is_failing,
                   case when waiting.is_failing then least(free, 1) else free end as free
            from waiting join webhook_endpoints using (partner_id)
            where free > 0 and webhook_endpoints.enabled and (not waiting.is_failing or turn <= $2)
              -- Who was served since this statement began has his share already.
              and webhook_endpoints.served_at is not distinct from waiting.served_at
              and (not waiting.is_failing or free = $3)
            order by waiting.is_failing, turn
            limit $1
            for no key update of webhook_endpoints skip locked
        )
        update webhook_endpoints set served_at = lmn_now(0)
        from locked where webhook_endpoints.partner_id = locked.partner_id
        returning webhook_endpoints.partner_id, url, locked.now as "now!", locked.real_now as "real_now!",
                  locked.is_failing as "is_failing!", locked.free as "free!",
                  array(select secret from webhook_secrets
                        where webhook_secrets.partner_id = webhook_endpoints.partner_id
                          and (expires_at is null or expires_at > locked.real_now)
                        order by expires_at nulls first) as "secrets!"
        "#,
        limits.queues,
        limits.failing,
        limits.of_partner,
    )
    .fetch_all(&mut **tx)
    .await?;
    let served = rows.into_iter().filter_map(|row| {
        let partner = PartnerId::from(row.partner_id);
        let target = Target::parse(&row.url).ok();
        let secrets: Option<Vec<_>> = row.secrets.iter().map(|it| Secret::parse(it)).collect();
        let Some((target, secrets)) = target.zip(secrets) else {
            // This is a bug, but it affects this partner only; the others are served.
            tracing::error!(%partner, "a webhook endpoint has an invalid URL or secret");
            return None;
        };
        Some(Served {
            partner,
            target,
            secrets,
            now: row.now,
            real_now: row.real_now,
            is_failing: row.is_failing,
            free: row.free,
        })
    });
    Ok(served.collect())
}

/// Leases due delivery queues, one of each partner in turn.
pub(crate) async fn lease(
    tx: &mut Tx,
    served: &[Served],
    limits: Limits,
) -> Result<Vec<Due>, sqlx::Error> {
    let partners: Vec<Uuid> = served.iter().map(|it| it.partner.uuid()).collect();
    let free: Vec<i64> = served.iter().map(|it| it.free).collect();
    let now: Vec<DateTime<Utc>> = served.iter().map(|it| it.now).collect();
    let lease = PgInterval::try_from(limits.lease).map_err(sqlx::Error::Encode)?;
    let rows = sqlx::query!(
        r#"
        with served as materialized (
            select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) as it(partner_id, free, now)
        ), due as materialized (
            select queue.id, queue.due_at,
                   row_number() over (partition by served.partner_id order by queue.due_at, queue.id) as turn
            from served cross join lateral (
                select id, due_at from delivery_queues
                where delivery_queues.partner_id = served.partner_id and due_at <= served.now
                  and (leased_until is null or leased_until <= lmn_now(0))
                order by due_at
                limit served.free
                for update skip locked
            ) queue
        ), leased as (
            update delivery_queues
            set lease = gen_random_uuid(), leased_until = lmn_now(0) + $5, is_restarted = false,
                is_redelivery_requested = false
            where id in (select id from due order by turn, due_at limit $4)
            returning id, lease, event_id, partner_id, due_at
        )
        select leased.id, lease as "lease!", event_id, leased.partner_id, due_at,
               events.payload::text as "payload!"
        from leased join events on events.id = event_id
        "#,
        &partners,
        &free,
        &now,
        limits.queues,
        lease,
    )
    .fetch_all(&mut **tx)
    .await?;
    let due = rows.into_iter().filter_map(|row| {
        let partner = PartnerId::from(row.partner_id);
        let endpoint = served.iter().find(|it| it.partner == partner)?.clone();
        Some(Due {
            queue: row.id,
            lease: row.lease,
            event: row.event_id.into(),
            partner,
            payload: row.payload,
            due_at: row.due_at,
            target: endpoint.target,
            secrets: endpoint.secrets,
            now: endpoint.now,
            real_now: endpoint.real_now,
            is_failing: endpoint.is_failing,
        })
    });
    Ok(due.collect())
}

/// Renews a lease from now on. Returns `false` if the delivery queue is gone or leased to another worker.
pub(crate) async fn renew(tx: &mut Tx, due: &Due, lease: Duration) -> Result<bool, sqlx::Error> {
    let lease = PgInterval::try_from(lease).map_err(sqlx::Error::Encode)?;
    let renewed = sqlx::query!(
        "update delivery_queues set leased_until = lmn_now(0) + $3 where id = $1 and lease = $2",
        due.queue,
        due.lease,
        lease,
    )
    .execute(&mut **tx)
    .await?;
    Ok(renewed.rows_affected() > 0)
}
