//! `POST /v1/orders/{id}/sandbox-status`: the operator's step on the partner's own order.

use axum::{http::StatusCode, response::Response};
use utoipa::ToSchema;

use crate::{
    errors::{ApiError, Fault, IssueKind},
    http::{
        body::Input,
        extract::Id,
        fields::{Fields, FromBody},
    },
    idempotency::Write,
    orders::{
        handlers::reply,
        state_machine::{
            CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner,
            ShipmentChange, Transition,
        },
        transitions,
        view::OrderView,
    },
    request::Caller,
    values::{
        id::OrderId,
        money::{FEE_MAX, Usd},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

/// Maximum characters of a name or number of a shipment.
const TEXT_CHARACTERS_MAX: usize = 128;
/// Members that are allowed only with the status `secured`.
const AMOUNTS: [&str; 2] = ["purchase_price_usd", "auction_fee_usd"];

/// The request body: one transition.
#[derive(Debug)]
pub(crate) struct SandboxStatus(Transition);

impl FromBody for SandboxStatus {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.exactly_one(&["status", "fulfillment_detail", "shipment"]);
        let transition = read_step(fields)
            .or_else(|| read_fulfillment(fields))
            .or_else(|| {
                let mut shipment = fields.optional_object("shipment")?;
                ShipmentChange::from_body(&mut shipment).map(Transition::Shipment)
            });
        transition.map(Self)
    }
}

/// Reads the optional member `status` with the members that belong to it.
pub(crate) fn read_step(fields: &mut Fields<'_>) -> Option<Transition> {
    let status = fields.optional_word("status");
    if status != Some(OrderStatus::Secured) {
        fields.none_of(&AMOUNTS, "is allowed only with the status `secured`");
    }
    if status != Some(OrderStatus::Failed) {
        fields.none_of(
            &["failure_reason"],
            "is allowed only with the status `failed`",
        );
    }
    if status != Some(OrderStatus::Cancelled) {
        fields.none_of(
            &["cancellation_reason"],
            "is allowed only with the status `cancelled`",
        );
    }
    read_status(fields, status?)
}

fn read_status(fields: &mut Fields<'_>, status: OrderStatus) -> Option<Transition> {
    match status {
        OrderStatus::Acquiring => Some(Transition::Acquire),
        OrderStatus::Shipping => Some(Transition::Ship),
        OrderStatus::Secured => {
            let [price, fee] = AMOUNTS;
            fields.require(&AMOUNTS);
            let purchase_price = fields.optional_usd(price);
            let auction_fee = fields.optional_integer_in(fee, 0..=FEE_MAX);
            Some(Transition::Secure {
                purchase_price: purchase_price?,
                auction_fee: i32::try_from(auction_fee?).ok()?,
            })
        }
        OrderStatus::Cancelled => {
            let excluded = CancellationReason::PartnerCancelled;
            read_reason(fields, "cancellation_reason", excluded).map(Transition::Cancel)
        }
        OrderStatus::Failed => {
            let excluded = FailureReason::AuctionPassed;
            read_reason(fields, "failure_reason", excluded).map(Transition::Fail)
        }
        OrderStatus::Proceed | OrderStatus::Delivered => {
            let message = "LMN does not set this status";
            let fault = Fault::new(IssueKind::InvalidValue, message);
            let steps = "acquiring secured shipping cancelled failed";
            fields.complain("status", fault.expected(steps));
            None
        }
    }
}

/// Reads a required reason. Refuses `excluded`, which LMN does not give.
fn read_reason<R: StringEnum>(fields: &mut Fields<'_>, name: &str, excluded: R) -> Option<R> {
    fields.require(&[name]);
    let reason = fields.optional_word::<R>(name)?;
    if reason == excluded {
        let message = format!("`{name}` is not a reason that LMN gives");
        fields.complain(name, Fault::new(IssueKind::InvalidValue, message));
        return None;
    }
    Some(reason)
}

/// Reads the optional member `fulfillment_detail`. Refuses what the partner reports.
pub(crate) fn read_fulfillment(fields: &mut Fields<'_>) -> Option<Transition> {
    let detail = fields.optional_word("fulfillment_detail")?;
    match detail {
        FulfillmentDetail::ExportProcessing | FulfillmentDetail::AwaitingPickup => {
            Some(Transition::Fulfill(detail))
        }
        FulfillmentDetail::InTransit | FulfillmentDetail::Customs => {
            let message = "the partner reports this sub-status, with `POST /v1/orders/{id}/status`";
            let fault = Fault::new(IssueKind::InvalidValue, message);
            let steps = "export_processing awaiting_pickup";
            fields.complain("fulfillment_detail", fault.expected(steps));
            None
        }
    }
}

impl FromBody for ShipmentChange {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let mut text = |name| {
            let is_named = fields.names(name);
            let value = fields.optional_text(name, TEXT_CHARACTERS_MAX);
            is_named.then_some(value)
        };
        let (vessel_name, bl_number) = (text("vessel_name"), text("bl_number"));
        let (port_of_loading, port_of_discharge) =
            (text("port_of_loading"), text("port_of_discharge"));
        let mut time = |name| {
            let is_named = fields.names(name);
            let value = fields.optional_stamp(name);
            is_named.then_some(value)
        };
        let (etd, eta) = (time("etd"), time("eta"));
        let change = Self {
            vessel_name,
            bl_number,
            port_of_loading,
            port_of_discharge,
            etd,
            eta,
        };
        if change == Self::default() {
            fields.require(&["vessel_name"]);
            return None;
        }
        Some(change)
    }
}

/// One step of the operator: exactly one of `status`, `fulfillment_detail` and `shipment`. Unknown members are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `SandboxStatus`")]
struct SandboxStep {
    /// `acquiring`, `secured`, `shipping`, `cancelled` or `failed`.
    status: Option<OrderStatus>,
    /// `export_processing` or `awaiting_pickup`.
    fulfillment_detail: Option<FulfillmentDetail>,
    shipment: Option<ShipmentUpdate>,
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

/// The shipment details to change, at least one. Omitted members stay unchanged, null clears a member.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `ShipmentChange`")]
pub(crate) struct ShipmentUpdate {
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

/// Makes the operator's step on your own order.
///
/// Rules and events are those of LMN's own steps. Other orders and the vehicle stay unchanged.
#[utoipa::path(post, path = "/v1/orders/{id}/sandbox-status", tag = "sandbox", params(Id::<OrderId>),
    request_body = SandboxStep, responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 404, description = "order_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn set_sandbox_status(
    caller: Caller,
    mut write: Write,
    Input((), SandboxStatus(transition)): Input<(), SandboxStatus>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let locked = transitions::lock(tx, Some(caller.partner()), id).await?;
    let mut locked = locked.ok_or_else(|| ApiError::no_order(id))?;
    let actor = caller.actor();
    transitions::apply(tx, &actor, &mut locked, &transition, Owner::Operator)
        .await
        .map_err(|error| ApiError::from(error).requesting(transition.name()))?;
    write.commit(reply(StatusCode::OK, locked.order)?).await
}
