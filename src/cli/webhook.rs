//! `lmn webhook`: shows a partner's endpoint and deliveries, and sends events again.

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;

use super::{
    arguments::{Since, any_of},
    operator::{OperatorArgs, Session},
    print, print_outcome, say,
};
use crate::{
    database::clock,
    events::{
        self,
        model::{DeliveryStatus, EventView},
        store::{Direction, Filter},
    },
    values::{id::EventId, string_enum::StringEnum, timestamp::Timestamp},
    webhooks::{
        changes,
        handlers::EndpointView,
        store::{self, Range},
    },
};

/// The maximum number of events that one transaction of a replay queues.
const BATCH: i64 = 500;

/// The arguments of `lmn webhook`.
#[derive(Debug, clap::Args)]
pub(super) struct Webhook {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a partner's endpoint with its health and the number of pending events.
    Show {
        /// The partner's id or name.
        partner: String,
    },
    /// List a partner's events and the state of their deliveries, the latest one first.
    Deliveries {
        /// The partner's id or name.
        partner: String,
        /// List only events in this state.
        #[arg(long, value_parser = any_of::<DeliveryStatus>())]
        status: Option<DeliveryStatus>,
        /// The maximum number of events.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Send an event again, or all events of a partner in a time range that are not pending.
    Replay(Replay),
}

#[derive(Debug, clap::Args)]
struct Replay {
    /// The event's id.
    #[arg(conflicts_with_all = ["partner", "since", "until", "dry_run"], required_unless_present = "partner")]
    event: Option<EventId>,
    /// The id or name of the partner whose events are sent again.
    #[arg(long, requires_all = ["since", "until"])]
    partner: Option<String>,
    /// The start of the range: a time, such as 2026-04-20T13:00:00+09:00, or a duration before now, such as 24h.
    #[arg(long, value_name = "TIME", requires = "partner")]
    since: Option<Since>,
    /// The end of the range: a time, or a duration before now.
    #[arg(long, value_name = "TIME", requires = "partner")]
    until: Option<Since>,
    /// Only count the events; do not send them.
    #[arg(long, requires = "partner")]
    dry_run: bool,
}

impl Webhook {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        operator.work(async |session| match &action {
            Action::Show { partner } => show(session, partner).await,
            Action::Deliveries {
                partner,
                status,
                limit,
            } => deliveries(session, partner, *status, (*limit).into()).await,
            Action::Replay(replay) => match replay.event {
                Some(event) => replay_one(session, event).await,
                None => replay.run(session).await,
            },
        })
    }
}

async fn show(session: &Session, partner: &str) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partner = session.partner(&mut tx, partner).await?;
    let endpoint = store::find(&mut tx, partner.id).await?;
    let Some(endpoint) = endpoint else {
        bail!("`{}` has no webhook endpoint", partner.name);
    };
    let failing_since = endpoint.failing_since.map(Timestamp::kst);
    let waiting = store::count_waiting(&mut tx, partner.id).await?;
    let mut sheet = serde_json::to_value(EndpointView::new(endpoint, None))?;
    if let Some(members) = sheet.as_object_mut() {
        // The secret is shown only to the partner, when it is created.
        members.remove("secret");
        members.insert("partner_id".to_owned(), json!(partner.id));
        members.insert("failing_since".to_owned(), json!(failing_since));
        members.insert("waiting".to_owned(), json!(waiting));
    }
    if session.json {
        return print(sheet);
    }
    let members = sheet.as_object().into_iter().flatten();
    members.into_iter().try_for_each(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        print(format_args!("{name:<16} {text}"))
    })
}

async fn deliveries(
    session: &Session,
    partner: &str,
    status: Option<DeliveryStatus>,
    limit: i64,
) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partner = session.partner(&mut tx, partner).await?.id;
    let filter = Filter {
        delivery_status: status.into_iter().collect(),
        ..Filter::default()
    };
    let back = Direction::Back;
    let events = events::store::list(&mut tx, partner, &filter, back, None, limit).await?;
    events.into_iter().try_for_each(|event| {
        let view = EventView::from(event);
        if session.json {
            return print(serde_json::to_string(&view)?);
        }
        let code = view.last_response_code.map(|it| it.to_string());
        let error = view.last_error.map(|it| it.as_str().to_owned());
        print(format_args!(
            "{}  {}  {}  {} attempts, last {}  {}",
            view.occurred_at,
            view.id,
            view.delivery_status.as_str(),
            view.attempts,
            code.or(error).unwrap_or_else(|| "-".to_owned()),
            view.event_type.as_str(),
        ))
    })
}

async fn replay_one(session: &Session, event: EventId) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let owner = events::store::find_any_owner(&mut tx, event).await?;
    let partner = owner.with_context(|| format!("there is no event `{event}`"))?;
    let queued = changes::redeliver(&mut tx, &session.actor, partner, event).await?;
    tx.commit().await?;
    if session.json {
        return print_outcome(serde_json::to_string(&EventView::from(queued))?);
    }
    say(format_args!("Event {event} will be sent again."));
    Ok(())
}

impl Replay {
    async fn run(&self, session: &Session) -> anyhow::Result<()> {
        let (Some(partner), Some(since), Some(until)) = (&self.partner, self.since, self.until)
        else {
            bail!("a replay needs an event, or a partner and a time range");
        };
        let mut tx = session.begin().await?;
        let partner = session.partner(&mut tx, partner).await?.id;
        let now = clock::now(&mut tx, partner).await?;
        tx.commit().await?;
        let range = Range {
            since: since.instant(now),
            until: until.instant(now),
        };
        let (mut events, mut after) = (0, 0);
        loop {
            let mut tx = session.begin().await?;
            let page = (after, BATCH);
            let actor = &session.actor;
            let replayed =
                changes::replay(&mut tx, actor, partner, range, page, self.dry_run).await?;
            tx.commit().await?;
            events += replayed.0;
            match replayed.1 {
                Some(last) => after = last,
                None => break,
            }
        }
        if session.json {
            return print_outcome(
                json!({"partner_id": partner, "events": events, "dry_run": self.dry_run}),
            );
        }
        match self.dry_run {
            true => say(format_args!("{events} events would be sent again.")),
            false => say(format_args!("{events} events will be sent again.")),
        }
        Ok(())
    }
}
