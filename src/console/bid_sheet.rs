//! `/bid-sheet`: what to bid on at the auctions of a day, and the results.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
};
use chrono::{Days, NaiveDate};

use super::{
    frame::{Frame, Row},
    pages::show,
};
use crate::{
    database::{Database, clock},
    errors::ApiError,
    http::extract::{FromQuery, Params, Query},
    operator::bid_sheet::{ShowBidSheet, read_bid_sheet, show_bid_sheet},
    request::OperatorCaller,
    values::{string_enum::StringEnum, timestamp::Timestamp},
    vehicles::model::Source,
};

/// The day and the sources of a sheet.
#[derive(Debug)]
pub(crate) struct ChooseDay {
    date: Option<NaiveDate>,
    source: Option<Source>,
    is_done: bool,
}

impl FromQuery for ChooseDay {
    fn from_query(params: &mut Params) -> Option<Self> {
        Some(Self {
            date: params.get("date"),
            source: params.get("source"),
            is_done: params.text("done").is_some(),
        })
    }
}

/// The sheet of a day.
#[derive(Template)]
#[template(path = "bid_sheet.html")]
struct BidSheetPage<'a> {
    page: &'a Frame,
    date: String,
    former_date: String,
    next_date: String,
    source: &'static str,
    sources: Vec<&'static str>,
    rows: Vec<Row>,
    /// The number of vehicles whose bids are final.
    closed: usize,
    is_done: bool,
}

/// Shows the sheet of a day in Korea, which is tomorrow unless the query names another.
pub(crate) async fn show_sheet(
    page: Frame,
    State(database): State<Database>,
    Query(query): Query<ChooseDay>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let date = match query.date {
        Some(date) => date,
        None => {
            let today = Timestamp::kst(clock::real_now(&mut connection).await?).day_in_korea();
            today.succ_opt().unwrap_or(today)
        }
    };
    let sources: Vec<_> = query.source.into_iter().collect();
    let rows = read_bid_sheet(&mut connection, date, &sources).await?;
    let rows: Vec<_> = rows.iter().map(Row::new).collect::<Result<_, _>>()?;
    let neighbor = |day: Option<NaiveDate>| day.unwrap_or(date).to_string();
    show(&BidSheetPage {
        page: &page,
        date: date.to_string(),
        former_date: neighbor(date.checked_sub_days(Days::new(1))),
        next_date: neighbor(date.checked_add_days(Days::new(1))),
        source: query.source.map_or("", StringEnum::as_str),
        sources: Source::ALL.iter().map(|it| it.as_str()).collect(),
        closed: rows.iter().filter(|it| it.is_true("/is_closed")).count(),
        rows,
        is_done: query.is_done,
    })
}

/// Returns the sheet as CSV, as the operator API does.
pub(crate) async fn download_sheet(
    database: State<Database>,
    caller: OperatorCaller,
    uri: Uri,
    query: Query<ShowBidSheet>,
) -> Result<Response, ApiError> {
    let csv = HeaderValue::from_static("text/csv");
    let headers = HeaderMap::from_iter([(header::ACCEPT, csv)]);
    let mut response = show_bid_sheet(database, caller, uri, headers, query).await?;
    let attachment = HeaderValue::from_static("attachment; filename=\"bid-sheet.csv\"");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, attachment);
    Ok(response)
}
