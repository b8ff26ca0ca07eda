//! The state table of orders: every step from every state, by partner and operator.

use std::collections::BTreeSet;

use lmn_partner_api::{
    errors::catalogue::Code,
    orders::{
        operator::AuctionError,
        state_machine::{
            CancellationReason as Cancelled, FailureReason as Failed, FulfillmentDetail as Detail,
            Refused, ShipmentChange, Transition, TransitionError,
        },
        transitions::TransitionFailed,
    },
    values::string_enum::StringEnum,
};
use serde_json::{Value, json};

use crate::support::{Partner, Service, Vehicle, fail_passed, secure};

/// All states of an order. The columns of [`TABLE`] are their statuses.
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

/// The state that each step leads to from each status. `=` keeps the state, `-` is refused as out of sequence, and `x`
/// is refused in every state because the step is not open to this actor.
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

/// Returns the operator's steps with their names in the table.
fn operator_steps() -> Vec<(&'static str, Transition)> {
    let vessel_name = Some(Some("Glovis Sun".to_owned()));
    let shipment = ShipmentChange {
        vessel_name,
        ..ShipmentChange::default()
    };
    vec![
        ("acquire", Transition::Acquire),
        ("secure", secure(11_000, 150)),
        ("ship", Transition::Ship),
        (
            "export_processing",
            Transition::Fulfill(Detail::ExportProcessing),
        ),
        (
            "awaiting_pickup",
            Transition::Fulfill(Detail::AwaitingPickup),
        ),
        ("shipment", Transition::Shipment(shipment)),
        ("in_transit", Transition::Fulfill(Detail::InTransit)),
        ("customs", Transition::Fulfill(Detail::Customs)),
        ("deliver", Transition::Deliver),
        (
            "cancel:partner_cancelled",
            Transition::Cancel(Cancelled::PartnerCancelled),
        ),
        (
            "cancel:auction_rescheduled_too_soon",
            Transition::Cancel(Cancelled::AuctionRescheduledTooSoon),
        ),
        (
            "cancel:auction_cancelled",
            Transition::Cancel(Cancelled::AuctionCancelled),
        ),
        (
            "cancel:seller_withdrew",
            Transition::Cancel(Cancelled::SellerWithdrew),
        ),
        (
            "fail:auction_passed",
            Transition::Fail(Failed::AuctionPassed),
        ),
        ("fail:outbid", Transition::Fail(Failed::Outbid)),
        (
            "fail:outbid_internally",
            Transition::Fail(Failed::OutbidInternally),
        ),
        (
            "fail:vehicle_unavailable",
            Transition::Fail(Failed::VehicleUnavailable),
        ),
        (
            "fail:auction_cancelled",
            Transition::Fail(Failed::AuctionCancelled),
        ),
    ]
}

/// The outcome of a step.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    NotAuthorized,
    OutOfSequence,
}

/// A service and a partner that brings orders into any state, each on a vehicle of its own.
struct Fixture {
    service: Service,
    acme: Partner,
    vehicles: usize,
}

impl Fixture {
    async fn start() -> Self {
        let service = Service::start().await;
        let acme = service.partner("acme").await;
        Self {
            service,
            acme,
            vehicles: 0,
        }
    }

    /// Places an order and brings it into a state; returns its id.
    async fn order_in(&mut self, state: &str) -> String {
        self.vehicles += 1;
        let vehicle = format!("glovis_{}", self.vehicles);
        self.service.vehicle(Vehicle::lot(&vehicle)).await;
        let id = self.acme.place_order(&vehicle, 12_000).await.created()["id"].clone();
        let id = id.as_str().unwrap().to_owned();
        let (status, detail) = state.split_once('/').unwrap_or((state, ""));
        let steps = [Transition::Acquire, secure(11_000, 150), Transition::Ship];
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
        assert_eq!(self.step(&order, last.0, last.1).await, Outcome::Done);
        id
    }

