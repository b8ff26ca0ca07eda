//! Handlers that place, cancel and report on an order.

use axum::{extract::State, http::StatusCode, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    locked_order::Report,
    model::Order,
    placing::{Market, place},
    state_machine::{
        CancellationReason, FulfillmentDetail, OrderStatus, Owner, Refused, Transition,
    },
    store::{self, NewOrder},
    transitions::{self, TransitionFailed},
    view::{OrderView, PlacedOrder, Rendered},
};
use crate::{
    audit::Actor,
    database::{Database, Heartbeat, clock},
    errors::{ApiError, Fault, IssueKind},
    http::{
        body::Input,
        describe,
        extract::{FromQuery, Id, Params, Query},
        fields::{Fields, FromBody},
        headers::UserId,
    },
    idempotency::{Attempt, Binding, PendingWrite, Reply, Write},
    request::Caller,
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
    vehicles::{model::Offer, render::render, search::Catalogue},
};

/// Maximum time by which a report may be ahead of the partner's time, because clocks differ.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);
/// Maximum characters of the notes.
const NOTES_CHARACTERS_MAX: usize = 2_000;

/// The order to place. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct CreateOrder {
    /// The vehicle to order.
    #[schema(value_type = VehicleId)]
    vehicle_id: String,
    /// The maximum amount that you pay, in whole US dollars. Required for an auction lot, and at least
    /// `pricing.listing_usd`; null or omitted for a buy-now vehicle.
    #[schema(value_type = Option<Usd>)]
    max_bid_amount_usd: Option<i64>,
}

impl FromBody for CreateOrder {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let vehicle_id = fields.text("vehicle_id");
        let max_bid_amount_usd =
            fields.optional_integer("max_bid_amount_usd", Usd::MAX.dollars().into());
        Some(Self {
            vehicle_id: vehicle_id?,
            max_bid_amount_usd,
        })
    }
}

/// The query parameter `dry_run`: whether to run all checks and store nothing.
#[derive(Debug)]
pub(crate) struct DryRun(bool);

impl FromQuery for DryRun {
    fn from_query(params: &mut Params) -> Option<Self> {
        params.dry_run().map(Self)
    }
}

impl IntoParams for DryRun {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = "`true`: run all checks, with the same errors, but store nothing and leave the key free. No other \
                    operation takes this parameter.";
        vec![describe::query::<bool>("dry_run", text)]
    }
}

/// Places an order.
///
/// For an auction lot, an order is a maximum bid; for a buy-now vehicle, a purchase. It is a commitment, not a payment.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", params(DryRun), request_body = CreateOrder, responses(
    (status = 201, description = "The order.", body = PlacedOrder),
    (status = 200, description = "Dry run: the order that the request would place.", body = PlacedOrder),
    (status = 400, description = "missing_max_bid"),
    (status = 404, description = "vehicle_not_found"),
    (status = 409, description = "past_order_cutoff duplicate_order"),
    (status = 410, description = "vehicle_unavailable"),
))]
pub(crate) async fn create_order(
    State(database): State<Database>,
    State(heartbeat): State<Heartbeat>,
    State(catalogue): State<Catalogue>,
    caller: Caller,
    Input(DryRun(dry_run), body): Input<DryRun, CreateOrder>,
    UserId(user): UserId,
    mut pending: PendingWrite,
) -> Result<Response, ApiError> {
    let request = OrderRequest {
        vehicle: VehicleId::parse(&body.vehicle_id),
        max_bid: body.max_bid_amount_usd,
        user: user.as_deref(),
        actor: &caller.actor(),
    };
    if let Some(vehicle) = request.vehicle.as_ref().filter(|_| !dry_run) {
        let now = heartbeat.order_time() + caller.grant.clock_offset;
        let offer = catalogue.offer(vehicle);
        let partner = caller.partner();
        let placing = place_in_one_round_trip(&database, partner, &request, offer, now, pending);
        pending = match placing.await? {
            Attempt::Answered(response) => return Ok(response),
            Attempt::Undecided(pending) => pending,
        };
    }
    let mut write = match pending.bind(request.vehicle.as_ref()).await? {
        Binding::Answered(response) => return Ok(response),
        Binding::Bound(write) => *write,
    };
    let unknown = || ApiError::no_vehicle(&body.vehicle_id);
    let vehicle_id = write.vehicle().cloned().ok_or_else(unknown)?;
    let found = store::find_market(write.tx(), caller.partner(), &vehicle_id).await?;
    let (offer, market) = found.ok_or_else(unknown)?;
    let bid = place(&offer, request.max_bid, &market)
        .map_err(|refused| refused.answer(&vehicle_id, Timestamp::kst(market.now)))?;
    let order = Order::placed(OrderId::new(market.now), &offer, bid, market.now);
    if dry_run {
        let reply = Reply::json(StatusCode::OK, &OrderView::trial(order))?;
        return Ok(write.discard(reply));
    }
    let (reply, location) = placed_reply(&order)?;
    let rendered = Rendered::of(&order).map_err(ApiError::internal)?;
    let new = request.order(&order, &rendered, &location, &reply);
    let key = write.key();
    render(write.tx(), [&vehicle_id]).await?;
    store::record_order(write.tx(), caller.partner(), key, &new, &market).await?;
    write.commit_completed(reply).await
}

