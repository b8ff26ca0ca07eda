//! `lmn order`: lists and shows the orders of any partner, and changes their status, shipment or amounts.

use anyhow::{Context, bail};
use clap::Subcommand;
use serde::Serialize;

use super::{
    arguments::{fee, one_of, usd},
    operator::{OperatorArgs, Session},
    print, print_outcome,
    report::List,
    say,
};
use crate::{
    orders::{
        operator::{self, AffectedOrder},
        state_machine::{
            CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner,
            ShipmentChange, Transition,
        },
        store,
        view::HistoryView,
    },
    partners,
    values::{
        id::{OrderId, PartnerId},
        money::Usd,
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

/// The maximum number of history entries shown for an order.
const HISTORY_MAX: i64 = 10_000;

/// The arguments of `lmn order`.
#[derive(Debug, clap::Args)]
pub(super) struct OrderCommand {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: OrderAction,
}

#[derive(Debug, Subcommand)]
enum OrderAction {
    /// List the orders of all partners, the newest first.
    List(List),
    /// Show an order with its partner, state and history.
    Show {
        /// The order's id.
        id: OrderId,
    },
    /// Move an order to another status.
    Advance {
        /// The order's id.
        id: OrderId,
        #[command(flatten)]
        to: To,
    },
    /// Set the fulfillment detail of a shipping order.
    Fulfillment {
        /// The order's id.
        id: OrderId,
        /// The fulfillment detail.
        #[arg(value_parser = one_of(|it| is_operators(&Transition::Fulfill(it))))]
        detail: FulfillmentDetail,
    },
    /// Change the shipment of a shipping order. An empty text clears a field.
    Shipment {
        /// The order's id.
        id: OrderId,
        #[command(flatten)]
        change: Travel,
    },
    /// Correct the amounts of an order that is secured or later.
    Amounts {
        /// The order's id.
        id: OrderId,
        /// The price that LMN paid, in US dollars, at most the bid.
        #[arg(long, value_name = "USD", value_parser = usd)]
        purchase_price: Usd,
        /// The fee of the auction house, in US dollars.
        #[arg(long, value_name = "USD", value_parser = fee)]
        auction_fee: i32,
    },
}

/// An order with its partner and history, as it is printed.
#[derive(Serialize)]
struct Story {
    #[serde(flatten)]
    order: serde_json::Map<String, serde_json::Value>,
    partner_id: PartnerId,
    partner: String,
    external_user_id: Option<String>,
    history: Vec<HistoryView>,
}

impl OrderCommand {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        let (id, change) = match action {
            OrderAction::List(list) => {
                return operator.work(async |session| list.print(session).await);
            }
            OrderAction::Show { id } => (id, None),
            OrderAction::Advance { id, to } => (id, Some(OrderChange::Step(to.step()?))),
            OrderAction::Fulfillment { id, detail } => {
                (id, Some(OrderChange::Step(Transition::Fulfill(detail))))
            }
            OrderAction::Shipment { id, change } => {
                let change = Transition::Shipment(change.change()?);
                (id, Some(OrderChange::Step(change)))
            }
            OrderAction::Amounts {
                id,
                purchase_price,
                auction_fee,
            } => (id, Some(OrderChange::Amounts(purchase_price, auction_fee))),
        };
        operator.work(async |session| {
            match &change {
                Some(OrderChange::Step(step)) => {
                    operator::change_order(&session.database, &session.actor, id, step).await?;
                }
                Some(OrderChange::Amounts(price, fee)) => {
                    let mut tx = session.begin().await?;
                    let amounts = (*price, *fee);
                    operator::correct_amounts(&mut tx, &session.actor, id, amounts).await?;
                    tx.commit().await?;
                }
                None => {}
            }
            show(session, id).await
        })
    }
}

/// A change of an order.
enum OrderChange {
    /// A step.
    Step(Transition),
    /// The correction of the price and the fee.
    Amounts(Usd, i32),
}

/// Prints an order.
async fn show(session: &Session, id: OrderId) -> anyhow::Result<()> {
    let unknown = || format!("there is no order `{id}`");
    let mut tx = session.begin().await?;
    let owner = partners::store::find_owner(&mut tx, id).await?;
    let (partner_id, partner, external_user_id) = owner.with_context(unknown)?;
    let steps = store::list_history(&mut tx, partner_id, id, 0, HISTORY_MAX).await?;
    let order = store::find(&mut tx, partner_id, id).await?;
    let steps = steps.unwrap_or_default().into_iter();
    let order = order.with_context(unknown)?.into_bytes();
    let story = Story {
        order: serde_json::from_slice(&order)?,
        partner_id,
        partner,
        external_user_id,
        history: steps.map(HistoryView::from).collect(),
    };
    match session.json {
        true => print(serde_json::to_string(&story)?),
        false => story.print(),
    }
}

impl Story {
    fn print(&self) -> anyhow::Result<()> {
        let document = serde_json::to_value(self)?;
        let members = document.as_object().into_iter().flatten();
        for (name, value) in members.filter(|(name, _)| *name != "history") {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            print(format_args!("{name:<20} {text}"))?;
        }
        self.history.iter().try_for_each(|step| {
            let detail = step.fulfillment_detail.map_or("", StringEnum::as_str);
            let (status, by) = (step.status.as_str(), step.by.as_str());
            let notes = step.notes.as_deref().unwrap_or_default();
            let at = step.occurred_at;
            let line = format!("step {:<15} {at}  {by}  {status} {detail} {notes}", step.n);
            print(line.trim_end())
        })
    }
}

/// The new status of an order, with the details that it requires.
#[derive(Debug, clap::Args)]
pub(super) struct To {
    /// The new status.
    #[arg(value_parser = one_of(is_set_by_operator))]
    status: OrderStatus,
    /// The price that LMN paid, in US dollars; required for `secured`.
    #[arg(long, value_name = "USD", value_parser = usd)]
    purchase_price: Option<Usd>,
    /// The fee of the auction house, in US dollars; required for `secured`.
    #[arg(long, value_name = "USD", value_parser = fee)]
    auction_fee: Option<i32>,
    /// The reason of the failure; required for `failed`.
    #[arg(long, value_name = "REASON", value_parser = one_of(|it| is_operators(&Transition::Fail(it))))]
    failure_reason: Option<FailureReason>,
    /// The reason of the cancellation; required for `cancelled`.
    #[arg(long, value_name = "REASON", value_parser = one_of(|it| is_operators(&Transition::Cancel(it))))]
    cancellation_reason: Option<CancellationReason>,
}

/// Returns whether LMN's staff make a transition.
fn is_operators(transition: &Transition) -> bool {
    transition.owners().contains(&Owner::Operator)
}

/// Returns whether LMN's staff move orders to a status. Orders begin in the first one, and partners report deliveries.
fn is_set_by_operator(status: OrderStatus) -> bool {
    !matches!(status, OrderStatus::Proceed | OrderStatus::Delivered)
}

impl To {
    /// Returns the step.
    pub(super) fn step(self) -> anyhow::Result<Transition> {
        Ok(match self.status {
            OrderStatus::Acquiring => Transition::Acquire,
            OrderStatus::Shipping => Transition::Ship,
            OrderStatus::Secured => Transition::Secure {
                purchase_price: self
                    .purchase_price
                    .context("`secured` needs --purchase-price")?,
                auction_fee: self.auction_fee.context("`secured` needs --auction-fee")?,
            },
            OrderStatus::Failed => {
                let reason = self.failure_reason;
                Transition::Fail(reason.context("`failed` needs --failure-reason")?)
            }
            OrderStatus::Cancelled => {
                let reason = self.cancellation_reason;
                Transition::Cancel(reason.context("`cancelled` needs --cancellation-reason")?)
            }
            OrderStatus::Proceed | OrderStatus::Delivered => {
                bail!("LMN cannot move an order to `{}`", self.status.as_str())
            }
        })
    }
}

/// The changes of a shipment.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Travel {
    /// The name of the ship.
    #[arg(long)]
    vessel_name: Option<String>,
    /// The number of the bill of lading.
    #[arg(long)]
    bl_number: Option<String>,
    /// The port where the vehicle is loaded.
    #[arg(long)]
    port_of_loading: Option<String>,
    /// The port where the vehicle is unloaded.
    #[arg(long)]
    port_of_discharge: Option<String>,
    /// The estimated time of departure, such as 2026-09-01T08:00:00+09:00.
    #[arg(long, value_name = "TIME")]
    etd: Option<String>,
    /// The estimated time of arrival, with the UTC offset of that place.
    #[arg(long, value_name = "TIME")]
    eta: Option<String>,
}

