//! `POST` and `GET /v1/orders`, `GET` and `DELETE /v1/orders/{id}`.

use axum::{
    Router,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::Response,
    routing::get,
};
use chrono::DateTime;
use uuid::Uuid;

use super::{
    model::{Order, PlaceError, place},
    state::{self, CancellationReason, Owner, Refused, Step},
    store::{self, Author},
    view::OrderView,
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
        extract::{Answer, Fields, FromBody, FromQuery, Json, Params, Query, path_param},
        page::{Page, PageQuery, Walk},
    },
    id::{OrderId, VehicleId},
    money::Usd,
    stamp::Stamp,
    vehicles::{self, view::VehicleView},
    word::Word,
};

/// Routes of this feature.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/v1/orders", get(list_orders).post(create_order))
        .route("/v1/orders/{id}", get(get_order).delete(cancel_order))
}

/// What `POST /v1/orders` takes.
#[derive(Debug)]
struct CreateOrder {
    vehicle_id: String,
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
async fn get_order(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
) -> Result<Answer<OrderView>, ApiError> {
    let mut connection = app.db().acquire().await?;
    let order = store::find(&mut connection, caller.partner(), id).await?;
    order
        .map(|order| Answer(order.into()))
        .ok_or(ApiError::OrderNotFound)
}

/// What `GET /v1/orders` takes.
#[derive(Debug)]
struct ListOrders {
    idempotency_key: Option<Uuid>,
    page: PageQuery,
}

impl FromQuery for ListOrders {
    fn from_query(params: &mut Params) -> Option<Self> {
        let key = params.text("idempotency_key");
        let idempotency_key = key.as_deref().and_then(idempotency::model::read_key);
        if let (Some(text), None) = (&key, idempotency_key) {
            let message = "`idempotency_key` must be a UUID v4 in its 36-character form";
            params.complain(
                "idempotency_key",
                text,
                Fault::new(IssueKind::InvalidFormat, message).expected("UUID v4"),
            );
        }
        Some(Self {
            idempotency_key,
            page: PageQuery::read(params),
        })
    }
}

/// Lists the partner's orders, newest first, or the one that an Idempotency-Key touched.
async fn list_orders(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListOrders>,
) -> Result<Answer<Page<OrderView>>, ApiError> {
    let partner = caller.partner();
    let filters = query
        .idempotency_key
        .map(|key| format!("idempotency_key={key}"))
        .unwrap_or_default();
    let walk = Walk {
        list: "orders",
        owner: Some(partner),
        sort: "created_desc",
        filters,
    };
    let after: Option<(i64, String)> = query
        .page
        .cursor
        .map(|it| app.cursors().open(&walk, &it))
        .transpose()?;
    let place = after
        .and_then(|(at, id)| Some((DateTime::from_timestamp_millis(at)?, OrderId::parse(&id)?)));
    let limit = i64::try_from(query.page.limit).map_err(ApiError::internal)?;

    let mut connection = app.db().acquire().await?;
    let rows = match query.idempotency_key {
        Some(key) => store::find_by_key(&mut connection, partner, key)
            .await?
            .into_iter()
            .collect(),
        None => store::list(&mut connection, partner, place, limit + 1).await?,
    };
    Page::of(
        rows,
        query.page.limit,
        |last| (last.created_at.timestamp_millis(), last.id.to_string()),
        |position| app.cursors().seal(&walk, position),
    )
    .map(Answer)
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
struct OrderPath(OrderId);

impl<S: Send + Sync> FromRequestParts<S> for OrderPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_param(parts, state, "id").await;
        let id = text.as_deref().and_then(OrderId::parse);
        id.map(Self).ok_or(ApiError::OrderNotFound)
    }
}
