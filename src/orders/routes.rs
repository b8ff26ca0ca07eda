//! `POST` and `GET /v1/orders`, `GET` and `DELETE /v1/orders/{id}`.

use axum::{
    Router,
    extract::{FromRequestParts, State},
    http::{StatusCode, Uri, request::Parts},
    response::Response,
    routing::get,
};
use uuid::Uuid;

use super::{
    filter::{Filter, Sort},
    model::{Order, PlaceError, place},
    state::{self, CancellationReason, OrderStatus, Owner, Refused, Step},
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
        extract::{
            Answer, Fields, FromBody, FromQuery, FromText, Json, Name, Params, Query, path_param,
        },
        page::{IDS_MAX, Page, PageQuery, Walk, read_sort},
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
    filter: Filter,
    sort: (&'static str, Sort),
    page: PageQuery,
}

impl FromQuery for ListOrders {
    fn from_query(params: &mut Params) -> Option<Self> {
        let ids = params.has("ids").then(|| {
            let ids: Vec<Name> = params.csv("ids", IDS_MAX);
            ids.iter()
                .filter_map(|Name(text)| OrderId::parse(text))
                .collect()
        });
        let filter = Filter {
            ids,
            status: params.csv("status", OrderStatus::ALL.len()),
            vehicle_id: params.get("vehicle_id").map(|Name(text)| text),
            from: params.get("from"),
            to: params.get("to"),
            idempotency_key: params.get("idempotency_key").map(|IdempotencyKey(key)| key),
        };
        if params.has("from") && !params.has("to") {
            let fault = Fault::new(IssueKind::Requires, "`from` needs `to` beside it");
            params.issues().push(fault.expected("to").at("from", None));
        }
        if filter
            .from
            .zip(filter.to)
            .is_some_and(|(from, to)| from.instant() > to.instant())
        {
            let fault = Fault::new(IssueKind::OutOfRange, "`from` is later than `to`");
            params.issues().push(fault.at("from", None));
        }
        let sort = read_sort(params, Sort::ALL);
        let page = PageQuery::read(params);
        Some(Self {
            filter,
            sort: sort?,
            page,
        })
    }
}

/// An Idempotency-Key, as a parameter.
struct IdempotencyKey(Uuid);

impl FromText for IdempotencyKey {
    fn from_text(text: &str) -> Result<Self, Fault> {
        let message = "the value must be a UUID v4 in its 36-character form";
        let fault = || Fault::new(IssueKind::InvalidFormat, message).expected("UUID v4");
        idempotency::model::read_key(text)
            .map(Self)
            .ok_or_else(fault)
    }
}

/// Lists the partner's orders.
async fn list_orders(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListOrders>,
) -> Result<Response, ApiError> {
    let ListOrders {
        filter,
        sort: (sort_name, sort),
        page,
    } = query;
    let partner = caller.partner();
    let walk = Walk {
        list: "orders",
        owner: Some(partner),
        sort: sort_name,
        filters: filter.canonical(),
    };
    let after: Option<store::Place> = page
        .cursor
        .map(|it| app.cursors().open(&walk, &it))
        .transpose()?;
    let limit = i64::try_from(page.limit).map_err(ApiError::internal)?;

    let mut connection = app.db().acquire().await?;
    let rows = store::list(
        &mut connection,
        partner,
        &filter,
        sort,
        after.as_ref(),
        limit + 1,
    )
    .await?;
    let page: Page<OrderView> = Page::of(
        rows,
        page.limit,
        |last| place_of(sort, last),
        |place| app.cursors().seal(&walk, place),
    )?;
    Ok(page.answer(&uri))
}

/// Returns where an order stands in a sort.
fn place_of(sort: Sort, order: &Order) -> store::Place {
    let time = match sort {
        Sort::CreatedDesc | Sort::CreatedAsc => Some(order.created_at),
        Sort::AuctionDateAsc => order.bid.map(|bid| bid.auction_date.instant()),
        Sort::UpdatedDesc => Some(order.updated_at),
    };
    (time.map(|it| it.timestamp_millis()), order.id.to_string())
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
