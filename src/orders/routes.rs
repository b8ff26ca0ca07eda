//! `POST` and `GET /v1/orders`, `GET` and `DELETE /v1/orders/{id}`, and what an order keeps: its car and its history.

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    lists,
    model::{Order, PlaceError, place},
    state::{self, CancellationReason, Owner, Refused, Step},
    store::{self, Author},
    view::{OrderPreview, OrderView},
};
use crate::{
    app::App,
    clock,
    error::{ApiError, Fault, IssueKind, Refusal},
    gate::{
        caller::Caller,
        idempotency::{self, Write},
    },
    http::{
        describe,
        etag::Conditional,
        extract::{Fields, FromBody, Json, path_param},
    },
    id::{OrderId, VehicleId},
    money::Usd,
    stamp::Stamp,
    vehicles::{self, view::VehicleView},
    word::Word,
};

/// Routes of this feature.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(lists::list_orders, create_order))
        .routes(routes!(get_order, cancel_order))
        .routes(routes!(get_order_vehicle))
        .routes(routes!(lists::list_order_history))
}

/// What to order. Unknown members are ignored.
#[derive(Debug, ToSchema)]
struct CreateOrder {
    /// The car.
    #[schema(value_type = VehicleId)]
    vehicle_id: String,
    /// The most you pay, in whole US dollars. An auction lot needs it, at least `pricing.listing_usd`; for a buy-now car
    /// it is null or left out.
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

/// Places an order.
///
/// For an auction lot an order is a bid ceiling, for a buy-now car a purchase. It is a commitment, not a payment
/// (contract, section 7).
#[utoipa::path(post, path = "/v1/orders", tag = "orders",
    params(("dry_run" = Option<bool>, Query, description = "`true`: all checks and the same errors, but nothing is \
        stored and the key stays free. No other operation takes it.")),
    responses(
    (status = 201, description = "The order.", body = OrderView),
    (status = 200, description = "A dry run: the order as it would be.", body = OrderPreview),
    (status = 400, description = "missing_max_bid"),
    (status = 404, description = "vehicle_not_found"),
    (status = 409, description = "past_order_cutoff duplicate_order"),
    (status = 410, description = "vehicle_unavailable"),
))]
async fn create_order(
    caller: Caller,
    mut write: Write,
    Json(body): Json<CreateOrder>,
) -> Result<Response, ApiError> {
    let vehicle_id = VehicleId::parse(&body.vehicle_id).ok_or(ApiError::VehicleNotFound)?;
    let tx = write.tx();
    if !vehicles::store::lock(tx, &vehicle_id).await? {
        return Err(ApiError::VehicleNotFound);
    }
    let found = vehicles::store::find_any(tx, &vehicle_id).await?;
    let (vehicle, history) = found.ok_or(ApiError::VehicleNotFound)?;
    let market = store::look(tx, caller.partner(), &vehicle_id).await?;

    let bid = place(&vehicle, body.max_bid_amount_usd, &market)
        .map_err(|refused| refused.answer(&vehicle_id, Stamp::kst(market.now)))?;
    let order = Order::placed(OrderId::new(market.now), &vehicle, bid, market.now);

    let snapshot =
        serde_json::to_string(&VehicleView::new(vehicle, history)).map_err(ApiError::internal)?;
    store::record(tx, &author(&caller), &order, &snapshot).await?;
    let mut reply = reply(StatusCode::CREATED, order)?;
    reply.location = reply.order.map(|id| format!("/v1/orders/{id}"));
    write.commit(reply).await
}

