//! `/`: what waits for whom, and how the day goes, as charts: bars as SVG, whose places are computed here and drawn by a
//! template.

use std::collections::HashMap;

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DurationRound, TimeDelta};
use chrono_tz::Asia::Seoul;

use super::{
    frame::{Frame, grouped},
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

/// Width of the chart, in units of the drawing.
const WIDTH: i64 = 480;
/// Height of the highest bar.
const HEIGHT: i64 = 100;
/// Distance between two bars.
const GAP: i64 = 4;

/// A bar chart.
#[derive(Debug)]
pub(crate) struct Chart {
    pub title: &'static str,
    pub width: i64,
    pub height: i64,
    /// The sum of all bars, with a plus sign if one of them stands for more.
    pub total: String,
    pub bars: Vec<Bar>,
}

/// A bar, its place and its label.
#[derive(Debug)]
pub(crate) struct Bar {
    pub x: i64,
    pub y: i64,
    pub width: i64,
    pub height: i64,
    /// The middle of the bar.
    pub middle: i64,
    pub label: String,
    pub value: String,
    /// Whether the label is drawn.
    pub has_label: bool,
}

impl Chart {
    /// Places one bar for each value, the highest one over the whole height. Each `labels_every`th label is drawn.
    ///
    /// A value above `counted_max` was not counted to its end, and is shown as `counted_max` with a plus sign.
    pub(crate) fn new(
        title: &'static str,
        values: Vec<(String, i64)>,
        labels_every: usize,
        counted_max: i64,
    ) -> Self {
        let numbers: Vec<i64> = values.iter().map(|(_, value)| *value).collect();
        let has_more = numbers.iter().any(|it| *it > counted_max);
        let total: i64 = numbers.iter().map(|it| counted_max.min(*it)).sum();
        let most = numbers.into_iter().max().unwrap_or_default();
        let most = most.min(counted_max);
        let count = i64::try_from(values.len()).unwrap_or(i64::MAX).max(1);
        let step = WIDTH / count;
        let bars = values.into_iter().zip(0..).map(|((label, value), n)| {
            let (value, has_more) = (counted_max.min(value), value > counted_max);
            let full = (value * HEIGHT).checked_div(most).unwrap_or_default();
            // A bar that stands for something is seen.
            let height = if value > 0 { full.max(2) } else { 0 };
            Bar {
                x: n * step,
                y: HEIGHT - height,
                width: (step - GAP).max(1),
                height,
                middle: n * step + (step - GAP) / 2,
                label,
                value: shown(value, has_more),
                has_label: usize::try_from(n).is_ok_and(|it| it.is_multiple_of(labels_every)),
            }
        });
        Self {
            title,
            width: WIDTH,
            height: HEIGHT,
            total: shown(total, has_more),
            bars: bars.collect(),
        }
    }
}

/// Returns a number with its digits in groups, and with a plus sign if it stands for more.
fn shown(number: i64, has_more: bool) -> String {
    let plus = if has_more { "+" } else { "" };
    format!("{}{plus}", grouped(number))
}

#[cfg(test)]
mod tests {
    use crate::console::today::*;

    #[test]
    fn bars_are_as_high_as_their_share_of_the_highest() {
        let values = [("a", 0), ("b", 50), ("c", 1_000), ("d", 1)];
        let values = values.map(|(label, value)| (label.to_owned(), value));
        let chart = Chart::new("t", values.into(), 2, i64::MAX);
        let heights: Vec<_> = chart.bars.iter().map(|it| it.height).collect();
        assert_eq!(heights, [0, 5, 100, 2]);
        assert!(chart.bars.iter().all(|it| it.y + it.height == HEIGHT));
        let labels: Vec<_> = chart.bars.iter().map(|it| it.has_label).collect();
        assert_eq!(labels, [true, false, true, false]);
        assert_eq!(chart.total, "1,051");
    }

    #[test]
    fn value_that_was_not_counted_to_its_end_is_shown_with_a_plus_sign() {
        let values = [("a", 1_001), ("b", 1_000), ("c", 500)];
        let values = values.map(|(label, value)| (label.to_owned(), value));
        let chart = Chart::new("t", values.into(), 1, 1_000);
        let bars: Vec<_> = chart
            .bars
            .iter()
            .map(|it| (&*it.value, it.height))
            .collect();
        assert_eq!(bars, [("1,000+", 100), ("1,000", 100), ("500", 50)]);
        assert_eq!(chart.total, "2,500+");
    }

    #[test]
    fn chart_without_values_has_no_height() {
        let chart = Chart::new("t", vec![("a".to_owned(), 0)], 1, i64::MAX);
        assert!(chart.bars.iter().all(|it| it.height == 0));
        assert!(Chart::new("t", Vec::new(), 1, i64::MAX).bars.is_empty());
    }
}
