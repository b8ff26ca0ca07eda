//! `POST /v1/sandbox/vehicles/{id}/…`: the operator's changes of a vehicle that no other partner has ordered.

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa::ToSchema;

use super::store;
use crate::{
    catalogue_import::effects::VehicleChange,
    database::Tx,
    errors::{ApiError, Fault, IssueKind, payloads::RefusalReason},
    http::{
        body::Input,
        extract::Id,
        fields::{Fields, FromBody},
    },
    idempotency::{Reply, Write},
    orders::{
        model::{AuctionEnd, AuctionOutcome},
        operator::AuctionError,
        refusals::refusal,
        state_machine::{self, OrderStatus, TransitionError},
        transitions::TransitionFailed,
    },
    request::Caller,
    values::{
        id::{OrderId, VehicleId},
        money::{FEE_MAX, Usd},
        timestamp::Timestamp,
    },
    vehicles::{self, search::Catalogue, view::VehicleView},
};

/// Members that are allowed only with the result `won`.
const AMOUNTS: [&str; 2] = ["price_usd", "fee_usd"];

impl FromBody for AuctionOutcome {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["result"]);
        let result = fields.optional_word("result");
        if result != Some(AuctionEnd::Won) {
            fields.none_of(&AMOUNTS, "is allowed only with the result `won`");
        }
        match result? {
            AuctionEnd::Won => {
                let [price, fee] = AMOUNTS;
                fields.require(&AMOUNTS);
                let price = fields.optional_usd(price);
                let fee = fields.optional_integer_in(fee, 0..=FEE_MAX);
                Some(Self::Won {
                    price: price?,
                    fee: i32::try_from(fee?).ok()?,
                })
            }
            AuctionEnd::Outbid => Some(Self::Outbid),
            AuctionEnd::Cancelled => Some(Self::Cancelled),
            AuctionEnd::Withdrawn => Some(Self::Withdrawn),
        }
    }
}

/// The partner's own order for a vehicle, and its state.
type OwnOrder = (OrderId, state_machine::State);

/// Changes a vehicle that only the partner has ordered, and returns it as it is now.
///
/// Refuses a vehicle that another partner has ordered too, or that the partner has not ordered.
async fn change(
    catalogue: &Catalogue,
    caller: &Caller,
    mut write: Write,
    id: &VehicleId,
    change: VehicleChange,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let own = lock_own(tx, caller, id).await;
    let (order, state) = own.map_err(|error| error.requesting(change.requested()))?;
    let made = change
        .make(tx, &caller.actor(), Some(caller.partner()), id)
        .await;
    made.map_err(|error| refuse(error, id, (order, state)).requesting(change.requested()))?;
    show(catalogue, write, id, Some(order)).await
}

/// Locks a vehicle that only the partner has ordered.
async fn lock_own(tx: &mut Tx, caller: &Caller, id: &VehicleId) -> Result<OwnOrder, ApiError> {
    let locked = vehicles::store::lock(tx, std::slice::from_ref(id)).await?;
    let vehicle = locked.first().ok_or_else(|| ApiError::no_vehicle(id))?;
    let open = store::find_open_orders(tx, caller.partner(), id).await?;
    if vehicle.withdrawn_at.is_some() && open.own.is_none() {
        return Err(ApiError::no_vehicle(id));
    }
    let own = open.own.filter(|_| !open.is_shared);
    let Some((order, state)) = own else {
        let state = open.own.map(|(_, state)| state);
        return Err(refusal(RefusalReason::VehicleShared, state));
    };
    // Already bought: the auction is over, and the price is final.
    if !matches!(state.status, OrderStatus::Proceed | OrderStatus::Acquiring) {
        return Err(refusal(RefusalReason::OutOfSequence, Some(state)));
    }
    Ok((order, state))
}

/// Commits, and returns the vehicle as it is now. `order` is that of the partner that changed it.
pub(crate) async fn show(
    catalogue: &Catalogue,
    mut write: Write,
    id: &VehicleId,
    order: Option<OrderId>,
) -> Result<Response, ApiError> {
    let found = vehicles::store::find_any(write.tx(), id).await?;
    let (vehicle, history) = found.ok_or_else(|| ApiError::no_vehicle(id))?;
    let reply = Reply::json(StatusCode::OK, &VehicleView::new(vehicle, history))?;
    let answer = write.commit(Reply { order, ..reply }).await;
    // Also if the outcome of the commit is unknown: from here on, this replica shows no older version.
    catalogue.note_own_change();
    answer
}

