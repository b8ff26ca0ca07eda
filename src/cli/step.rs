//! The command-line arguments that describe a step of an order.

use anyhow::{Context, bail};

use crate::{
    orders::{
        state::{CancellationReason, FailureReason, OrderStatus},
        transition::{ShipmentChange, Transition},
    },
    values::{
        money::{FEE_MAX, Usd},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

/// Parses a value of an enumeration. The error lists the valid values.
pub(super) fn word<W: StringEnum>(text: &str) -> Result<W, String> {
    let words: Vec<_> = W::ALL.iter().map(|it| it.as_str()).collect();
    W::parse(text).ok_or_else(|| format!("expected one of {}", words.join(", ")))
}

/// Parses an amount of whole US dollars.
pub(super) fn usd(text: &str) -> Result<Usd, String> {
    let number = text.parse().ok().and_then(Usd::new);
    number.ok_or_else(|| "an amount must be 1 to 10000000 whole US dollars".to_owned())
}

/// Parses a fee of whole US dollars.
pub(super) fn fee(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|it| (0..=FEE_MAX).contains(it));
    let number = number.and_then(|it| i32::try_from(it).ok());
    number.ok_or_else(|| format!("a fee must be 0 to {FEE_MAX} whole US dollars"))
}

/// The new status of an order, with the details that it requires.
#[derive(Debug, clap::Args)]
pub(super) struct To {
    /// The new status.
    #[arg(value_parser = word::<OrderStatus>)]
    status: OrderStatus,
    /// The price that LMN paid, in US dollars; required for `secured`.
    #[arg(long, value_name = "USD", value_parser = usd)]
    purchase_price: Option<Usd>,
    /// The fee of the auction house, in US dollars; required for `secured`.
    #[arg(long, value_name = "USD", value_parser = fee)]
    auction_fee: Option<i32>,
    /// The reason of the failure; required for `failed`.
    #[arg(long, value_name = "REASON", value_parser = word::<FailureReason>)]
    failure_reason: Option<FailureReason>,
    /// The reason of the cancellation; required for `cancelled`.
    #[arg(long, value_name = "REASON", value_parser = word::<CancellationReason>)]
    cancellation_reason: Option<CancellationReason>,
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
