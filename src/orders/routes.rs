//! The routes of orders, and the handlers that place, read and cancel an order.

use axum::{extract::State, http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::reply,
    lists,
    model::{Market, Order, PlaceError, place},
    rendered::Rendered,
    state::{CancellationReason, Owner},
    status,
    store::{self, Placed},
    transition::Transition,
    transitions,
    view::{OrderPreview, OrderView},
};
use crate::{
    app::App,
    audit::model::Actor,
    errors::{ApiError, Asked, Fault, IssueKind},
    http::{
        describe,
        etag::Conditional,
        extract::{FromQuery, Input, Params, Query},
        fields::{Fields, FromBody},
        path::Id,
        user::UserId,
    },
    idempotency::{Attempt, Binding, PendingWrite, Reply, Write},
    request::Caller,
    values::{
        id::{OrderId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
    vehicles::{render::render, view::VehicleView},
};

/// Returns the routes of orders.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(lists::list_orders, create_order))
        .routes(routes!(get_order, cancel_order))
        .routes(routes!(get_order_vehicle))
        .routes(routes!(lists::list_order_history))
        .routes(routes!(status::report_status))
}

/// The order to place. Unknown members are ignored.
#[derive(Debug, ToSchema)]
struct CreateOrder {
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
struct DryRun(bool);

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
    (status = 201, description = "The order.", body = OrderView),
    (status = 200, description = "Dry run: the order that the request would place.", body = OrderPreview),
    (status = 400, description = "missing_max_bid"),
    (status = 404, description = "vehicle_not_found"),
    (status = 409, description = "past_order_cutoff duplicate_order"),
    (status = 410, description = "vehicle_unavailable"),
))]
async fn create_order(
    State(app): State<App>,
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
        let now = app.heartbeat().order_time() + caller.grant.clock_offset;
        pending = match place_in_one_round_trip(&app, &request, vehicle, now, pending).await? {
            Attempt::Answered(response) => return Ok(response),
            Attempt::Undecided(pending) => pending,
        };
    }
    let mut write = match pending.bind(request.vehicle.as_ref()).await? {
        Binding::Answered(response) => return Ok(response),
        Binding::Bound(write) => write,
    };

    let unknown = || ApiError::no_vehicle(&body.vehicle_id);
    let vehicle_id = write.vehicle().cloned().ok_or_else(unknown)?;
    let found = store::look(write.tx(), caller.partner(), &vehicle_id).await?;
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
    let placed = request.placed(&order, &rendered, &location, &reply);
    let key = write.key();
    render(write.tx(), [&vehicle_id]).await?;
    store::record(write.tx(), caller.partner(), key, &placed, &market).await?;
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
    fn placed(
        &'a self,
        order: &'a Order,
        rendered: &'a Rendered,
        location: &'a str,
        reply: &'a Reply,
    ) -> Placed<'a> {
        Placed {
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
    app: &App,
    request: &OrderRequest<'_>,
    vehicle: &VehicleId,
    now: DateTime<Utc>,
    pending: PendingWrite,
) -> Result<Attempt, ApiError> {
    let Some((row_version, offer)) = app.catalogue().offer(vehicle) else {
        return Ok(Attempt::Undecided(pending));
    };
    let Ok(bid) = place(&offer, request.max_bid, &Market::without_rivals(now)) else {
        return Ok(Attempt::Undecided(pending));
    };
    let order = Order::placed(OrderId::new(now), &offer, bid, now);
    let (reply, location) = placed_reply(&order)?;
    let rendered = Rendered::of(&order).map_err(ApiError::internal)?;
    let placed = request.placed(&order, &rendered, &location, &reply);
    let mut connection = app.acquire_for_write().await?;
    let claim = pending.claim();
    let outcome =
        store::place_in_one_round_trip(&mut connection, claim, row_version, &placed).await;
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

impl PlaceError {
    fn answer(self, vehicle_id: &VehicleId, now: Timestamp) -> ApiError {
        match self {
            Self::VehicleUnavailable => ApiError::VehicleUnavailable {
                vehicle_id: vehicle_id.clone(),
            },
            Self::MissingMaxBid {
                listing_usd,
                received,
            } => ApiError::MissingMaxBid {
                listing_usd,
                received,
            },
            Self::BidOnBuyNow(number) => {
                let message = "this vehicle is sold at its price and takes no bid";
                let fault = Fault::new(IssueKind::InvalidValue, message).expected("null");
                fault
                    .at("max_bid_amount_usd", Some(&number.to_string()))
                    .into()
            }
            Self::PastCutoff { cutoff_at } => ApiError::PastOrderCutoff { cutoff_at, now },
            Self::Duplicate(existing_order_id) => ApiError::DuplicateOrder { existing_order_id },
        }
    }
}

/// Cancels an order that LMN has not acted on yet.
///
/// Only an order in `proceed` can be cancelled. A request body is ignored.
#[utoipa::path(delete, path = "/v1/orders/{id}", tag = "orders", params(Id::<OrderId>), responses(
    (status = 200, description = "The cancelled order.", body = OrderView),
    (status = 404, description = "order_not_found"),
    (status = 409, description = "invalid_status_transition"),
))]
async fn cancel_order(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let cancel = Transition::Cancel(CancellationReason::PartnerCancelled);
    let tx = write.tx();
    let held = transitions::hold(tx, Some(caller.partner()), id).await?;
    let mut held = held.ok_or_else(|| ApiError::no_order(id))?;
    transitions::advance(tx, &caller.actor(), &mut held, &cancel, Owner::Partner)
        .await
        .map_err(|error| ApiError::from(error).requesting(cancel.word()))?;
    write.commit(reply(StatusCode::OK, held.order)?).await
}

/// Returns one order.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders", params(Id::<OrderId>, Conditional), responses(
    (status = 200, description = "The order.", body = OrderView),
    (status = 404, description = "order_not_found"),
))]
async fn get_order(
    State(app): State<App>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let order = app.reads().orders.read((caller.partner(), id)).await?;
    let order = order.ok_or_else(|| ApiError::no_order(id))?;
    conditional.answer_bytes(order.into_bytes())
}

/// Returns the vehicle as it was when the order was placed.
#[utoipa::path(get, path = "/v1/orders/{id}/vehicle", tag = "orders", params(Id::<OrderId>, Conditional), responses(
    (status = 200, description = "The vehicle.", body = VehicleView),
    (status = 404, description = "order_not_found order_vehicle_snapshot_not_found"),
))]
async fn get_order_vehicle(
    State(app): State<App>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let mut connection = app.acquire().await?;
    let found = store::find_snapshot(&mut connection, caller.partner(), id).await?;
    let snapshot = found
        .ok_or_else(|| ApiError::no_order(id))?
        .ok_or_else(|| ApiError::OrderVehicleSnapshotNotFound(Asked::new(id)))?;
    conditional.answer_bytes(snapshot.into())
}
