//! `POST /v1/sandbox/vehicles/{id}/…`: the operator's steps on a car that nobody else has ordered.

use std::collections::HashMap;

use axum::{extract, http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::store;
use crate::{
    app::App,
    clock,
    error::{ApiError, Fault, IssueKind},
    http::{
        extract::Input,
        fields::{Fields, FromBody},
        path::Id,
    },
    id::{OrderId, VehicleId},
    idempotency::{Reply, Write},
    money::{FEE_MAX, Usd},
    orders::{
        advance::AdvanceError,
        answer::refusal,
        auction::{self, AuctionError},
        outcome::{AuctionEnd, AuctionOutcome},
        progress::ProgressError,
        state::{OrderStatus, State},
    },
    request::Caller,
    stamp::Stamp,
    vehicles::{self, view::VehicleView},
};

/// The members that go with `won` only.
const AMOUNTS: [&str; 2] = ["price_usd", "fee_usd"];

impl FromBody for AuctionOutcome {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["result"]);
        let result = fields.optional_word("result");
        if result != Some(AuctionEnd::Won) {
            fields.none_of(&AMOUNTS, "goes with the result `won` only");
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

/// What is done to a car.
struct Act {
    /// What the partner asked for.
    asked: &'static str,
    /// What is recorded of it.
    done: &'static str,
}

const SETTLE: Act = Act {
    asked: "auction-result",
    done: "vehicle.settled",
};
const RESCHEDULE: Act = Act {
    asked: "reschedule",
    done: "vehicle.rescheduled",
};
const REPRICE: Act = Act {
    asked: "price",
    done: "vehicle.repriced",
};
const WITHDRAW: Act = Act {
    asked: "withdraw",
    done: "vehicle.withdrawn",
};

/// A car that the partner alone has ordered, locked.
struct OwnCar {
    id: VehicleId,
    act: Act,
    order: OrderId,
    state: State,
    now: DateTime<Utc>,
}

/// Locks a car, and refuses one that others have ordered too, or the partner has not.
async fn hold_own(
    write: &mut Write,
    caller: &Caller,
    id: VehicleId,
    act: Act,
) -> Result<OwnCar, ApiError> {
    let tx = write.tx();
    let held = vehicles::store::hold(tx, std::slice::from_ref(&id)).await?;
    let car = held.first().ok_or_else(|| ApiError::no_vehicle(&id))?;
    let open = store::find_open_orders(tx, caller.partner(), &id).await?;
    if car.withdrawn_at.is_some() && open.own.is_none() {
        return Err(ApiError::no_vehicle(&id));
    }
    let own = open.own.filter(|_| !open.is_shared);
    let Some((order, state)) = own else {
        let refusal = open.own.map(|(_, state)| refusal(state));
        let shared = ApiError::VehicleShared(refusal.unwrap_or_default());
        return Err(shared.requesting(act.asked));
    };
    // Bought already: the auction is over, and the price is settled.
    if !matches!(state.status, OrderStatus::Proceed | OrderStatus::Acquiring) {
        return Err(ApiError::OutOfSequence(refusal(state)).requesting(act.asked));
    }
    // Everybody reads of cars in real time.
    let now = clock::store::real_now(tx).await?;
    let (author, partner) = (caller.author(), Some(caller.partner()));
    auction::record(tx, &author, partner, act.done, &id, now).await?;
    Ok(OwnCar {
        id,
        act,
        order,
        state,
        now,
    })
}

/// Answers with the car as it is now.
async fn show(app: &App, mut write: Write, car: OwnCar) -> Result<Response, ApiError> {
    let found = vehicles::store::find_any(write.tx(), &car.id).await?;
    let (vehicle, history) = found.ok_or_else(|| ApiError::no_vehicle(&car.id))?;
    let reply = Reply::json(StatusCode::OK, &VehicleView::new(vehicle, history))?;
    let answer = write
        .commit(Reply {
            order: Some(car.order),
            ..reply
        })
        .await;
    // Whether it is committed or not known to be: nothing older is shown from here on.
    app.catalogue().note_own_change();
    answer
}

/// How the auction ends. Unknown members are ignored.
#[derive(ToSchema)]
#[schema(as = SettleAuction)]
#[expect(dead_code, reason = "it is told, and read by `AuctionOutcome`")]
struct SettleAuction {
    result: AuctionEnd,
    /// What LMN paid, at most the highest bid: with `won`, and only there.
    price_usd: Option<Usd>,
    /// What the auction house charged: with `won`, and only there.
    #[schema(minimum = 0, maximum = 10_000_000)]
    fee_usd: Option<i32>,
}

/// Settles the auction of a car that only you have ordered.
#[utoipa::path(post, path = "/v1/sandbox/vehicles/{id}/auction-result", tag = "sandbox", params(Id::<VehicleId>),
    request_body = SettleAuction, responses(
        (status = 200, description = "The car as it is then.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(super) async fn record_auction_result(
    extract::State(app): extract::State<App>,
    caller: Caller,
    mut write: Write,
    Input((), outcome): Input<(), AuctionOutcome>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let car = hold_own(&mut write, &caller, id, SETTLE).await?;
    auction::settle(write.tx(), &caller.author(), &car.id, outcome, car.now)
        .await
        .map_err(|error| refuse(error, &car))?;
    show(&app, write, car).await
}

/// When the auction is held instead. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(super) struct Reschedule {
    auction_date: Stamp,
}

impl FromBody for Reschedule {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let auction_date = fields.stamp("auction_date")?;
        Some(Self { auction_date })
    }
}

/// Moves the auction of a car that only you have ordered.
#[utoipa::path(post, path = "/v1/sandbox/vehicles/{id}/reschedule", tag = "sandbox", params(Id::<VehicleId>),
    request_body = Reschedule, responses(
        (status = 200, description = "The car as it is then.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(super) async fn reschedule_auction(
    extract::State(app): extract::State<App>,
    caller: Caller,
    mut write: Write,
    Input((), body): Input<(), Reschedule>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let car = hold_own(&mut write, &caller, id, RESCHEDULE).await?;
    let dates = HashMap::from([(car.id.clone(), body.auction_date.instant())]);
    auction::reschedule(write.tx(), &caller.author(), &dates, car.now)
        .await
        .map_err(|error| refuse(error, &car))?;
    show(&app, write, car).await
}

/// The price from now on. Unknown members are ignored.
#[derive(Debug, ToSchema)]
#[schema(as = Reprice)]
pub(super) struct Price {
    listing_usd: Usd,
}

impl FromBody for Price {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["listing_usd"]);
        let listing_usd = fields.optional_usd("listing_usd")?;
        Some(Self { listing_usd })
    }
}

