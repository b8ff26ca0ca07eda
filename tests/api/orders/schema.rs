//! The schema refuses invalid rows by its constraints, domains and triggers.

use crate::support::{Service, Vehicle};

/// Starts a service with one open order on a lot.
async fn service_with_order() -> Service {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.place_order("glovis_1", 12_000).await.created();
    service
}

#[tokio::test]
async fn change_that_violates_a_rule_is_refused_with_its_constraint_name() {
    let service = service_with_order().await;
    for (change, constraint) in [
        ("status = 'lost'", "order_status_known"),
        ("max_bid_usd = 0", "usd_range"),
        ("max_bid_usd = null", "orders_auction_whole"),
        ("external_user_id = ''", "external_user_id_length"),
        ("status = 'failed'", "orders_failure_reason_iff_failed"),
        (
            "status = 'cancelled'",
            "orders_cancellation_reason_iff_cancelled",
        ),
        ("status = 'secured'", "orders_amounts_once_secured"),
        (
            "status = 'secured', purchase_price_usd = 12001, auction_fee_usd = 0",
            "orders_price_within_bid",
        ),
        (
            "fulfillment_detail = 'customs'",
            "orders_fulfillment_once_shipping",
        ),
        ("final_is_highest = true", "orders_standing_frozen"),
        ("etd = now()", "orders_etd_whole"),
        ("eta_offset_minutes = 540", "orders_eta_whole"),
        (
            "eta = now(), eta_offset_minutes = 1440",
            "utc_offset_minutes_range",
        ),
        ("status = 'acquiring'", "orders_rendered_with_each_change"),
        (
            "updated_at = updated_at + interval '1 second'",
            "orders_rendered_with_each_change",
        ),
    ] {
        let statement = format!("update orders set {change}");
        let refused = sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(service.db())
            .await;
        let error = refused.unwrap_err().into_database_error().unwrap();
        assert_eq!(error.constraint(), Some(constraint), "{change}: {error}");
    }
}

#[tokio::test]
async fn order_and_the_rows_it_references_cannot_be_deleted() {
    let service = service_with_order().await;
    for table in ["orders", "vehicles", "partners"] {
        let statement = format!("delete from {table}");
        let refused = sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(service.db())
            .await;
        let error = refused.unwrap_err().into_database_error().unwrap();
        assert!(error.is_foreign_key_violation(), "{table}: {error}");
    }
    assert_eq!(service.order_count().await, 1);
}
