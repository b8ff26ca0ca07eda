//! SQL of operators.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::model::Operator;
use crate::{
    database::{
        Connection, Tx,
        column::{InvalidColumn, word},
    },
    values::{id::OperatorId, secret::SecretDigest, string_enum::StringEnum},
};

/// A row of `operators`, without the digest.
struct Row {
    id: Uuid,
    name: String,
    role: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_model(self) -> Result<Operator, sqlx::Error> {
        let role = word(&self.role);
        Ok(Operator {
            role: role.map_err(|error: InvalidColumn| error.in_row("operators", self.id))?,
            id: self.id.into(),
            name: self.name,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        })
    }
}

/// Finds the operator with a token, also if the token is revoked or expired, and returns the database's time with it.
pub(crate) async fn find_by_digest(
    conn: &mut Connection,
    digest: &SecretDigest,
) -> Result<Option<(Operator, DateTime<Utc>)>, sqlx::Error> {
    let found = sqlx::query!(
        r#"
        select id, name, role::text as "role!", created_at, expires_at, revoked_at, clock_timestamp() as "now!"
        from operators
        where digest = $1
        "#,
        digest.as_slice(),
    )
    .fetch_optional(conn)
    .await?;
    found
        .map(|it| {
            let row = Row {
                id: it.id,
                name: it.name,
                role: it.role,
                created_at: it.created_at,
                expires_at: it.expires_at,
                revoked_at: it.revoked_at,
            };
            Ok((row.into_model()?, it.now))
        })
        .transpose()
}

/// Lists up to `limit` operators after one of them, the revoked ones included, the oldest first.
pub(crate) async fn list(
    conn: &mut Connection,
    after: Option<OperatorId>,
    limit: i64,
) -> Result<Vec<Operator>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, name, role::text as "role!", created_at, expires_at, revoked_at
        from operators
        where $1::uuid is null or id > $1
        order by id
        limit $2
        "#,
        after.map(OperatorId::uuid),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_model).collect()
}

/// Inserts an operator. Returns `false` if another one that is not revoked has the name.
pub(crate) async fn insert(
    tx: &mut Tx,
    operator: &Operator,
    digest: &SecretDigest,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        insert into operators (id, name, role, digest, created_at, expires_at)
        values ($1, $2, $3::text, $4, $5, $6)
        on conflict (name) where revoked_at is null do nothing
        "#,
        operator.id.uuid(),
        operator.name,
        operator.role.as_str(),
        digest.as_slice(),
        operator.created_at,
        operator.expires_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Revokes the operator with a name that is not revoked yet, and returns it.
pub(crate) async fn revoke(
    tx: &mut Tx,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<Operator>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        update operators set revoked_at = $2
        where name = $1 and revoked_at is null
        returning id, name, role::text as "role!", created_at, expires_at, revoked_at
        "#,
        name,
        now,
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Row::into_model).transpose()
}