/// Lists a car that only you have ordered at another price.
#[utoipa::path(post, path = "/v1/sandbox/vehicles/{id}/price", tag = "sandbox", params(Id::<VehicleId>),
    request_body = Price, responses(
        (status = 200, description = "The car as it is then.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(super) async fn change_price(
    extract::State(app): extract::State<App>,
    caller: Caller,
    mut write: Write,
    Input((), body): Input<(), Price>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let car = hold_own(&mut write, &caller, id, REPRICE).await?;
    let prices = HashMap::from([(car.id.clone(), body.listing_usd)]);
    auction::reprice(write.tx(), &caller.author(), &prices, car.now)
        .await
        .map_err(|error| refuse(error, &car))?;
    show(&app, write, car).await
}

/// Nothing: an empty object. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(super) struct Nothing {}

impl FromBody for Nothing {
    fn from_body(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self {})
    }
}

/// Takes a car that only you have ordered off the catalogue.
#[utoipa::path(post, path = "/v1/sandbox/vehicles/{id}/withdraw", tag = "sandbox", params(Id::<VehicleId>),
    request_body = Nothing, responses(
        (status = 200, description = "The car as it is then.", body = VehicleView),
        (status = 404, description = "vehicle_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(super) async fn withdraw_vehicle(
    extract::State(app): extract::State<App>,
    caller: Caller,
    mut write: Write,
    Input((), Nothing {}): Input<(), Nothing>,
    Id(id): Id<VehicleId>,
) -> Result<Response, ApiError> {
    let car = hold_own(&mut write, &caller, id, WITHDRAW).await?;
    let cars = std::slice::from_ref(&car.id);
    auction::withdraw(write.tx(), &caller.author(), cars, car.now)
        .await
        .map_err(|error| refuse(error, &car))?;
    show(&app, write, car).await
}

/// Answers for a car that cannot be changed so.
fn refuse(error: AuctionError, car: &OwnCar) -> ApiError {
    let error = match error {
        AuctionError::NoSuchVehicle => ApiError::no_vehicle(&car.id),
        AuctionError::NoSuchOrder => ApiError::no_order(car.order),
        AuctionError::NoOpenAuction
        | AuctionError::NobodyBids
        | AuctionError::NotWithdrawn
        | AuctionError::Bought => ApiError::OutOfSequence(refusal(car.state)),
        AuctionError::Progress(ProgressError::Step(AdvanceError::PriceAboveBid(bid))) => {
            let message = format!("`price_usd` is above the bid of {bid}");
            let fault = Fault::new(IssueKind::OutOfRange, message);
            fault.at("price_usd", None).into()
        }
        AuctionError::Progress(error) => error.into(),
    };
    error.requesting(car.act.asked)
}
