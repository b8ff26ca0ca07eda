//! The demo data of `lmn dev` besides vehicles: an operator with a token, and orders of the demo partner in every state.

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};
use hyper::{Method, StatusCode, Uri};
use secrecy::ExposeSecret;
use serde_json::Map;
use uuid::Uuid;

use super::dev::write_secret;
use crate::{
    audit::Actor,
    database::{Database, Tx, clock},
    idempotency::{Binding, Claim, PendingWrite, model::Fingerprint},
    operators::{
        self,
        model::{Refusal, Role, read_token},
    },
    orders::{
        FINGERPRINT_MEMBERS,
        handlers::reply,
        model::Order,
        operator::make_step,
        placing::place,
        state_machine::{CancellationReason, FailureReason, FulfillmentDetail, Owner, Transition},
        store::{AllFilter, NewOrder, Sort, find_market, list_all, record_order},
        transitions,
        view::Rendered,
    },
    request::RequestContext,
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
    },
    vehicles::{render::render, store as vehicles},
};

/// The name of the operator.
const OPERATOR: &str = "dev";
/// The amount by which a bid exceeds the price of its lot, in US dollars.
const MARGIN: i32 = 500;
/// The fee of the auction house, in US dollars.
const FEE: i32 = 150;
/// The time after which the auctions of ordered lots are held at the earliest. The lots of the days before it are left to
/// whoever tries the API.
const AUCTIONS_AFTER: TimeDelta = TimeDelta::days(7);
/// The number of orders that wait for their auction.
const WAITING: usize = 6;

/// Returns the token in the file if it is still in force. Otherwise adds an operator and writes the token to the file.
pub(super) async fn operator_token(
    tx: &mut Tx,
    actor: &Actor,
    file: &Path,
) -> anyhow::Result<String> {
    if let Ok(stored) = fs::read_to_string(file)
        && let Some(digest) = read_token(stored.trim())
        && let Some((operator, now)) = operators::store::find_by_digest(tx, &digest).await?
        && operator.check(now).is_ok()
    {
        return Ok(stored.trim().to_owned());
    }
    match operators::revoke(tx, actor, OPERATOR).await {
        Ok(_) | Err(operators::ChangeError::Refused(Refusal::Unknown(_))) => {}
        Err(error) => return Err(error.into()),
    }
    let (_, token) = operators::add(tx, actor, OPERATOR, Role::Admin, None).await?;
    let text = token.secret().expose_secret().to_owned();
    write_secret(file, &text)?;
    Ok(text)
}

/// Places orders of a partner that has none, and makes the operator's and the partner's steps of some of them.
pub(super) async fn place_orders(
    database: &Database,
    actor: &Actor,
    partner: PartnerId,
) -> anyhow::Result<()> {
    let mut connection = database.acquire().await?;
    let own = AllFilter {
        partner: Some(partner),
        ..AllFilter::default()
    };
    let placed = list_all(&mut connection, &own, Sort::CreatedDesc, None, 1).await?;
    let now = clock::real_now(&mut connection).await?;
    drop(connection);
    if !placed.is_empty() {
        return Ok(());
    }
    for path in paths() {
        let Some((order, vehicle, price)) = place_order(database, actor, partner, now).await?
        else {
            // The catalogue has too few lots.
            return Ok(());
        };
        let steps = path(price);
        for step in &steps {
            take(database, actor, partner, order, step).await?;
        }
        if steps
            .iter()
            .any(|it| matches!(it, Transition::Secure { .. }))
        {
            sell(database, vehicle, now).await?;
        }
    }
    Ok(())
}

/// The steps of an order whose lot was bought at a price.
type Steps = fn(Usd) -> Vec<Transition>;

/// Returns the steps of each order: some have made none, and the others end in each status.
fn paths() -> Vec<Steps> {
    let waiting: Steps = |_| Vec::new();
    let others: [Steps; 6] = [
        |_| vec![Transition::Acquire],
        |price| bought(price, &[]),
        |price| bought(price, &[Transition::Ship]),
        |price| {
            let in_transit = Transition::Fulfill(FulfillmentDetail::InTransit);
            bought(price, &[Transition::Ship, in_transit, Transition::Deliver])
        },
        |_| vec![Transition::Cancel(CancellationReason::SellerWithdrew)],
        |_| vec![Transition::Acquire, Transition::Fail(FailureReason::Outbid)],
    ];
    let mut paths = vec![waiting; WAITING];
    paths.extend(others);
    paths
}