/// A partner's request to place an order.
struct OrderRequest<'a> {
    /// `None` if the text that was sent is not a vehicle id.
    vehicle: Option<VehicleId>,
    max_bid: Option<i64>,
    user: Option<&'a str>,
    actor: &'a Actor,
}

impl<'a> OrderRequest<'a> {
    /// Returns the order to record.
    fn order(
        &'a self,
        order: &'a Order,
        rendered: &'a Rendered,
        location: &'a str,
        reply: &'a Reply,
    ) -> NewOrder<'a> {
        NewOrder {
            order,
            actor: self.actor,
            user: self.user,
            rendered,
            location,
            reply: &reply.body,
        }
    }
}

/// Tries to place an order in one round trip.
///
/// It decides on the catalogue in memory, assuming that no other partner bid as much. The statement verifies both.
/// If the order cannot be placed like this, it is decided again under the vehicle's lock: every refusal is made there.
async fn place_in_one_round_trip(
    database: &Database,
    partner: PartnerId,
    request: &OrderRequest<'_>,
    offer: Option<(u32, Offer)>,
    now: DateTime<Utc>,
    pending: PendingWrite,
) -> Result<Attempt, ApiError> {
    let Some((row_version, offer)) = offer else {
        return Ok(Attempt::Undecided(pending));
    };
    let Ok(bid) = place(&offer, request.max_bid, &Market::without_rivals(now)) else {
        return Ok(Attempt::Undecided(pending));
    };
    let order = Order::placed(OrderId::new(now), &offer, bid, now);
    let (reply, location) = placed_reply(&order)?;
    let rendered = Rendered::of(&order).map_err(ApiError::internal)?;
    let new = request.order(&order, &rendered, &location, &reply);
    let mut connection = database.acquire_for_write().await?;
    let claim = pending.claim();
    let placing =
        store::place_in_one_round_trip(&mut connection, partner, claim, row_version, &new);
    let outcome = placing.await;
    drop(connection);
    pending
        .conclude(outcome, reply, store::DECISION_AGE_MAX)
        .await
}

/// Returns the reply to a placed order, and its `Location`.
fn placed_reply(order: &Order) -> Result<(Reply, String), ApiError> {
    let location = format!("/v1/orders/{}", order.id);
    let mut reply = reply(StatusCode::CREATED, order.clone())?;
    reply.location = Some(location.clone());
    Ok((reply, location))
}

/// Returns the reply to a write that placed or changed an order.
pub(crate) fn reply(status: StatusCode, order: Order) -> Result<Reply, ApiError> {
    let id = order.id;
    let mut reply = Reply::json(status, &OrderView::from(order))?;
    reply.order = Some(id);
    Ok(reply)
}

/// Cancels an order that LMN has not acted on yet.
///
/// Only an order in `proceed` can be cancelled. A request body is ignored.
#[utoipa::path(delete, path = "/v1/orders/{id}", tag = "orders", params(Id::<OrderId>), responses(
    (status = 200, description = "The cancelled order.", body = OrderView),
    (status = 404, description = "order_not_found"),
    (status = 409, description = "invalid_status_transition"),
))]
pub(crate) async fn cancel_order(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let cancel = Transition::Cancel(CancellationReason::PartnerCancelled);
    let tx = write.tx();
    let locked = transitions::lock(tx, Some(caller.partner()), id).await?;
    let mut locked = locked.ok_or_else(|| ApiError::no_order(id))?;
    transitions::apply(tx, &caller.actor(), &mut locked, &cancel, Owner::Partner)
        .await
        .map_err(|error| ApiError::from(error).requesting(cancel.name()))?;
    write.commit(reply(StatusCode::OK, locked.order)?).await
}