impl Travel {
    /// Returns the change. An empty text clears a field.
    pub(super) fn change(self) -> anyhow::Result<ShipmentChange> {
        let text = |given: Option<String>| given.map(|it| Some(it).filter(|it| !it.is_empty()));
        let time = |given: Option<String>| match given {
            None => anyhow::Ok(None),
            Some(text) if text.is_empty() => Ok(Some(None)),
            Some(text) => Ok(Some(Some(Timestamp::parse(&text).with_context(|| text)?))),
        };
        Ok(ShipmentChange {
            vessel_name: text(self.vessel_name),
            bl_number: text(self.bl_number),
            port_of_loading: text(self.port_of_loading),
            port_of_discharge: text(self.port_of_discharge),
            etd: time(self.etd)?,
            eta: time(self.eta)?,
        })
    }
}

/// Prints the orders that a change affected, one per line.
pub(super) fn print_affected(session: &Session, affected: &[AffectedOrder]) -> anyhow::Result<()> {
    if affected.is_empty() {
        say("No order is affected.");
    }
    affected.iter().try_for_each(|it| match session.json {
        true => print_outcome(serde_json::to_string(it)?),
        false => {
            let status = it.status.as_str();
            print_outcome(format_args!(
                "{}  {status}  partner {}",
                it.order_id, it.partner_id
            ))
        }
    })
}