    /// Makes a step. A refusal must name the state of the order.
    async fn step(&self, before: &Value, by: &str, step: &str) -> Outcome {
        let id = before["id"].as_str().unwrap();
        if by == "operator" {
            let operator_steps = operator_steps();
            let (_, advance) = operator_steps
                .iter()
                .find(|(name, _)| *name == step)
                .unwrap();
            return match self.service.operator().advance(id, advance).await {
                Ok(_) => Outcome::Done,
                Err(AuctionError::Transition(TransitionFailed::Step(
                    TransitionError::Refused(state, refusal),
                ))) => {
                    assert_eq!(state.status.as_str(), before["status"]);
                    match refusal {
                        Refused::NotAuthorized => Outcome::NotAuthorized,
                        Refused::OutOfSequence => Outcome::OutOfSequence,
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
        let (outcome, reason) = match reply.status {
            200 => return Outcome::Done,
            403 => (Outcome::NotAuthorized, "partner_not_authorized"),
            _ => (Outcome::OutOfSequence, "out_of_sequence"),
        };
        let status = if outcome == Outcome::NotAuthorized {
            403
        } else {
            409
        };
        let details = reply.refused(status, Code::InvalidStatusTransition);
        assert_eq!(details["reason"], reason);
        assert_eq!(details["current_status"], before["status"]);
        assert_eq!(details["allowed_actions"], before["allowed_actions"]);
        outcome
    }

    /// Reads an order, its history and its events.
    async fn snapshot(&self, id: &str) -> (Value, Vec<Value>, Vec<Value>) {
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

/// Checks the effects of a successful step on the order, its history and its events.
fn check_effects(
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
        let recorded = json!([last["status"], last["fulfillment_detail"], last["by"]]);
        assert_eq!(recorded, json!([status, detail, by]), "{what}");
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
async fn every_step_from_every_state_matches_the_table() {
    let mut fixture = Fixture::start().await;
    let rows: Vec<Vec<&str>> = TABLE
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    let (head, rows) = rows.split_first().unwrap();
    assert_eq!(rows.len(), 12 + operator_steps().len());
    let mut steps_made = 0;
    for from in STATES {
        let column = head.iter().position(|it| *it == parts(from).0).unwrap();
        let mut succeeded = BTreeSet::new();
        let mut id = fixture.order_in(from).await;
        let mut before = fixture.snapshot(&id).await;
        let allowed = before.0["allowed_actions"].clone();
        for row in rows {
            let (by, step, cell) = (row[0], row[1], row[column]);
            let outcome = fixture.step(&before.0, by, step).await;
            let expected = match cell {
                "x" => Outcome::NotAuthorized,
                "-" => Outcome::OutOfSequence,
                _ => Outcome::Done,
            };
            assert_eq!(outcome, expected, "{by} {step} from {from}");
            if outcome != Outcome::Done {
                let order = fixture.acme.order(&id).await.ok();
                assert_eq!(order, before.0, "{by} {step} from {from}");
                continue;
            }
            steps_made += 1;
            let after = fixture.snapshot(&id).await;
            check_effects((by, step), from, &target(cell, from), &before, &after);
            if by == "partner" {
                succeeded.insert(step);
            }
            if after != before {
                id = fixture.order_in(from).await;
                before = fixture.snapshot(&id).await;
            }
        }
        assert_eq!(
            fixture.snapshot(&id).await,
            before,
            "a refusal leaves nothing"
        );
        let allowed: BTreeSet<_> = allowed
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(allowed, succeeded, "{from}");
    }
    assert_eq!(steps_made, 5 + 5 + 1 + 4 * 6);
}

#[tokio::test]
async fn job_fails_orders_without_operator_steps_and_changes_no_other_state() {
    let mut fixture = Fixture::start().await;
    let mut orders = Vec::new();
    for state in STATES {
        let id = fixture.order_in(state).await;
        orders.push((state, fixture.snapshot(&id).await));
    }
    fixture.service.vehicle(Vehicle::dealers("encar_1")).await;
    let without_bid = fixture.acme.place_order("encar_1", None).await.id();
    orders.push(("no bid", fixture.snapshot(&without_bid).await));
    fixture.service.set_clocks_ahead(12).await;
    assert_eq!(fail_passed(&fixture.service.app).await.unwrap(), 1);
    assert_eq!(fail_passed(&fixture.service.app).await.unwrap(), 0);
    for (state, before) in orders {
        let after = fixture.snapshot(before.0["id"].as_str().unwrap()).await;
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
