//! `/partners` and `/partners/{id}`: the partners, and one with its keys, limits, allowlist and webhook endpoint. `/webhooks`
//! and `/webhooks/{id}`: the endpoints of all partners, those that fail first, and the deliveries to one.

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};

use super::{
    frame::{Frame, Row},
    orders::Notice,
    pages::show,
    store::{self, EndpointHealth},
};
use crate::{
    database::Database,
    errors::ApiError,
    events::{
        self,
        model::{DeliveryStatus, EventView},
        store::{Direction, Filter},
    },
    http::{
        cursor::Cursors,
        etag::Conditional,
        extract::{FromQuery, Id, Params, Query},
        page::PageQuery,
    },
    operator::partners::{get_partner, list_partners},
    partners,
    request::OperatorCaller,
    values::{id::PartnerId, string_enum::StringEnum},
    webhooks::{self, handlers::EndpointView},
};

/// The list of partners.
#[derive(Template)]
#[template(path = "partners.html")]
struct PartnersPage<'a> {
    page: &'a Frame,
    list: Row,
}

/// Shows a page of the partners.
pub(crate) async fn show_partners(
    page: Frame,
    database: State<Database>,
    cursors: State<Cursors>,
    caller: OperatorCaller,
    uri: Uri,
    query: Query<PageQuery>,
) -> Result<Response, ApiError> {
    let list = list_partners(database, cursors, caller, uri, query).await?;
    show(&PartnersPage {
        page: &page,
        list: Row::read(list).await?,
    })
}

/// One partner.
#[derive(Template)]
#[template(path = "partner.html")]
struct PartnerPage<'a> {
    page: &'a Frame,
    partner: Row,
    is_done: bool,
}

/// Shows a partner with its access and its endpoint.
pub(crate) async fn show_partner(
    page: Frame,
    database: State<Database>,
    caller: OperatorCaller,
    conditional: Conditional,
    Query(notice): Query<Notice>,
    id: Id<PartnerId>,
) -> Result<Response, ApiError> {
    let partner = get_partner(database, caller, conditional, Query(()), id).await?;
    show(&PartnerPage {
        page: &page,
        partner: Row::read(partner).await?,
        is_done: notice.is_done,
    })
}

/// The maximum number of endpoints of a page.
const ENDPOINTS_MAX: i64 = 500;
/// The number of deliveries of a page.
const DELIVERIES_MAX: i64 = 100;

/// The endpoints of all partners.
#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage<'a> {
    page: &'a Frame,
    endpoints: Vec<EndpointHealth>,
}

/// Shows the endpoints of all partners, those that fail first.
pub(crate) async fn show_webhooks(
    page: Frame,
    State(database): State<Database>,
    _: OperatorCaller,
    _: Query<()>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let endpoints = store::list_endpoints(&mut connection, ENDPOINTS_MAX).await?;
    show(&WebhooksPage {
        page: &page,
        endpoints,
    })
}

/// The deliveries to choose.
#[derive(Debug)]
pub(crate) struct ChooseDeliveries {
    status: Option<DeliveryStatus>,
    is_done: bool,
}

impl FromQuery for ChooseDeliveries {
    fn from_query(params: &mut Params) -> Option<Self> {
        Some(Self {
            status: params.get("status"),
            is_done: params.text("done").is_some(),
        })
    }
}

/// The deliveries to the endpoint of a partner.
#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage<'a> {
    page: &'a Frame,
    partner: PartnerId,
    partner_name: String,
    endpoint: Row,
    events: Vec<Row>,
    status: &'static str,
    statuses: Vec<&'static str>,
    is_done: bool,
}

/// Shows the latest deliveries to the endpoint of a partner.
pub(crate) async fn show_deliveries(
    page: Frame,
    State(database): State<Database>,
    _: OperatorCaller,
    Query(query): Query<ChooseDeliveries>,
    Id(id): Id<PartnerId>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let partner = partners::store::find(&mut connection, &id.to_string()).await?;
    let partner = partner.ok_or_else(|| ApiError::no_partner(id))?;
    let endpoint = webhooks::store::find(&mut connection, id).await?;
    let filter = Filter {
        delivery_status: query.status.into_iter().collect(),
        ..Filter::default()
    };
    let (back, limit) = (Direction::Back, DELIVERIES_MAX);
    let events = events::store::list(&mut connection, id, &filter, back, None, limit).await?;
    let events = events.into_iter().map(|it| Row::new(&EventView::from(it)));
    show(&DeliveriesPage {
        page: &page,
        partner: id,
        partner_name: partner.name,
        endpoint: Row::new(&endpoint.map(|it| EndpointView::new(it, None)))?,
        events: events.collect::<Result<_, _>>()?,
        status: query.status.map_or("", StringEnum::as_str),
        statuses: DeliveryStatus::ALL.iter().map(|it| it.as_str()).collect(),
        is_done: query.is_done,
    })
}