/// The result of the auction. Unknown members are ignored.
#[derive(ToSchema)]
#[schema(as = SettleAuction)]
#[expect(dead_code, reason = "schema only, read by `AuctionOutcome`")]
pub(crate) struct SettleAuction {
    result: AuctionEnd,
    /// The price that LMN paid, at most the highest bid. Required with `won`, not allowed otherwise.
    price_usd: Option<Usd>,
    /// The fee of the auction house. Required with `won`, not allowed otherwise.
    #[schema(minimum = 0, maximum = 10_000_000)]
    fee_usd: Option<i32>,
}

/// Records the auction result of a vehicle that only you have ordered.
///
/// `won` secures your order at the price and the fee that you send; the other results end it. The auction must be over by
/// your clock: before its date, no result is accepted. `vehicle_shared` is the reason of the refusal if another partner has
/// ordered the vehicle too.
#[utoipa::path(post, path = "/v1/sandbox/vehicles/{id}/auction-result", tag = "sandbox", params(Id::<VehicleId>),
    request_body = SettleAuction, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn record_auction_result(
    State(catalogue): State<Catalogue>,
    caller: Caller,
    write: Write,
    Input((), outcome): Input<(), AuctionOutcome>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let settle = VehicleChange::Settle(outcome);
    change(&catalogue, &caller, write, &id, settle).await
}

/// The new auction date. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct Reschedule {
    pub auction_date: Timestamp,
}

impl FromBody for Reschedule {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let auction_date = fields.timestamp("auction_date")?;
        Some(Self { auction_date })
    }
}

/// Moves the auction of a vehicle that only you have ordered.
///
/// Your order's date and cutoff move with it. An order whose cutoff would have passed by that is cancelled.
#[utoipa::path(post, path = "/v1/sandbox/vehicles/{id}/reschedule", tag = "sandbox", params(Id::<VehicleId>),
    request_body = Reschedule, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn reschedule_auction(
    State(catalogue): State<Catalogue>,
    caller: Caller,
    write: Write,
    Input((), body): Input<(), Reschedule>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let reschedule = VehicleChange::Reschedule(body.auction_date.instant());
    change(&catalogue, &caller, write, &id, reschedule).await
}

/// The new listing price. Unknown members are ignored.
#[derive(Debug, ToSchema)]
#[schema(as = Reprice)]
pub(crate) struct Price {
    pub listing_usd: Usd,
}

impl FromBody for Price {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["listing_usd"]);
        let listing_usd = fields.optional_usd("listing_usd")?;
        Some(Self { listing_usd })
    }
}

/// Changes the listing price of a vehicle that only you have ordered.
///
/// The bid of your order stays as it is, and an order in `proceed` gets an event with both prices.
#[utoipa::path(post, path = "/v1/sandbox/vehicles/{id}/price", tag = "sandbox", params(Id::<VehicleId>),
    request_body = Price, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn change_price(
    State(catalogue): State<Catalogue>,
    caller: Caller,
    write: Write,
    Input((), body): Input<(), Price>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let reprice = VehicleChange::Reprice(body.listing_usd);
    change(&catalogue, &caller, write, &id, reprice).await
}

/// An empty object. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct Nothing {}

impl FromBody for Nothing {
    fn from_body(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self {})
    }
}

/// Withdraws a vehicle that only you have ordered from the catalogue.
///
/// Your order is cancelled because the seller withdrew, and only you can still read the vehicle.
#[utoipa::path(post, path = "/v1/sandbox/vehicles/{id}/withdraw", tag = "sandbox", params(Id::<VehicleId>),
    request_body = Nothing, responses(
        (status = 200, description = "The vehicle after the change.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn withdraw_vehicle(
    State(catalogue): State<Catalogue>,
    caller: Caller,
    write: Write,
    Input((), Nothing {}): Input<(), Nothing>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    change(&catalogue, &caller, write, &id, VehicleChange::Withdraw).await
}

/// Returns the API error for a change of a vehicle that is refused, which the partner has ordered.
fn refuse(error: AuctionError, id: &VehicleId, (order, state): OwnOrder) -> ApiError {
    match error {
        AuctionError::NoSuchVehicle => ApiError::no_vehicle(id),
        AuctionError::NoSuchOrder => ApiError::no_order(order),
        error @ (AuctionError::NoOpenAuction
        | AuctionError::NotHeld(_)
        | AuctionError::NotClosed(_)
        | AuctionError::OtherResult
        | AuctionError::NoBids
        | AuctionError::NotWithdrawn
        | AuctionError::Bought) => {
            refusal(RefusalReason::OutOfSequence, Some(state)).explaining(error)
        }
        AuctionError::Transition(TransitionFailed::Step(TransitionError::PriceAboveBid(bid))) => {
            let message = format!("`price_usd` is above the bid of {bid}");
            let fault = Fault::new(IssueKind::OutOfRange, message);
            fault.at("price_usd", None).into()
        }
        AuctionError::Transition(error) => error.into(),
    }
}
