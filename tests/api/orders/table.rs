//! The table of states, walked through the product: every step, from every state, by everyone (contract, section 7).

use std::collections::BTreeSet;

use lmn_partner_api::{
    error::catalogue::Code,
    orders::{
        advance::{Advance, AdvanceError, ShipmentChange},
        auction::AuctionError,
        progress::ProgressError,
        state::{
            CancellationReason as Cancelled, FailureReason as Failed, FulfillmentDetail as Detail,
            Refused,
        },
        sweeps::fail_passed,
    },
    word::Word,
};
use serde_json::{Value, json};

use crate::support::{Car, Partner, Service, secure};

/// Every state; the columns of [`TABLE`] are their statuses.
const STATES: [&str; 10] = [
    "proceed",
    "acquiring",
    "secured",
    "shipping/export_processing",
    "shipping/awaiting_pickup",
    "shipping/in_transit",
    "shipping/customs",
    "delivered",
    "cancelled",
    "failed",
];

/// The contract's table by hand: where each step leads from each status. `=` stays there, `-` is out of sequence, and
/// `x` is not for this owner to do, whatever the state.
const TABLE: &str = "
    by       step                                   proceed   acquiring secured  shipping    delivered cancelled failed
    partner  cancel                                 cancelled -         -        -           -         -         -
    partner  in_transit                             -         -         -        /in_transit -         -         -
    partner  customs                                -         -         -        /customs    -         -         -
    partner  delivered                              -         -         -        delivered   -         -         -
    partner  proceed                                x         x         x        x           x         x         x
    partner  acquiring                              x         x         x        x           x         x         x
    partner  secured                                x         x         x        x           x         x         x
    partner  shipping                               x         x         x        x           x         x         x
    partner  cancelled                              x         x         x        x           x         x         x
    partner  failed                                 x         x         x        x           x         x         x
    partner  export_processing                      x         x         x        x           x         x         x
    partner  awaiting_pickup                        x         x         x        x           x         x         x
    operator acquire                                acquiring -         -        -           -         -         -
    operator secure                                 -         secured   -        -           -         -         -
    operator ship                                   -         -         shipping/export_processing - - -         -
    operator export_processing                      -         -         -        /export_processing - -          -
    operator awaiting_pickup                        -         -         -        /awaiting_pickup - -            -
    operator shipment                               -         -         -        =           -         -         -
    operator in_transit                             x         x         x        x           x         x         x
    operator customs                                x         x         x        x           x         x         x
    operator deliver                                x         x         x        x           x         x         x
    operator cancel:partner_cancelled               x         x         x        x           x         x         x
    operator cancel:auction_rescheduled_too_soon    cancelled -         -        -           -         -         -
    operator cancel:auction_cancelled               cancelled -         -        -           -         -         -
    operator cancel:seller_withdrew                 cancelled -         -        -           -         -         -
    operator fail:auction_passed                    x         x         x        x           x         x         x
    operator fail:outbid                            -         failed    -        -           -         -         -
    operator fail:outbid_internally                 -         failed    -        -           -         -         -
    operator fail:vehicle_unavailable               -         failed    -        -           -         -         -
    operator fail:auction_cancelled                 -         failed    -        -           -         -         -";

/// The operator's steps by the names of the table.
fn operators() -> Vec<(&'static str, Advance)> {
    let vessel_name = Some(Some("Glovis Sun".to_owned()));
    let shipment = ShipmentChange {
        vessel_name,
        ..ShipmentChange::default()
    };
    vec![
        ("acquire", Advance::Acquire),
        ("secure", secure(11_000, 150)),
        ("ship", Advance::Ship),
        (
            "export_processing",
            Advance::Fulfill(Detail::ExportProcessing),
        ),
        ("awaiting_pickup", Advance::Fulfill(Detail::AwaitingPickup)),
        ("shipment", Advance::Shipment(shipment)),
        ("in_transit", Advance::Fulfill(Detail::InTransit)),
        ("customs", Advance::Fulfill(Detail::Customs)),
        ("deliver", Advance::Deliver),
        (
            "cancel:partner_cancelled",
            Advance::Cancel(Cancelled::PartnerCancelled),
        ),
        (
            "cancel:auction_rescheduled_too_soon",
            Advance::Cancel(Cancelled::AuctionRescheduledTooSoon),
        ),
        (
            "cancel:auction_cancelled",
            Advance::Cancel(Cancelled::AuctionCancelled),
        ),
        (
            "cancel:seller_withdrew",
            Advance::Cancel(Cancelled::SellerWithdrew),
        ),
        ("fail:auction_passed", Advance::Fail(Failed::AuctionPassed)),
        ("fail:outbid", Advance::Fail(Failed::Outbid)),
        (
            "fail:outbid_internally",
            Advance::Fail(Failed::OutbidInternally),
        ),
        (
            "fail:vehicle_unavailable",
            Advance::Fail(Failed::VehicleUnavailable),
        ),
        (
            "fail:auction_cancelled",
            Advance::Fail(Failed::AuctionCancelled),
        ),
    ]
}

