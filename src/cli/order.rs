//! `lmn order`: shows an order of any partner, and changes its status or shipment.

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::{
    operator::{OperatorArgs, Session},
    print,
    step::{To, Travel, word},
};
use crate::{
    orders::{
        operator, state::FulfillmentDetail, store, transition::Transition, view::HistoryView,
    },
    partners,
    values::{
        id::{OrderId, PartnerId},
        string_enum::StringEnum,
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
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show an order with its partner, state and history.
    Show {
        /// The order's id.
        id: OrderId,
    },
    /// Move an order to `acquiring`, `secured`, `shipping`, `cancelled` or `failed`.
    Advance {
        /// The order's id.
        id: OrderId,
        #[command(flatten)]
        to: To,
    },
    /// Set the fulfillment detail of a shipping order: `export_processing` or `awaiting_pickup`.
    Fulfillment {
        /// The order's id.
        id: OrderId,
        /// The fulfillment detail.
        #[arg(value_parser = word::<FulfillmentDetail>)]
        detail: FulfillmentDetail,
    },
    /// Change the shipment of a shipping order. An empty text clears a field.
    Shipment {
        /// The order's id.
        id: OrderId,
        #[command(flatten)]
        change: Travel,
    },
}

/// An order with its partner and history, as it is printed.
#[derive(Serialize)]
struct Sheet {
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
        let Self { operator, what } = self;
        let (id, step) = match what {
            What::Show { id } => (id, None),
            What::Advance { id, to } => (id, Some(to.step()?)),
            What::Fulfillment { id, detail } => (id, Some(Transition::Fulfill(detail))),
            What::Shipment { id, change } => (id, Some(Transition::Shipment(change.change()?))),
        };
        operator.work(async |session| {
            if let Some(step) = &step {
                operator::advance(&session.database, &session.actor, id, step).await?;
            }
            show(session, id).await
        })
    }
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
    let sheet = Sheet {
        order: serde_json::from_slice(&order)?,
        partner_id,
        partner,
        external_user_id,
        history: steps.map(HistoryView::from).collect(),
    };
    match session.json {
        true => print(serde_json::to_string(&sheet)?),
        false => sheet.print(),
    }
}

impl Sheet {
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
