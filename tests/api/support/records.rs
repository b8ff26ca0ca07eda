//! What the database of a service holds.

use sqlx::PgPool;

use super::Service;

/// Counts the orders in a database.
pub async fn count_orders(db: &PgPool) -> i64 {
    let statement = "select count(*) from orders";
    let counted = sqlx::query_scalar(statement).fetch_one(db).await;
    counted.expect(statement)
}

/// Counts the idempotency keys in a database that are bound.
pub async fn count_keys(db: &PgPool) -> i64 {
    let statement = "select count(*) from idempotency_keys";
    let counted = sqlx::query_scalar(statement).fetch_one(db).await;
    counted.expect(statement)
}

impl Service {
    /// Counts the orders.
    pub async fn order_count(&self) -> i64 {
        count_orders(self.db()).await
    }

    /// Counts the orders with a status.
    pub async fn order_count_in(&self, status: &str) -> i64 {
        let statement = "select count(*) from orders where status = $1";
        let counted = sqlx::query_scalar(statement).bind(status);
        counted.fetch_one(self.db()).await.expect(statement)
    }

    /// Counts the idempotency keys that are bound.
    pub async fn key_count(&self) -> i64 {
        count_keys(self.db()).await
    }

    /// Counts the steps of all orders; the first step of an order is that it was placed.
    pub async fn step_count(&self) -> i64 {
        self.count("select count(*) from order_history").await
    }

    /// Counts the events of all partners.
    pub async fn event_count(&self) -> i64 {
        self.count("select count(*) from events").await
    }

    /// Counts the delivery queues of all partners.
    pub async fn delivery_queue_count(&self) -> i64 {
        self.count("select count(*) from delivery_queues").await
    }

    /// Counts the audit entries of an action.
    pub async fn audit_count(&self, action: &str) -> i64 {
        let statement = "select count(*) from audit_log where action = $1";
        let counted = sqlx::query_scalar(statement).bind(action);
        counted.fetch_one(self.db()).await.expect(statement)
    }

    /// Returns the database's time as unix time in seconds.
    pub async fn unix_time(&self) -> i64 {
        self.count("select extract(epoch from clock_timestamp())::bigint")
            .await
    }
}
