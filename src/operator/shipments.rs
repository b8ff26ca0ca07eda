//! `POST /operator/v1/shipments`: records the shipments of many orders.

use axum::{extract::State, response::Response};
use utoipa::ToSchema;

use super::{
    refusals::refuse,
    rows::{BulkReply, BulkRow, Rows, record_rows},
};
use crate::{
    audit::Actor,
    database::Database,
    errors::ApiError,
    http::{
        body::Input,
        fields::{Fields, FromBody},
    },
    idempotency::PendingWrite,
    orders::{
        bulk::{self, Effect},
        operator::AuctionError,
        state_machine::ShipmentChange,
    },
    request::OperatorCaller,
    values::{id::OrderId, timestamp::Timestamp},
};

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