/// Returns the steps of an order whose lot is bought, and further ones.
fn bought(price: Usd, more: &[Transition]) -> Vec<Transition> {
    let secure = Transition::Secure {
        purchase_price: price,
        auction_fee: FEE,
    };
    let mut steps = vec![Transition::Acquire, secure];
    steps.extend_from_slice(more);
    steps
}

/// Marks a lot that LMN has bought as sold, so that nobody else orders it.
async fn sell(database: &Database, vehicle: VehicleId, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut tx = database.begin().await?;
    let sold = [vehicle];
    vehicles::set_sold(&mut tx, &sold, now).await?;
    render(&mut tx, &sold).await?;
    tx.commit().await?;
    Ok(())
}

/// Places an order for a lot that the partner has not ordered, and returns it with the lot and its price.
async fn place_order(
    database: &Database,
    actor: &Actor,
    partner: PartnerId,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<(OrderId, VehicleId, Usd)>> {
    let mut connection = database.acquire().await?;
    let found =
        vehicles::find_untouched_lot(&mut connection, partner, now + AUCTIONS_AFTER).await?;
    drop(connection);
    let Some((vehicle, price)) = found else {
        return Ok(None);
    };
    let order = record(database, actor, partner, &vehicle, price).await?;
    Ok(Some((order, vehicle, price)))
}

/// Records an order as a request of the partner would.
async fn record(
    database: &Database,
    actor: &Actor,
    partner: PartnerId,
    vehicle: &VehicleId,
    price: Usd,
) -> anyhow::Result<OrderId> {
    let claim = Claim {
        scope: partner.into(),
        key: Uuid::new_v4(),
        fingerprint: Fingerprint::of(
            &Method::POST,
            &Uri::from_static("/v1/orders"),
            &Map::new(),
            FINGERPRINT_MEMBERS,
        ),
        user_issue: None,
    };
    let context = RequestContext::new(Ipv4Addr::LOCALHOST.into(), Duration::from_secs(10));
    let pending = PendingWrite::new(database.clone(), claim, context);
    let Binding::Bound(mut write) = pending.bind(Some(vehicle)).await? else {
        bail!("a new key was used before");
    };
    let market = find_market(write.tx(), partner, vehicle).await?;
    let (offer, market) = market.ok_or_else(|| anyhow!("the lot is gone"))?;
    let bid = place(&offer, Some((price.dollars() + MARGIN).into()), &market);
    let bid = bid.map_err(|_| anyhow!("the lot cannot be ordered"))?;
    let order = Order::placed(OrderId::new(market.now), &offer, bid, market.now);
    let id = order.id;
    let rendered = Rendered::of(&order)?;
    let reply = reply(StatusCode::CREATED, order.clone())?;
    let new = NewOrder {
        order: &order,
        actor,
        user: None,
        rendered: &rendered,
        location: &format!("/v1/orders/{id}"),
        reply: &reply.body,
    };
    let key = write.key();
    render(write.tx(), [vehicle]).await?;
    record_order(write.tx(), partner, key, &new, &market).await?;
    write.commit_completed(reply).await?;
    Ok(id)
}

/// Makes a step of an order: that of the partner if it is the partner's, and otherwise the operator's.
async fn take(
    database: &Database,
    actor: &Actor,
    partner: PartnerId,
    order: OrderId,
    step: &Transition,
) -> anyhow::Result<()> {
    let mut tx = database.begin().await?;
    let is_partners = matches!(
        step,
        Transition::Deliver | Transition::Fulfill(FulfillmentDetail::InTransit)
    );
    if is_partners {
        let locked = transitions::lock(&mut tx, Some(partner), order).await?;
        let mut locked = locked.ok_or_else(|| anyhow!("the order is gone"))?;
        transitions::apply(&mut tx, actor, &mut locked, step, Owner::Partner).await?;
    } else {
        make_step(&mut tx, actor, order, step).await?;
    }
    tx.commit().await?;
    Ok(())
}
