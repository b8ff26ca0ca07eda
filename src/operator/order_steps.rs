//! `POST /operator/v1/orders/{id}/…` and `POST /operator/v1/shipments`: one step of an order, the correction of its amounts,
//! and the shipments of many orders.

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa::ToSchema;

use super::{
    authentication::NeededRole,
    rows::{BulkReply, BulkRow, Rows, record_rows},
};
use crate::{
    audit::Actor,
    database::Database,
    errors::ApiError,
    http::{
        body::Input,
        extract::Id,
        fields::{Fields, FromBody},
    },
    idempotency::{PendingWrite, Write},
    operators::model::Role,
    orders::{
        bulk::{self, Effect},
        handlers::reply,
        operator::{self, AuctionError},
        refusals::refuse,
        state_machine::{
            CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, ShipmentChange,
            Transition,
        },
        view::OrderView,
    },
    request::OperatorCaller,
    sandbox::orders::{ShipmentUpdate, read_fulfillment, read_step},
    values::{
        id::OrderId,
        money::{FEE_MAX, Usd},
        timestamp::Timestamp,
    },
    vehicles::search::Catalogue,
};

/// The member that has the price in the requests of this file.
const PRICE: &str = "purchase_price_usd";

/// The step to another status.
#[derive(Debug)]
pub(crate) struct Advance(Transition);

impl FromBody for Advance {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["status"]);
        read_step(fields).map(Self)
    }
}

/// The new status, with what belongs to it. Unknown members are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `Advance`")]
struct AdvanceOrder {
    /// `acquiring`, `secured`, `shipping`, `cancelled` or `failed`.
    status: OrderStatus,
    /// The price that LMN paid, at most the bid. Required with `secured`, not allowed otherwise.
    purchase_price_usd: Option<Usd>,
    /// The fee of the auction house. Required with `secured`, not allowed otherwise.
    #[schema(minimum = 0, maximum = 10_000_000)]
    auction_fee_usd: Option<i32>,
    /// Required with `failed`, not allowed otherwise.
    failure_reason: Option<FailureReason>,
    /// Required with `cancelled`, not allowed otherwise.
    cancellation_reason: Option<CancellationReason>,
}

/// Moves an order to another status. `shipping` needs the role `logistics`, any other status the role `trader`.
///
/// Securing a buy-now vehicle withdraws it and fails its other open orders. The other orders on an auction lot stay
/// unchanged: the result of its auction ends them.
#[utoipa::path(post, path = "/operator/v1/orders/{id}/advance", tag = "orders", params(Id::<OrderId>),
    request_body = AdvanceOrder, responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 403, description = "role_not_allowed"),
        (status = 404, description = "order_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn advance_order(
    State(catalogue): State<Catalogue>,
    caller: OperatorCaller,
    write: Write,
    Input((), Advance(step)): Input<(), Advance>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let needed = match matches!(step, Transition::Ship) {
        true => Role::Logistics,
        false => Role::Trader,
    };
    NeededRole(needed).check(&caller.operator)?;
    let answer = make_step(&caller, write, id, &step).await;
    // A buy-now vehicle that was bought is withdrawn: from here on, this replica does not show it.
    if matches!(step, Transition::Secure { .. }) {
        catalogue.note_own_change();
    }
    answer
}

async fn make_step(
    caller: &OperatorCaller,
    mut write: Write,
    id: OrderId,
    step: &Transition,
) -> Result<Response, ApiError> {
    let made = operator::make_step(write.tx(), &caller.actor(), id, step).await;
    let (order, _) =
        made.map_err(|error| refuse(error, &id.to_string(), PRICE).requesting(step.name()))?;
    write.commit(reply(StatusCode::OK, order)?).await
}

/// The new sub-status.
#[derive(Debug)]
pub(crate) struct Fulfillment(Transition);

impl FromBody for Fulfillment {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["fulfillment_detail"]);
        read_fulfillment(fields).map(Self)
    }
}

/// The new sub-status. Unknown members are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `Fulfillment`")]
struct FulfillOrder {
    /// `export_processing` or `awaiting_pickup`; the partner reports the others.
    fulfillment_detail: FulfillmentDetail,
}

/// Sets the sub-status of an order that ships.
#[utoipa::path(post, path = "/operator/v1/orders/{id}/fulfillment", tag = "orders", params(Id::<OrderId>),
    request_body = FulfillOrder, responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 404, description = "order_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn set_fulfillment(
    caller: OperatorCaller,
    write: Write,
    Input((), Fulfillment(step)): Input<(), Fulfillment>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    make_step(&caller, write, id, &step).await
}

