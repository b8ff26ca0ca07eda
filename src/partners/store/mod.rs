//! The store of partners and their rate limits, and in [`access`] their API keys and networks.

mod access;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub(crate) use self::access::{
    delete_network, find_grant_of_any_partner, insert_key, insert_network, list_keys,
    list_networks, lock_key_of_any_partner, set_last_used, update_key,
};
use super::model::Partner;
use crate::{
    database::{Connection, Tx, column::InvalidColumn},
    values::{
        id::{OrderId, PartnerId},
        rate_limit::{Kind, Policy},
        string_enum::StringEnum,
    },
};

/// Finds a partner by its id or its name.
pub(crate) async fn find(
    conn: &mut Connection,
    id_or_name: &str,
) -> Result<Option<Partner>, sqlx::Error> {
    let row = sqlx::query_as!(
        PartnerRow,
        r#"
        select id, name, contact, read_limit, read_window_seconds, read_burst, write_limit, write_window_seconds,
               write_burst, created_at
        from partners
        where id = $1 or name = $2
        "#,
        PartnerId::parse(id_or_name).map(PartnerId::uuid),
        id_or_name,
    )
    .fetch_optional(conn)
    .await?;
    row.map(PartnerRow::into_model).transpose()
}

/// Lists up to `limit` partners after one of them, the oldest first.
pub(crate) async fn list(
    conn: &mut Connection,
    after: Option<PartnerId>,
    limit: i64,
) -> Result<Vec<Partner>, sqlx::Error> {
    let rows = sqlx::query_as!(
        PartnerRow,
        r#"
        select id, name, contact, read_limit, read_window_seconds, read_burst, write_limit, write_window_seconds,
               write_burst, created_at
        from partners
        where $1::uuid is null or id > $1
        order by id
        limit $2
        "#,
        after.map(PartnerId::uuid),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(PartnerRow::into_model).collect()
}

/// Returns the partner of an order, with its name, and the order's external user id.
pub(crate) async fn find_owner(
    conn: &mut Connection,
    order: OrderId,
) -> Result<Option<(PartnerId, String, Option<String>)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select partners.id, partners.name, orders.external_user_id
        from orders
        join partners on partners.id = orders.partner_id
        where orders.id = $1
        "#,
        order.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.id.into(), row.name, row.external_user_id)))
}

/// Locks a partner against other changes by the operator. Rows of the partner that are read afterwards are current.
pub(crate) async fn lock(tx: &mut Tx, partner: PartnerId) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!(
        "select id from partners where id = $1 for no key update",
        partner.uuid()
    )
    .fetch_one(&mut **tx)
    .await
    .map(drop)
}

/// Inserts a partner. Returns `false` if another partner has the name.
pub(crate) async fn insert(
    tx: &mut Tx,
    partner: PartnerId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        insert into partners (id, name, created_at) values ($1, $2, $3)
        on conflict on constraint partners_name_unique do nothing
        "#,
        partner.uuid(),
        name,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets a partner's own rate limit for one kind of request; `None` restores the deployment's limit.
pub(crate) async fn set_limit(
    tx: &mut Tx,
    partner: PartnerId,
    kind: Kind,
    policy: Option<Policy>,
) -> Result<(), sqlx::Error> {
    let number = |value: fn(Policy) -> u32| policy.and_then(|it| i32::try_from(value(it)).ok());
    sqlx::query!(
        r#"
        update partners
        set read_limit = case $2 when 'read' then $3 else read_limit end,
            read_window_seconds = case $2 when 'read' then $4 else read_window_seconds end,
            read_burst = case $2 when 'read' then $5 else read_burst end,
            write_limit = case $2 when 'write' then $3 else write_limit end,
            write_window_seconds = case $2 when 'write' then $4 else write_window_seconds end,
            write_burst = case $2 when 'write' then $5 else write_burst end
        where id = $1
        "#,
        partner.uuid(),
        kind.as_str(),
        number(Policy::limit),
        number(Policy::window_seconds),
        number(Policy::burst),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Sets or clears a partner's contact for reminders.
pub(crate) async fn set_contact(
    tx: &mut Tx,
    partner: PartnerId,
    contact: Option<&str>,
) -> Result<(), sqlx::Error> {
    let id = partner.uuid();
    sqlx::query!(
        "update partners set contact = $2 where id = $1",
        id,
        contact
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// A row of `partners`.
struct PartnerRow {
    id: Uuid,
    name: String,
    contact: Option<String>,
    read_limit: Option<i32>,
    read_window_seconds: Option<i32>,
    read_burst: Option<i32>,
    write_limit: Option<i32>,
    write_window_seconds: Option<i32>,
    write_burst: Option<i32>,
    created_at: DateTime<Utc>,
}

impl PartnerRow {
    fn into_model(self) -> Result<Partner, sqlx::Error> {
        let read = policy(self.read_limit, self.read_window_seconds, self.read_burst);
        let write = policy(
            self.write_limit,
            self.write_window_seconds,
            self.write_burst,
        );
        Ok(Partner {
            id: self.id.into(),
            name: self.name,
            contact: self.contact,
            read: read.map_err(|error| error.in_row("partners", self.id))?,
            write: write.map_err(|error| error.in_row("partners", self.id))?,
            created_at: self.created_at,
        })
    }
}

/// Builds a policy from its columns, which are all null or all set. The schema has the same bounds as the model.
fn policy(
    limit: Option<i32>,
    window_seconds: Option<i32>,
    burst: Option<i32>,
) -> Result<Option<Policy>, InvalidColumn> {
    let (Some(limit), Some(window_seconds), Some(burst)) = (limit, window_seconds, burst) else {
        return Ok(None);
    };
    let number = |value: i32| u32::try_from(value).unwrap_or_default();
    let policy = Policy::new(number(limit), number(window_seconds), number(burst));
    policy.map(Some).ok_or_else(|| InvalidColumn::new(limit))
}
