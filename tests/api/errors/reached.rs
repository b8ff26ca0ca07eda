//! Every code of the catalogue is reached twice, each time in all three forms: by a request, together with a fault
//! made here if the request alone does not suffice, and by `X-Sandbox-Force`.

use std::{
    collections::BTreeSet,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::Frame;
use lmn_partner_api::{errors::catalogue::Code, orders::state_machine::Transition};
use reqwest::Method;
use serde_json::{Value, json};

use super::forms::{FORMS, same_in_all_forms};
use crate::support::{
    Ask, Document, Partner, Reply, Service, Vehicle, burst_alone, eventually, key, settings,
};

/// Faults that lead to errors which no request alone causes.
const TABLE_IS_GONE: &str = "alter table order_history rename to lost_history";
const CATALOGUE_IS_GONE: &str = "alter table catalogue rename to lost_catalogue";

/// A list that is refused while the catalogue cannot be confirmed to be current.
const LIST: &str = "/v1/vehicles?source=glovis";

/// The partners, vehicles and orders with which every error can be reached.
struct Scene {
    service: Service,
    /// An ordinary partner.
    acme: Partner,
    /// A partner that calls from an address outside its allowlist.
    outsider: Partner,
    /// A partner that has used up its limit of one read.
    hasty: Partner,
    /// An order of acme, which the operator has taken to `acquiring`.
    order: String,
    /// The idempotency key that placed the order.
    spent: String,
}

impl Scene {
    async fn set() -> Self {
        let mut settings = vec![settings::body_seconds(1)];
        settings.extend(settings::short_timeouts());
        let service = Service::with(&settings).await;
        let acme = service.partner("acme").await;
        let outsider = service.partner("outsider").await;
        let hasty = service.partner("hasty").await;
        for vehicle in [
            Vehicle::lot("taken"),
            Vehicle::lot("free"),
            Vehicle::lot("past").auction_in_hours(1),
            Vehicle::dealers("gone"),
        ] {
            service.vehicle(vehicle).await;
        }
        let spent = key();
        let placed = acme.place_order_once(&spent, "taken", 12_000).await;
        placed.created();
        let operator = service.operator();
        operator.takes(&placed.id(), &[Transition::Acquire]).await;
        service.withdraw_vehicle("gone").await;
        let db = service.db();
        outsider.allow_networks(db, &["203.0.113.0/24"]).await;
        hasty.set_read_limit(db, burst_alone(1)).await;
        service.delete_snapshots().await;
        hasty.get("/v1/orders").await.ok();
        Self {
            order: placed.id(),
            service,
            acme,
            outsider,
            hasty,
            spent,
        }
    }

    fn get(&self, path: &str) -> Ask {
        self.acme.ask(Method::GET, path)
    }

    fn order(&self, vehicle: &str, bid: Option<i64>) -> Ask {
        let body = json!({"vehicle_id": vehicle, "max_bid_amount_usd": bid});
        self.post("/v1/orders").json(&body)
    }

    fn post(&self, path: &str) -> Ask {
        self.acme.ask(Method::POST, path).key(&key())
    }

    fn report(&self, body: &Value) -> Ask {
        self.post(&format!("/v1/orders/{}/status", self.order))
            .json(body)
    }

    /// Returns the request that is answered with a code and a status. The match makes every new code add an arm.
    fn recipe(&self, code: Code, status: u16) -> Ask {
        let of_order = |rest: &str| self.get(&format!("/v1/orders/{}{rest}", self.order));
        let at = "2026-04-01T10:30:00+09:00";
        match code {
            Code::ValidationError => self.get("/v1/orders?limit=0&sort=up"),
            Code::MissingIdempotencyKey => self.acme.ask(Method::POST, "/v1/orders"),
            Code::InvalidCursor => self.get("/v1/orders?cursor=x"),
            Code::MissingMaxBid => self.order("free", None),
            Code::MissingApiKey => self.acme.with_key("").ask(Method::GET, "/v1/orders"),
            Code::InvalidApiKey => {
                let unknown = self.acme.with_key("lmn_stg_AAAAAAAAAAAAAAAAAAAAAAAAAAAA");
                unknown.ask(Method::GET, "/v1/orders")
            }
            Code::IpNotAllowed => self.outsider.ask(Method::GET, "/v1/orders"),
            Code::InvalidStatusTransition if status == 403 => {
                self.report(&json!({"status": "secured", "occurred_at": at}))
            }
            Code::InvalidStatusTransition => {
                self.report(&json!({"status": "delivered", "occurred_at": at}))
            }
            Code::VehicleNotFound => self.get("/v1/vehicles/nobodys"),
            Code::OrderNotFound => self.get("/v1/orders/nobodys"),
            Code::EventNotFound => self.get("/v1/events/nobodys"),
            Code::WebhookEndpointNotFound => self.get("/v1/webhook_endpoint"),
            // The fault: the snapshots are deleted.
            Code::OrderVehicleSnapshotNotFound => of_order("/vehicle"),
            Code::NotFound => self.get("/v1/order"),
            Code::MethodNotAllowed => self.acme.ask(Method::PATCH, "/v1/orders"),
            Code::PastOrderCutoff => self.order("past", Some(12_000)),
            Code::DuplicateOrder => self.order("taken", Some(12_000)),
            Code::VehicleUnavailable => self.order("gone", None),
            Code::PayloadTooLarge => {
                let large = json!({"x": "x".repeat(70_000)});
                self.post("/v1/orders").json(&large)
            }
            Code::UnsupportedMediaType => self.post("/v1/orders").body("vehicle_id=free"),
            Code::RequestTimeout => {
                let json = self
                    .post("/v1/orders")
                    .header("content-type", "application/json");
                json.body(reqwest::Body::wrap(Halting(Some("{\"vehicle_id\":"))))
            }
            Code::IdempotencyKeyReused => {
                let body = json!({"vehicle_id": "free", "max_bid_amount_usd": 12_000});
                let again = self.acme.ask(Method::POST, "/v1/orders").key(&self.spent);
                again.json(&body)
            }
            Code::RateLimited => self.hasty.ask(Method::GET, "/v1/orders"),
            // The fault: TABLE_IS_GONE.
            Code::InternalError => of_order("/history"),
            // The fault: CATALOGUE_IS_GONE.
            Code::ServiceUnavailable => self.get(LIST),
            Code::MissingOperatorToken
            | Code::InvalidOperatorToken
            | Code::RoleNotAllowed
            | Code::PartnerNotFound => {
                panic!("only the operator API has {code:?}")
            }
        }
    }

    /// Makes the fault that a code needs, if it needs one of its own.
    async fn break_for(&self, code: Code) {
        if code == Code::ServiceUnavailable {
            self.service.sql_elsewhere(CATALOGUE_IS_GONE).await;
            eventually("the cached catalogue is too old", async || {
                (self.acme.get(LIST).await.status == 503).then_some(())
            })
            .await;
        }
    }

    /// Sends a request in each form.
    async fn ask(&self, ask: impl Fn() -> Ask) -> [Reply; 3] {
        let [first, second, third] = FORMS.map(|form| ask().header("accept", form));
        [first.send().await, second.send().await, third.send().await]
    }
}

/// A body that begins and never ends.
struct Halting(Option<&'static str>);

impl hyper::body::Body for Halting {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let begun = self.0.take();
        begun.map_or(Poll::Pending, |it| {
            Poll::Ready(Some(Ok(Frame::data(it.into()))))
        })
    }
}

#[tokio::test]
async fn codes_are_all_reached_by_requests_and_by_force() {
    let scene = Scene::set().await;
    let document = Document::read();
    scene.service.sql(TABLE_IS_GONE).await;
    let (mut happened, mut forced) = (BTreeSet::new(), BTreeSet::new());
    for code in Code::ALL {
        scene.break_for(code).await;
        for status in code.entry().statuses {
            let place = (code.as_str(), *status);
            let replies = scene.ask(|| scene.recipe(code, *status)).await;
            let reached = same_in_all_forms(&document, &replies);
            assert_eq!((reached.as_str(), replies[0].status), place);
            happened.insert(place);

            let value = format!("{};status={status}", code.as_str());
            let force = || scene.get("/v1/orders").header("x-sandbox-force", &value);
            let replies = scene.ask(force).await;
            let reached = same_in_all_forms(&document, &replies);
            assert_eq!((reached.as_str(), replies[0].status), place);
            forced.insert(place);
        }
    }
    let codes = |reached: &BTreeSet<(&str, u16)>| -> usize {
        let codes: BTreeSet<_> = reached.iter().map(|(code, _)| *code).collect();
        codes.len()
    };
    let (all, statuses) = (Code::ALL.len(), happened.len());
    assert_eq!((codes(&happened), codes(&forced)), (all, all));
    assert_eq!(happened, forced);
    println!(
        "{all} of {all} codes (100 %), {statuses} with their statuses, by requests and by force"
    );
}