impl PlaceError {
    fn answer(self, vehicle_id: &VehicleId, now: Stamp) -> ApiError {
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

/// Cancels an order on which LMN has not acted yet.
///
/// Only an order in `proceed` can be cancelled. A body is ignored.
#[utoipa::path(delete, path = "/v1/orders/{id}", tag = "orders", params(OrderPath), responses(
    (status = 200, description = "The order, cancelled.", body = OrderView),
    (status = 404, description = "order_not_found"),
    (status = 409, description = "invalid_status_transition"),
))]
async fn cancel_order(
    caller: Caller,
    mut write: Write,
    OrderPath(id): OrderPath,
) -> Result<Response, ApiError> {
    let reason = CancellationReason::PartnerCancelled;
    let tx = write.tx();
    if !store::lock(tx, caller.partner(), id).await? {
        return Err(ApiError::OrderNotFound);
    }
    let found = store::find(tx, caller.partner(), id).await?;
    let mut order = found.ok_or(ApiError::OrderNotFound)?;
    let now = clock::store::now(tx, caller.partner()).await?;

    order.state = order
        .state
        .step(Step::Cancel(reason), Owner::Partner)
        .map_err(|refused| refused.answer(order.state))?;
    order.cancellation_reason = Some(reason);
    order.updated_at = now;

    store::record_cancelled(tx, &author(&caller), &order, reason).await?;
    write.commit(reply(StatusCode::OK, order)?).await
}

impl Refused {
    fn answer(self, state: state::State) -> ApiError {
        let refusal = Refusal {
            current_status: state.status.as_str(),
            current_fulfillment_detail: state.fulfillment.map(Word::as_str),
            allowed_actions: state
                .allowed_actions()
                .into_iter()
                .map(Word::as_str)
                .collect(),
        };
        match self {
            Self::NotYours => ApiError::NotThePartnersStep(refusal),
            Self::OutOfSequence => ApiError::OutOfSequence(refusal),
        }
    }
}

/// Shows one order.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders", params(OrderPath, Conditional), responses(
    (status = 200, description = "The order.", body = OrderView),
    (status = 404, description = "order_not_found"),
))]
async fn get_order(
    State(app): State<App>,
    caller: Caller,
    conditional: Conditional,
    OrderPath(id): OrderPath,
) -> Result<Response, ApiError> {
    let mut connection = app.db().acquire().await?;
    let order = store::find(&mut connection, caller.partner(), id).await?;
    conditional.answer(&OrderView::from(order.ok_or(ApiError::OrderNotFound)?))
}

/// Shows the car as it was when it was ordered.
#[utoipa::path(get, path = "/v1/orders/{id}/vehicle", tag = "orders", params(OrderPath, Conditional), responses(
    (status = 200, description = "The car.", body = VehicleView),
    (status = 404, description = "order_not_found order_vehicle_snapshot_not_found"),
))]
async fn get_order_vehicle(
    State(app): State<App>,
    caller: Caller,
    conditional: Conditional,
    OrderPath(id): OrderPath,
) -> Result<Response, ApiError> {
    let mut connection = app.db().acquire().await?;
    let found = store::find_snapshot(&mut connection, caller.partner(), id).await?;
    let snapshot = found
        .ok_or(ApiError::OrderNotFound)?
        .ok_or(ApiError::OrderVehicleSnapshotNotFound)?;
    conditional.answer_bytes(snapshot.into())
}

fn reply(status: StatusCode, order: Order) -> Result<idempotency::Reply, ApiError> {
    let id = order.id;
    let reply = idempotency::Reply::json(status, &OrderView::from(order))?;
    Ok(idempotency::Reply {
        order: Some(id),
        ..reply
    })
}

fn author(caller: &Caller) -> Author {
    Author {
        partner: caller.partner(),
        actor: caller.actor(),
        request_id: caller.request_id,
    }
}

/// The `{id}` of a path; text that cannot be an id names nobody's order.
pub(super) struct OrderPath(pub(super) OrderId);

impl<S: Send + Sync> FromRequestParts<S> for OrderPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_param(parts, state, "id").await;
        let id = text.as_deref().and_then(OrderId::parse);
        id.map(Self).ok_or(ApiError::OrderNotFound)
    }
}

impl IntoParams for OrderPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![describe::path::<OrderId>("id", "The order's id.")]
    }
}