/// What a step came to.
#[derive(Debug, PartialEq)]
enum Came {
    Done,
    NotYours,
    OutOfSequence,
}

/// A partner whose orders are brought anywhere, each on a car of its own.
struct Walk {
    service: Service,
    acme: Partner,
    cars: usize,
}

impl Walk {
    async fn begin() -> Self {
        let service = Service::start().await;
        let acme = service.partner("acme").await;
        Self {
            service,
            acme,
            cars: 0,
        }
    }

    /// Brings a new order into a state.
    async fn order_in(&mut self, state: &str) -> String {
        self.cars += 1;
        let car = format!("glovis_{}", self.cars);
        self.service.car(Car::lot(&car)).await;
        let id = self.acme.place_order(&car, 12_000).await.created()["id"].clone();
        let id = id.as_str().unwrap().to_owned();
        let (status, detail) = state.split_once('/').unwrap_or((state, ""));
        let steps = [Advance::Acquire, secure(11_000, 150), Advance::Ship];
        let taken = match status {
            "proceed" | "cancelled" => 0,
            "acquiring" | "failed" => 1,
            "secured" => 2,
            _ => 3,
        };
        self.service.operator().takes(&id, &steps[..taken]).await;
        let last = match (status, detail) {
            ("cancelled", _) => ("partner", "cancel"),
            ("failed", _) => ("operator", "fail:outbid"),
            ("delivered", _) => ("partner", "delivered"),
            (_, "awaiting_pickup") => ("operator", "awaiting_pickup"),
            (_, "in_transit" | "customs") => ("partner", detail),
            _ => return id,
        };
        let order = self.acme.order(&id).await.ok();
        assert_eq!(self.step(&order, last.0, last.1).await, Came::Done);
        id
    }

    /// Makes a step, and holds a refusal to what it says of the order.
    async fn step(&self, before: &Value, by: &str, step: &str) -> Came {
        let id = before["id"].as_str().unwrap();
        if by == "operator" {
            let operators = operators();
            let (_, advance) = operators.iter().find(|(name, _)| *name == step).unwrap();
            return match self.service.operator().advance(id, advance).await {
                Ok(_) => Came::Done,
                Err(AuctionError::Progress(ProgressError::Step(AdvanceError::Refused(
                    state,
                    why,
                )))) => {
                    assert_eq!(state.status.as_str(), before["status"]);
                    match why {
                        Refused::NotYours => Came::NotYours,
                        Refused::OutOfSequence => Came::OutOfSequence,
                    }
                }
                Err(error) => panic!("{error}"),
            };
        }
        let is_detail = Detail::ALL.iter().any(|it| it.as_str() == step);
        let member = if is_detail {
            "fulfillment_detail"
        } else {
            "status"
        };
        let reply = match step {
            "cancel" => self.acme.cancel(id).await,
            _ => {
                let report = json!({member: step, "occurred_at": "2026-03-01T10:30:00+01:00"});
                self.acme.report(id, report).await
            }
        };
        let (came, reason) = match reply.status {
            200 => return Came::Done,
            403 => (Came::NotYours, "partner_not_authorized"),
            _ => (Came::OutOfSequence, "out_of_sequence"),
        };
        let status = if came == Came::NotYours { 403 } else { 409 };
        let details = reply.refused(status, Code::InvalidStatusTransition);
        assert_eq!(details["reason"], reason);
        assert_eq!(details["current_status"], before["status"]);
        assert_eq!(details["allowed_actions"], before["allowed_actions"]);
        came
    }

    /// Reads what there is of an order: itself, its history, its events.
    async fn look(&self, id: &str) -> (Value, Vec<Value>, Vec<Value>) {
        let path = format!("/v1/orders/{id}/history?limit=100");
        let (order, history) = (self.acme.order(id).await.ok(), self.acme.rows(&path).await);
        (order, history, self.acme.events_of(id).await)
    }
}

/// Splits a state or a target into its status and its sub-status.
fn parts(state: &str) -> (&str, Value) {
    match state.split_once('/') {
        Some((status, detail)) => (status, json!(detail)),
        None => (state, Value::Null),
    }
}

/// Returns the state that a cell leads to.
fn target(cell: &str, from: &str) -> String {
    let (status, detail) = from.split_once('/').unwrap_or((from, ""));
    match cell {
        "=" => from.to_owned(),
        "delivered" => format!("delivered/{detail}"),
        _ if cell.starts_with('/') => format!("{status}{cell}"),
        _ => cell.to_owned(),
    }
}

