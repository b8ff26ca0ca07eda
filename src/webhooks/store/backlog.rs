//! The number of pending deliveries, for the operator's metrics.

use crate::{database::Connection, telemetry::delivery::Backlog};

/// Counts the delivery queues, up to `limit` per state, and returns the age of the oldest due one without a lease.
///
/// However many queues there are, the query reads at most `limit` per state from the index, and one queue per endpoint.
pub(crate) async fn count_backlog(
    conn: &mut Connection,
    limit: i64,
) -> Result<Backlog, sqlx::Error> {
    sqlx::query_as!(
        Backlog,
        r#"
        with endpoints as materialized (
            select partner_id, lmn_now(clock_offset_seconds) as now, lmn_now(0) as real_now,
                   case when not enabled then 'paused' when failing_since is not null then 'failing' else 'well' end as health
            from webhook_endpoints join partners on partners.id = partner_id
        ), due as materialized (
            select from endpoints cross join lateral (
                select from delivery_queues
                where delivery_queues.partner_id = endpoints.partner_id and due_at <= endpoints.now limit $1
            ) queue
            where health = 'well' limit $1
        ), failing as materialized (
            select from endpoints cross join lateral (
                select from delivery_queues
                where delivery_queues.partner_id = endpoints.partner_id and due_at <= endpoints.now limit $1
            ) queue
            where health = 'failing' limit $1
        ), later as materialized (
            select from endpoints cross join lateral (
                select from delivery_queues
                where delivery_queues.partner_id = endpoints.partner_id and due_at > endpoints.now limit $1
            ) queue
            where health <> 'paused' limit $1
        ), paused as materialized (
            select from endpoints cross join lateral (
                select from delivery_queues where delivery_queues.partner_id = endpoints.partner_id limit $1
            ) queue
            where health = 'paused' limit $1
        )
        select (select count(*) from due) as "due!", (select count(*) from failing) as "failing!",
               (select count(*) from later) as "later!", (select count(*) from paused) as "paused!",
               coalesce((
                   select max(extract(epoch from endpoints.now - queue.due_at))
                   from endpoints cross join lateral (
                       select due_at from delivery_queues
                       where delivery_queues.partner_id = endpoints.partner_id and due_at <= endpoints.now
                         and (leased_until is null or leased_until <= endpoints.real_now)
                       order by due_at
                       limit 1
                   ) queue
                   where health = 'well'
               ), 0)::float8 as "oldest_due_seconds!"
        "#,
        limit,
    )
    .fetch_one(conn)
    .await
}