/// The body of a report.
#[derive(Debug)]
pub(crate) struct ReportStatus {
    reported: Reported,
    report: Report,
}

/// The reported status or sub-status.
#[derive(Debug, Clone, Copy)]
enum Reported {
    Status(OrderStatus),
    Fulfillment(FulfillmentDetail),
}

impl Reported {
    /// Returns the transition, or `None` for a status or sub-status that only LMN sets, whatever the order's state.
    fn transition(self) -> Option<Transition> {
        match self {
            Self::Status(OrderStatus::Delivered) => Some(Transition::Deliver),
            Self::Fulfillment(
                detail @ (FulfillmentDetail::InTransit | FulfillmentDetail::Customs),
            ) => Some(Transition::Fulfill(detail)),
            Self::Status(_) | Self::Fulfillment(_) => None,
        }
    }
}

impl FromBody for ReportStatus {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.exactly_one(&["status", "fulfillment_detail"]);
        let status = fields.optional_word("status").map(Reported::Status);
        let fulfillment = fields.optional_word("fulfillment_detail");
        let occurred_at = fields.timestamp("occurred_at");
        let notes = fields.optional_text("notes", NOTES_CHARACTERS_MAX);
        Some(Self {
            reported: status.or(fulfillment.map(Reported::Fulfillment))?,
            report: Report {
                occurred_at: occurred_at?,
                notes,
            },
        })
    }
}

/// The report: exactly one of `status` and `fulfillment_detail`. Unknown members are ignored.
#[derive(ToSchema)]
#[schema(as = ReportStatus)]
#[expect(dead_code, reason = "schema only, read by `ReportStatus`")]
struct ReportShape {
    /// `delivered`. Only LMN sets the other statuses.
    status: Option<OrderStatus>,
    /// `in_transit` or `customs`, in either order or not at all. Only LMN sets the other sub-statuses.
    fulfillment_detail: Option<FulfillmentDetail>,
    /// When it happened, with the UTC offset of the place; at most 5 minutes ahead of the current time.
    occurred_at: Timestamp,
    /// Notes for the history of the order.
    #[schema(max_length = 2000)]
    notes: Option<String>,
}

/// Reports the sub-status of a shipping order, or its delivery.
///
/// Repeating the current sub-status changes nothing.
#[utoipa::path(post, path = "/v1/orders/{id}/status", tag = "orders", params(Id::<OrderId>), request_body = ReportShape,
    responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 403, description = "invalid_status_transition"),
        (status = 404, description = "order_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn report_status(
    caller: Caller,
    mut write: Write,
    Input((), body): Input<(), ReportStatus>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let (tx, ReportStatus { reported, report }) = (write.tx(), body);
    let now = clock::now(tx, caller.partner()).await?;
    if report.occurred_at.instant() > now + AHEAD_MAX {
        return Err(from_the_future(report.occurred_at));
    }
    let locked = transitions::lock(tx, Some(caller.partner()), id).await?;
    let mut locked = locked.ok_or_else(|| ApiError::no_order(id))?;
    let transition = reported.transition();
    let transition = transition.ok_or_else(|| Refused::NotAuthorized.answer(locked.order.state))?;
    locked
        .apply_reported(&transition, Owner::Partner, report)
        .map_err(TransitionFailed::from)
        .map_err(|error| ApiError::from(error).requesting(transition.name()))?;
    transitions::record(tx, &caller.actor(), std::slice::from_ref(&locked)).await?;
    write.commit(reply(StatusCode::OK, locked.order)?).await
}

fn from_the_future(occurred_at: Timestamp) -> ApiError {
    let message = "`occurred_at` is more than 5 minutes ahead of the current time";
    let fault = Fault::new(IssueKind::OutOfRange, message);
    let issue = fault.at("occurred_at", Some(&occurred_at.to_string()));
    issue.into()
}
