//! Steps of `lmn certify` about the key, the orders that the integration has placed, and its events.

use std::collections::HashSet;

use chrono::TimeDelta;
use serde_json::Value;

use super::{
    api::{Api, rows, text},
    report::{Flaw, Verdict},
};
use crate::values::{environment::Environment, timestamp::Timestamp};

/// The maximum number of pages of events that are read.
const PAGES_MAX: usize = 50;

/// Checks that the URL is that of a sandbox. Nothing else is sent to another server, least of all the key.
pub(super) async fn sandbox(api: &Api<'_>) -> Verdict {
    let index = api.index().await?;
    match Environment::parse(text(&index, "environment")) {
        Some(Environment::Sandbox) => Ok(("The URL is that of a sandbox.".to_owned(), ())),
        Some(Environment::Production) => Err(Flaw::Failed(
            "The URL is that of production, where nothing is tried out; use the URL of your sandbox.".to_owned(),
        )),
        None => Err(Flaw::Failed(
            "The URL is not that of an LMN API; use the one that you got with your key.".to_owned(),
        )),
    }
}

/// Checks that the key is accepted, from this address.
pub(super) async fn key(api: &Api<'_>) -> Verdict {
    api.get("/v1/orders?limit=1").await?;
    Ok(("The key is accepted.".to_owned(), ()))
}

/// Checks that the integration has placed an order in the last days.
pub(super) async fn orders(api: &Api<'_>, days: u16) -> Verdict {
    let clock = api.clock().await?;
    let since = clock.now - TimeDelta::days(days.into());
    let list = api.get("/v1/orders?sort=created_desc&limit=200").await?;
    let is_recent = |order: &&Value| {
        let created_at = Timestamp::parse(text(order, "created_at"));
        created_at.is_ok_and(|it| it.instant() >= since)
    };
    let recent: Vec<_> = rows(&list).iter().filter(is_recent).collect();
    let Some(latest) = recent.first() else {
        return Err(Flaw::Failed(format!(
            "The integration has placed no order in the last {days} days; let it place one with POST /v1/orders."
        )));
    };
    let count = match recent.len() {
        200 => "at least 200 orders".to_owned(),
        1 => "one order".to_owned(),
        count => format!("{count} orders"),
    };
    let (id, status) = (text(latest, "id"), text(latest, "status"));
    let message = format!(
        "The integration has placed {count} in the last {days} days, each with an idempotency key of its own; the \
         latest is {id}, in `{status}`."
    );
    Ok((message, ()))
}

/// Checks that the integration has cancelled an order.
pub(super) async fn cancellation(api: &Api<'_>) -> Verdict {
    let list = api.get("/v1/orders?status=cancelled&limit=200").await?;
    let mut cancelled = rows(&list).iter();
    match cancelled.find(|it| text(it, "cancellation_reason") == "partner_cancelled") {
        Some(order) => {
            let id = text(order, "id");
            Ok((format!("The integration has cancelled the order {id}."), ()))
        }
        None => Err(Flaw::Skipped(
            "The integration has cancelled no order lately; if it offers that, try DELETE /v1/orders/{id}, also on an \
             order that is past `proceed`, which is refused."
                .to_owned(),
        )),
    }
}

/// Checks that the integration has reported where a vehicle is.
pub(super) async fn reports(api: &Api<'_>) -> Verdict {
    let list = api
        .get("/v1/orders?status=shipping,delivered&limit=200")
        .await?;
    let is_reported = |order: &&Value| {
        let detail = text(order, "fulfillment_detail");
        text(order, "status") == "delivered" || matches!(detail, "in_transit" | "customs")
    };
    match rows(&list).iter().find(is_reported) {
        Some(order) => {
            let id = text(order, "id");
            Ok((
                format!("The integration has reported on the order {id}."),
                (),
            ))
        }
        None => Err(Flaw::Skipped(
            "The integration has reported no arrival and no delivery; ship an order with \
             POST /v1/orders/{id}/sandbox-status, and let it send POST /v1/orders/{id}/status."
                .to_owned(),
        )),
    }
}

/// Checks that the list of events can be read page by page, each event once.
pub(super) async fn feed(api: &Api<'_>) -> Verdict {
    let mut seen = HashSet::new();
    let mut path = "/v1/events?limit=200".to_owned();
    for _ in 0..PAGES_MAX {
        let page = api.get(&path).await?;
        for event in rows(&page) {
            let id = text(event, "id");
            if !seen.insert(id.to_owned()) {
                return Err(Flaw::Failed(format!(
                    "The event {id} is listed twice; write to integrations@lmnauto.com."
                )));
            }
        }
        let cursor = text(&page, "next_cursor");
        if cursor.is_empty() {
            let message = format!("The list of events can be read to its end: {}.", seen.len());
            return Ok((message, ()));
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("limit", "200")
            .append_pair("cursor", cursor)
            .finish();
        path = format!("/v1/events?{query}");
    }
    let message = format!("The latest {} events can be read.", seen.len());
    Ok((message, ()))
}

/// Checks that no event was given up without an acknowledgment.
pub(super) async fn failed_events(api: &Api<'_>) -> Verdict {
    let list = api
        .get("/v1/events?delivery_status=failed&limit=200")
        .await?;
    let failed = rows(&list);
    match failed.first() {
        None => Ok(("No event has failed for good.".to_owned(), ())),
        Some(latest) => Err(Flaw::Failed(format!(
            "{} were never acknowledged, the latest is {}; read them with GET /v1/events, or have them sent again with \
             POST /v1/events/{{id}}/redeliver.",
            match failed.len() {
                1 => "One event".to_owned(),
                count => format!("{count} events"),
            },
            text(latest, "id")
        ))),
    }
}
