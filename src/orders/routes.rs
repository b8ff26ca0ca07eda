//! `POST` and `GET /v1/orders`, `GET` and `DELETE /v1/orders/{id}`, and what an order keeps: its car and its history.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};

use super::{
    advance::Advance,
    answer::reply,
    lists::{list_order_history, list_orders},
    model::{Order, PlaceError, place},
    progress,
    state::{CancellationReason, Owner},
    status::report_status,
    store::{self, Placed},
    view::OrderView,
};
use crate::{
    app::App,
    error::{ApiError, Fault, IssueKind},
    gate::{
        caller::Caller,
        idempotency::{Reply, Write},
    },
    http::{
        etag::Conditional,
        extract::{FromQuery, Input, Params, Path, Query},
        fields::{Fields, FromBody},
        user::UserId,
    },
    id::{OrderId, VehicleId},
    money::Usd,
    stamp::Stamp,
    vehicles::view::VehicleView,
};

/// Routes of this feature.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/v1/orders", get(list_orders).post(create_order))
        .route("/v1/orders/{id}", get(get_order).delete(cancel_order))
        .route("/v1/orders/{id}/vehicle", get(get_order_vehicle))
        .route("/v1/orders/{id}/history", get(list_order_history))
        .route("/v1/orders/{id}/status", post(report_status))
}

/// What `POST /v1/orders` takes, besides the car: that one is locked already when the handler begins.
#[derive(Debug)]
struct CreateOrder {
    max_bid_amount_usd: Option<i64>,
}

impl FromBody for CreateOrder {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let vehicle_id = fields.text("vehicle_id");
        let max_bid_amount_usd =
            fields.optional_integer("max_bid_amount_usd", Usd::MAX.dollars().into());
        vehicle_id.map(|_| Self { max_bid_amount_usd })
    }
}

/// `?dry_run=true`: make all checks and store nothing.
#[derive(Debug)]
struct DryRun(bool);

impl FromQuery for DryRun {
    fn from_query(params: &mut Params) -> Option<Self> {
        params.dry_run().map(Self)
    }
}

/// Places an order, or tries to.
async fn create_order(
    caller: Caller,
    mut write: Write,
    Input(DryRun(dry_run), body): Input<DryRun, CreateOrder>,
    UserId(user): UserId,
) -> Result<Response, ApiError> {
    let vehicle_id = write.car().cloned().ok_or(ApiError::VehicleNotFound)?;
    let found = store::look(write.tx(), caller.partner(), &vehicle_id).await?;
    let (vehicle, history, market) = found.ok_or(ApiError::VehicleNotFound)?;

    let bid = place(&vehicle, body.max_bid_amount_usd, &market)
        .map_err(|refused| refused.answer(&vehicle_id, Stamp::kst(market.now)))?;
    let order = Order::placed(OrderId::new(market.now), &vehicle, bid, market.now);
    if dry_run {
        let reply = Reply::json(StatusCode::OK, &OrderView::trial(order))?;
        return Ok(write.discard(reply));
    }

    let snapshot =
        serde_json::to_string(&VehicleView::new(vehicle, history)).map_err(ApiError::internal)?;
    let mut reply = reply(StatusCode::CREATED, order.clone())?;
    let location = format!("/v1/orders/{}", order.id);
    let placed = Placed {
        order: &order,
        user: user.as_deref(),
        vehicle: &snapshot,
        key: write.key(),
        location: &location,
        reply: &reply.body,
    };
    store::record(write.tx(), caller.partner(), &caller.author(), &placed).await?;
    reply.location = Some(location);
    write.commit_completed(reply).await
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
async fn cancel_order(
    caller: Caller,
    mut write: Write,
    _: Query<()>,
    Path(id): Path<OrderId>,
) -> Result<Response, ApiError> {
    let cancel = Advance::Cancel(CancellationReason::PartnerCancelled);
    let tx = write.tx();
    let held = progress::hold(tx, Some(caller.partner()), id).await?;
    let mut held = held.ok_or(ApiError::OrderNotFound)?;
    progress::advance(tx, &caller.author(), &mut held, &cancel, Owner::Partner).await?;
    write.commit(reply(StatusCode::OK, held.order)?).await
}

/// Shows one order.
async fn get_order(
    State(app): State<App>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Path(id): Path<OrderId>,
) -> Result<Response, ApiError> {
    let mut connection = app.db().acquire().await?;
    let order = store::find(&mut connection, caller.partner(), id).await?;
    conditional.answer(&OrderView::from(order.ok_or(ApiError::OrderNotFound)?))
}

/// Shows the car as it was when it was ordered.
async fn get_order_vehicle(
    State(app): State<App>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Path(id): Path<OrderId>,
) -> Result<Response, ApiError> {
    let mut connection = app.db().acquire().await?;
    let found = store::find_snapshot(&mut connection, caller.partner(), id).await?;
    let snapshot = found
        .ok_or(ApiError::OrderNotFound)?
        .ok_or(ApiError::OrderVehicleSnapshotNotFound)?;
    conditional.answer_bytes(snapshot.into())
}
