//! `/`: what waits for whom, and how the day goes.

use std::collections::HashMap;

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DurationRound, TimeDelta};
use chrono_tz::Asia::Seoul;

use super::{
    charts::Chart,
    frame::Frame,
    pages::show,
    store::{self, HourCount, Waiting},
};
use crate::{
    database::{Database, clock},
    errors::ApiError,
    http::extract::Query,
    request::OperatorCaller,
};

/// The hours of a chart, the present one included.
const HOURS: i64 = 24;
/// The most that is counted in an hour.
const COUNTED_MAX: i64 = 10_000;
/// Every how many hours a label is drawn.
const LABELED_HOURS: usize = 4;
/// The ages of undelivered events that are counted apart: their beginning in seconds, and their labels.
const DELAYS: [(f64, &str); 7] = [
    (0.0, "<1m"),
    (60.0, "1m"),
    (300.0, "5m"),
    (1_800.0, "30m"),
    (7_200.0, "2h"),
    (43_200.0, "12h"),
    (86_400.0, ">1d"),
];

/// The first page.
#[derive(Template)]
#[template(path = "today.html")]
struct TodayPage<'a> {
    page: &'a Frame,
    date: String,
    waiting: Waiting,
    charts: [Chart; 3],
}

/// Shows what waits for whom, and the last 24 hours as charts.
pub(crate) async fn show_today(
    page: Frame,
    State(database): State<Database>,
    _: OperatorCaller,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let now = clock::real_now(&mut connection).await?;
    let hour = now.duration_trunc(TimeDelta::hours(1));
    let since = hour.map_err(ApiError::internal)? - TimeDelta::hours(HOURS - 1);
    let waiting = store::count_waiting(&mut connection).await?;
    let hours: Vec<_> = (0..HOURS).map(|n| since + TimeDelta::hours(n)).collect();
    // One more than is shown, so that it is known whether there are more.
    let limit = COUNTED_MAX + 1;
    let orders = store::count_orders(&mut connection, &hours, limit).await?;
    let errors = store::count_errors(&mut connection, &hours, limit).await?;
    let delays = store::count_delays(&mut connection, &DELAYS.map(|it| it.0)).await?;
    let delays: HashMap<_, _> = delays.into_iter().collect();
    // An event of the future, by a clock that was taken back, is counted as a new one.
    let newest = delays.get(&0).copied().unwrap_or_default();
    let delays = DELAYS.iter().zip(1..).map(|((_, label), interval)| {
        let count = delays.get(&interval).copied().unwrap_or_default();
        let more = if interval == 1 { newest } else { 0 };
        ((*label).to_owned(), count + more)
    });
    let charts = [
        by_hour(page.t.orders_per_hour, orders),
        by_hour(page.t.errors_per_hour, errors),
        Chart::new(page.t.delivery_delay, delays.collect(), 1, i64::MAX),
    ];
    show(&TodayPage {
        page: &page,
        date: now.with_timezone(&Seoul).format("%Y-%m-%d").to_string(),
        waiting,
        charts,
    })
}

/// Returns the chart of some hours, each labeled with the hour in Korea.
fn by_hour(title: &'static str, counts: Vec<HourCount>) -> Chart {
    let bar = |(hour, count): HourCount| {
        let label = hour.with_timezone(&Seoul).format("%H").to_string();
        (label, count)
    };
    let bars = counts.into_iter().map(bar).collect();
    Chart::new(title, bars, LABELED_HOURS, COUNTED_MAX)
}