/// Checks what a step that was made has left behind.
fn is_told(
    (by, step): (&str, &str),
    from: &str,
    to: &str,
    before: &(Value, Vec<Value>, Vec<Value>),
    after: &(Value, Vec<Value>, Vec<Value>),
) {
    let what = format!("{by} {step} from {from}");
    let ((status, detail), (was, was_detail)) = (parts(to), parts(from));
    assert_eq!(after.0["status"], status, "{what}");
    assert_eq!(after.0["fulfillment_detail"], detail, "{what}");
    let reason = |name: &str| {
        step.split_once(':')
            .filter(|it| it.0 == name)
            .map(|it| it.1)
    };
    let by_partner = (step == "cancel").then_some("partner_cancelled");
    assert_eq!(
        after.0["cancellation_reason"],
        json!(reason("cancel").or(by_partner))
    );
    assert_eq!(after.0["failure_reason"], json!(reason("fail")));
    let is_bought = ["secured", "shipping", "delivered"].contains(&status);
    let amounts = json!({"purchase_price_usd": is_bought.then_some(11_000), "auction_fee_usd": is_bought.then_some(150)});
    assert_eq!(after.0["amounts"], amounts, "{what}");

    let steps = usize::from(from != to);
    assert_eq!(after.1.len(), before.1.len() + steps, "{what}");
    for (n, row) in after.1.iter().enumerate() {
        assert_eq!(row["n"], n + 1, "{what}");
    }
    let last = after.1.last().unwrap();
    if steps == 1 {
        let told = json!([last["status"], last["fulfillment_detail"], last["by"]]);
        assert_eq!(told, json!([status, detail, by]), "{what}");
    }
    let is_event = by == "operator" && (steps == 1 || step == "shipment");
    assert_eq!(after.2.len(), before.2.len() + usize::from(is_event));
    if is_event {
        let event = after.2.last().unwrap();
        let data = match was == status {
            true => json!({"order": after.0, "previous_fulfillment_detail": was_detail}),
            false => json!({"order": after.0, "previous_status": was}),
        };
        let kind = if was == status {
            "order.fulfillment_updated"
        } else {
            "order.status_changed"
        };
        assert_eq!(event["type"], kind, "{what}");
        assert_eq!(event["data"], data, "{what}");
        assert_eq!(event["sequence"], after.2.len(), "{what}");
    }
}

#[tokio::test]
async fn every_step_from_every_state_does_what_the_contract_says_and_nothing_else() {
    let mut walk = Walk::begin().await;
    let rows: Vec<Vec<&str>> = TABLE
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    let (head, rows) = rows.split_first().unwrap();
    assert_eq!(rows.len(), 12 + operators().len());
    let mut made = 0;
    for from in STATES {
        let column = head.iter().position(|it| *it == parts(from).0).unwrap();
        let mut succeeded = BTreeSet::new();
        let mut id = walk.order_in(from).await;
        let mut before = walk.look(&id).await;
        let allowed = before.0["allowed_actions"].clone();
        for row in rows {
            let (by, step, cell) = (row[0], row[1], row[column]);
            let came = walk.step(&before.0, by, step).await;
            let expected = match cell {
                "x" => Came::NotYours,
                "-" => Came::OutOfSequence,
                _ => Came::Done,
            };
            assert_eq!(came, expected, "{by} {step} from {from}");
            if came != Came::Done {
                let order = walk.acme.order(&id).await.ok();
                assert_eq!(order, before.0, "{by} {step} from {from}");
                continue;
            }
            made += 1;
            let after = walk.look(&id).await;
            is_told((by, step), from, &target(cell, from), &before, &after);
            if by == "partner" {
                succeeded.insert(step);
            }
            if after != before {
                id = walk.order_in(from).await;
                before = walk.look(&id).await;
            }
        }
        assert_eq!(walk.look(&id).await, before, "a refusal leaves nothing");
        let allowed: BTreeSet<_> = allowed
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(allowed, succeeded, "{from}");
    }
    assert_eq!(made, 5 + 5 + 1 + 4 * 6);
}

#[tokio::test]
async fn time_fails_what_nobody_acted_on_and_leaves_every_other_state_alone() {
    let mut walk = Walk::begin().await;
    let mut orders = Vec::new();
    for state in STATES {
        let id = walk.order_in(state).await;
        orders.push((state, walk.look(&id).await));
    }
    walk.service.car(Car::dealers("encar_1")).await;
    let bidless = walk.acme.place_order("encar_1", None).await.id();
    orders.push(("no bid", walk.look(&bidless).await));
    walk.service
        .sql("update partners set clock_offset_seconds = 12 * 86400")
        .await;
    assert_eq!(fail_passed(&walk.service.app).await.unwrap(), 1);
    assert_eq!(fail_passed(&walk.service.app).await.unwrap(), 0);
    for (state, before) in orders {
        let after = walk.look(before.0["id"].as_str().unwrap()).await;
        if state != "proceed" {
            assert_eq!(after, before, "{state}");
            continue;
        }
        assert_eq!(after.0["status"], "failed");
        assert_eq!(after.0["failure_reason"], "auction_passed");
        assert_eq!(after.0["allowed_actions"], json!([]));
        assert_eq!(after.1.len(), 2);
        assert_eq!(after.1[1]["by"], "automatic");
        assert_eq!(after.2.len(), 1);
        assert_eq!(
            after.2[0]["data"],
            json!({"order": after.0, "previous_status": "proceed"})
        );
    }
}
