//! SQL of the request log.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::model::{LogEntry, LoggedRequest};
use crate::{
    database::{Connection, Tx, column::InvalidColumn},
    errors::catalogue::Code,
    values::id::{PartnerId, RequestId},
};

/// The beginning of a statement that reads [`Row`]s.
const SELECT: &str = "select request_id, at, partner_id, key_prefix, operation, status, code, details::text as details,
    duration_ms, client_address,
    (select name from partners where partners.id = requests.partner_id) as partner_name
    from requests where ";

/// Inserts a batch of requests. Those that an earlier attempt has inserted are left as they are.
pub(crate) async fn insert(tx: &mut Tx, requests: &[LoggedRequest]) -> Result<(), sqlx::Error> {
    let ids: Vec<Vec<u8>> = requests.iter().map(|it| it.id.to_bytes().into()).collect();
    let times: Vec<DateTime<Utc>> = requests.iter().map(|it| it.at).collect();
    let partner = |it: &LoggedRequest| it.partner.map(PartnerId::uuid);
    let partners: Vec<Option<Uuid>> = requests.iter().map(partner).collect();
    let prefixes: Vec<Option<&str>> = requests.iter().map(|it| it.key_prefix.as_deref()).collect();
    let operations: Vec<&str> = requests.iter().map(|it| it.operation.as_str()).collect();
    let status = |it: &LoggedRequest| i16::try_from(it.status).unwrap_or(i16::MAX);
    let statuses: Vec<i16> = requests.iter().map(status).collect();
    let codes: Vec<Option<&str>> = requests.iter().map(|it| it.code.as_deref()).collect();
    let details: Vec<Option<&str>> = requests.iter().map(|it| it.details.as_deref()).collect();
    let durations: Vec<i32> = requests.iter().map(|it| it.duration_ms).collect();
    let clients: Vec<IpAddr> = requests.iter().map(|it| it.client).collect();
    sqlx::query!(
        r#"
        insert into requests (request_id, at, partner_id, key_prefix, operation, status, code, details, duration_ms,
                              client_address)
        select request_id, at, partner_id, key_prefix, operation, status, code, details::json, duration_ms,
               client_address
        from unnest($1::bytea[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::text[],
                    $8::text[], $9::integer[], $10::inet[])
            as it(request_id, at, partner_id, key_prefix, operation, status, code, details, duration_ms, client_address)
        on conflict (request_id) do nothing
        "#,
        &ids,
        &times,
        &partners as _,
        &prefixes as _,
        &operations as _,
        &statuses,
        &codes as _,
        &details as _,
        &durations,
        &clients as _,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Deletes up to `limit` requests from before a time. Returns their number. Those that another transaction deletes are
/// left to it.
pub(crate) async fn delete_before(
    tx: &mut Tx,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        r#"
        delete from requests
        where request_id = any(array(
            select request_id from requests where status > 0 and at < $1
            order by at, request_id
            limit $2
            for update skip locked
        ))
        "#,
        before,
        limit,
    )
    .execute(&mut **tx)
    .await?;
    Ok(deleted.rows_affected())
}

/// The filters of a list of requests. Every filter that is set must match.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Of this partner.
    pub partner: Option<PartnerId>,
    /// With one of these error codes.
    pub codes: Vec<Code>,
    /// Answered at or after this time.
    pub since: Option<DateTime<Utc>>,
}

impl Filter {
    /// Returns each code once, in the order of their names.
    fn codes_once(&self) -> Vec<&'static str> {
        let mut codes: Vec<_> = self.codes.iter().map(|it| it.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// Returns the canonical form of the filters, to which a cursor is bound. The order of codes does not change it.
    pub(crate) fn canonical(&self) -> String {
        let since = self.since.map(|it| it.timestamp_millis());
        format!("{:?} {since:?}", self.codes_once())
    }
}

/// A position in a list: the time in microseconds, and the bytes of the id.
pub(crate) type Position = (i64, [u8; 12]);

/// Returns the position of an entry.
pub(crate) fn position(entry: &LogEntry) -> Position {
    let LoggedRequest { id, at, .. } = &entry.request;
    (at.timestamp_micros(), id.to_bytes())
}

/// A row of the log.
#[derive(Debug, FromRow)]
struct Row {
    request_id: Vec<u8>,
    at: DateTime<Utc>,
    partner_id: Option<Uuid>,
    key_prefix: Option<String>,
    operation: String,
    status: i16,
    code: Option<String>,
    details: Option<String>,
    duration_ms: i32,
    client_address: IpAddr,
    partner_name: Option<String>,
}

impl Row {
    fn into_entry(self) -> Result<LogEntry, sqlx::Error> {
        let id: Result<[u8; 12], _> = self.request_id.try_into();
        let request = LoggedRequest {
            id: id.map_err(|_| InvalidColumn::new("a request id"))?.into(),
            at: self.at,
            partner: self.partner_id.map(PartnerId::from),
            key_prefix: self.key_prefix,
            operation: self.operation,
            status: u16::try_from(self.status).map_err(|_| InvalidColumn::new(self.status))?,
            code: self.code,
            details: self.details,
            duration_ms: self.duration_ms,
            client: self.client_address,
        };
        Ok(LogEntry {
            request,
            partner_name: self.partner_name,
        })
    }
}

/// Finds a request: of the given partner, or of any.
pub(crate) async fn find(
    conn: &mut Connection,
    partner: Option<PartnerId>,
    id: RequestId,
) -> Result<Option<LogEntry>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query
        .push("request_id = ")
        .push_bind(id.to_bytes().to_vec());
    if let Some(partner) = partner {
        query.push(" and partner_id = ").push_bind(partner.uuid());
    }
    let row: Option<Row> = query.build_query_as().fetch_optional(conn).await?;
    row.map(Row::into_entry).transpose()
}

/// Lists up to `limit` requests after a position, newest first.
///
/// The statement is built at run time, because each combination of filters has an index of its own, which it selects by
/// repeating the condition of the index. The requests of each code are read by themselves, so that a rare code does not
/// read the whole log.
pub(crate) async fn list(
    conn: &mut Connection,
    filter: &Filter,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<LogEntry>, sqlx::Error> {
    let end = format!(" order by at desc, request_id desc limit {limit}");
    let mut query = QueryBuilder::new(SELECT);
    if filter.codes.is_empty() {
        query.push(match filter.partner {
            None => "status > 0",
            Some(_) => "duration_ms >= 0",
        });
        push_conditions(&mut query, filter, after);
    } else {
        query.push("request_id = any(array(select request_id from (");
        let mut separator = "";
        for code in filter.codes_once() {
            // As a literal: a plan for any code could walk the log for a rare one.
            query.push(format_args!(
                "{separator}(select request_id, at from requests where code = '{code}'"
            ));
            if filter.partner.is_none() {
                query.push(" and operation <> ''");
            }
            push_conditions(&mut query, filter, after);
            query.push(&end).push(")");
            separator = " union all ";
        }
        query.push(format_args!(") as found{end}))"));
    }
    query.push(&end);
    let rows: Vec<Row> = query.build_query_as().fetch_all(conn).await?;
    rows.into_iter().map(Row::into_entry).collect()
}

/// Appends ` and …` for the other filters and the position.
fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &Filter, after: Option<&Position>) {
    if let Some(partner) = filter.partner {
        query.push(" and partner_id = ").push_bind(partner.uuid());
    }
    if let Some(since) = filter.since {
        query.push(" and at >= ").push_bind(since);
    }
    if let Some((at, id)) = after {
        let at = DateTime::from_timestamp_micros(*at);
        query.push(" and (at, request_id) < (").push_bind(at);
        query.push(", ").push_bind(id.to_vec()).push(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_ignores_the_order_of_codes_but_not_their_choice() {
        let of = |codes: &[Code]| {
            Filter {
                codes: codes.to_vec(),
                ..Filter::default()
            }
            .canonical()
        };
        let (one, other) = (Code::OrderNotFound, Code::DuplicateOrder);
        assert_eq!(of(&[one, other]), of(&[other, one, other]));
        assert_ne!(of(&[one]), of(&[other]));
        assert_ne!(of(&[one]), of(&[]));
        let since = Filter {
            since: Some(DateTime::UNIX_EPOCH),
            ..Filter::default()
        };
        assert_ne!(since.canonical(), of(&[]));
    }
}
