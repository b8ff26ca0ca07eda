//! The networks that partners may call from.

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use crate::{
    database::{Connection, Tx},
    values::id::PartnerId,
};

/// Lists the networks that a partner may call from.
pub(crate) async fn list_networks(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<Vec<IpNet>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select network as "network: IpNet" from allowed_networks where partner_id = $1 order by network"#,
        partner.uuid(),
    )
    .fetch_all(conn)
    .await
}

/// Adds a network to a partner's allowlist.
pub(crate) async fn insert_network(
    tx: &mut Tx,
    partner: PartnerId,
    network: IpNet,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into allowed_networks (partner_id, network, created_at) values ($1, $2, $3)",
        partner.uuid(),
        network as IpNet,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Removes a network from a partner's allowlist. Returns `false` if it was not on the list.
pub(crate) async fn delete_network(
    tx: &mut Tx,
    partner: PartnerId,
    network: IpNet,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from allowed_networks where partner_id = $1 and network = $2",
        partner.uuid(),
        network as IpNet,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
