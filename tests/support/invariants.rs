//! Invariants of the tables, which hold in every database that no write is changing at the moment.

use sqlx::PgPool;

/// The invariants, each with a query that counts its violations.
const BROKEN: [(&str, &str); 8] = [
    (
        "an order without the key that placed it, or with two",
        "select count(*) from (
             select orders.id from orders left join idempotency_keys on order_id = orders.id and reply_location is not null
             group by orders.id having count(key) <> 1) broken",
    ),
    (
        "a key without its reply, or with one about another order",
        "select count(*) from idempotency_keys left join orders on orders.id = order_id
         where reply_body is null
            or order_id is not null and orders.id is null
            or order_id is not null and reply_location is not null
               and (orders.partner_id <> idempotency_keys.partner_id
                    or convert_from(reply_body, 'UTF8')::jsonb ->> 'vehicle_id' <> orders.vehicle_id)",
    ),
    (
        "a history with a gap, or one that ends with another status than its order has",
        "select count(*) from (
             select orders.id from orders left join order_history on order_id = orders.id
             group by orders.id, orders.status
             having count(n) = 0 or min(n) <> 1 or max(n) <> count(n)
                 or (array_agg(order_history.status order by n desc))[1] <> orders.status) broken",
    ),
    (
        "an order without its vehicle, or a vehicle too many",
        "select count(*) from orders full join order_vehicles on order_id = id where id is null or order_id is null",
    ),
    (
        "a vehicle whose highest bid is not one",
        "select count(*) from (
             select from orders_with_standing where status in ('proceed', 'acquiring') and max_bid_usd is not null
             group by vehicle_id having count(*) filter (where is_highest_bid) <> 1) broken",
    ),
    (
        "an order whose events have a gap",
        "select count(*) from (
             select orders.id from orders left join events on order_id = orders.id
             group by orders.id, last_sequence
             having count(events.id) <> last_sequence or coalesce(max(sequence), 0) <> last_sequence) broken",
    ),
    (
        "a feed of events with a gap",
        "select count(*) from (
             select partner_id from event_feeds left join events using (partner_id)
             group by partner_id, last_position
             having count(events.id) <> last_position or coalesce(max(position), 0) <> last_position) broken",
    ),
    (
        "a delivery queue whose head is not its first waiting event, or an event that waits in none",
        "select count(*) from (
             select queue_id, (array_agg(id order by sequence))[1] as first from events
             where queue_id is not null group by queue_id
         ) waiting full join delivery_queues queue on queue.id = waiting.queue_id
         where queue.event_id is distinct from waiting.first",
    ),
];

/// Checks every invariant.
pub async fn check_invariants(db: &PgPool) {
    for (what, query) in BROKEN {
        let broken: i64 = sqlx::query_scalar(query).fetch_one(db).await.unwrap();
        assert_eq!(broken, 0, "{what}");
    }
}