/// Changes the shipment of an order that ships.
#[utoipa::path(post, path = "/operator/v1/orders/{id}/shipment", tag = "orders", params(Id::<OrderId>),
    request_body = ShipmentUpdate, responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 404, description = "order_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn change_shipment(
    caller: OperatorCaller,
    write: Write,
    Input((), change): Input<(), ShipmentChange>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    make_step(&caller, write, id, &Transition::Shipment(change)).await
}

/// The corrected amounts. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct CorrectAmounts {
    /// The price that LMN paid, at most the bid.
    purchase_price_usd: Usd,
    /// The fee of the auction house.
    #[schema(minimum = 0, maximum = 10_000_000)]
    auction_fee_usd: i32,
}

impl FromBody for CorrectAmounts {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let fee = "auction_fee_usd";
        fields.require(&[PRICE, fee]);
        let purchase_price_usd = fields.optional_usd(PRICE);
        let auction_fee_usd = fields.optional_integer_in(fee, 0..=FEE_MAX);
        Some(Self {
            purchase_price_usd: purchase_price_usd?,
            auction_fee_usd: i32::try_from(auction_fee_usd?).ok()?,
        })
    }
}

/// Corrects the amounts of an order that is `secured` or later.
///
/// Its partner gets the event `order.amounts_corrected`. Amounts that are equal to the present ones change nothing.
#[utoipa::path(post, path = "/operator/v1/orders/{id}/amounts", tag = "orders", params(Id::<OrderId>),
    request_body = CorrectAmounts, responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 404, description = "order_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn correct_amounts(
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), CorrectAmounts>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let amounts = (body.purchase_price_usd, body.auction_fee_usd);
    let order = operator::correct_amounts(write.tx(), &caller.actor(), id, amounts).await;
    let order =
        order.map_err(|error| refuse(error, &id.to_string(), PRICE).requesting("amounts"))?;
    write.commit(reply(StatusCode::OK, order)?).await
}

/// The shipment of one order.
#[derive(Debug)]
pub(crate) struct ShipmentRow {
    order_id: String,
    change: ShipmentChange,
}

impl FromBody for ShipmentRow {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let order_id = fields.text("order_id");
        let change = ShipmentChange::from_body(fields);
        Some(Self {
            order_id: order_id?,
            change: change?,
        })
    }
}

impl BulkRow for ShipmentRow {
    const LIST: &'static str = "shipments";
    const ID: &'static str = "order_id";
    const MEMBERS: &'static [&'static str] = &[
        "vessel_name",
        "bl_number",
        "port_of_loading",
        "port_of_discharge",
        "etd",
        "eta",
    ];
    const NUMBERS: &'static [&'static str] = &[];

    async fn record(self, database: &Database, actor: &Actor) -> Result<Effect, ApiError> {
        let recorded = match OrderId::parse(&self.order_id) {
            Some(id) => bulk::ship(database, actor, id, self.change).await,
            None => Err(AuctionError::NoSuchOrder),
        };
        recorded.map_err(|error| refuse(error, &self.order_id, "purchase_price_usd"))
    }
}

/// The shipments of up to 500 orders. Unknown members are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `Rows`")]
struct Shipments {
    #[schema(min_items = 1, max_items = 500)]
    shipments: Vec<OrderShipment>,
}

/// The shipment details of an order to change, at least one. Omitted members stay unchanged, null clears a member.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `ShipmentRow`")]
struct OrderShipment {
    order_id: OrderId,
    #[schema(max_length = 128)]
    vessel_name: Option<String>,
    #[schema(max_length = 128)]
    bl_number: Option<String>,
    #[schema(max_length = 128)]
    port_of_loading: Option<String>,
    #[schema(max_length = 128)]
    port_of_discharge: Option<String>,
    etd: Option<Timestamp>,
    eta: Option<Timestamp>,
}

/// Records shipments, each by itself. An order that is `secured` begins to ship.
///
/// A row that is refused does not affect the others. A shipment that is recorded already is `unchanged`. As CSV, the first
/// line is `order_id,vessel_name,bl_number,port_of_loading,port_of_discharge,etd,eta`, and an empty value leaves the
/// detail as it is.
#[utoipa::path(post, path = "/operator/v1/shipments", tag = "orders",
    request_body(content((Shipments = "application/json"), (String = "text/csv"))), responses(
        (status = 200, description = "The outcome of each row.", body = BulkReply),
    ))]
pub(crate) async fn record_shipments(
    State(database): State<Database>,
    caller: OperatorCaller,
    Input((), rows): Input<(), Rows<ShipmentRow>>,
    pending: PendingWrite,
) -> Result<Response, ApiError> {
    record_rows(&database, &caller.actor(), rows, pending).await
}
