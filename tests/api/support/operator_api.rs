//! [`OperatorApi`]: one of LMN's people, who calls the operator API with a token.

use lmn_partner_api::{operators::model::Role, values::string_enum::StringEnum};
use reqwest::{Client, Method};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Ask, Reply, Service, key};

/// The part of the path that all routes have.
const BASE: &str = "/operator/v1";

/// An operator with a token.
#[derive(Clone)]
pub struct OperatorApi {
    pub token: String,
    pub url: String,
    pub client: Client,
}

impl OperatorApi {
    /// Adds an operator with a role, who calls the operator's listener of a service.
    pub async fn add(service: &Service, name: &str, role: Role) -> Self {
        Self::at(service.db(), &service.operator_url().await, name, role).await
    }

    /// Adds an operator with a role to a database, who calls the operator's listener at `url`.
    pub async fn at(db: &PgPool, url: &str, name: &str, role: Role) -> Self {
        let random = format!("{}AAAAAAAA", Uuid::new_v4().simple());
        let token = format!("lmn_op_{}", random.get(12..).expect("a UUID has 32 digits"));
        let statement = "insert into operators (id, name, role, digest, created_at)
                         values ($1, $2, $3::text, sha256($4::text::bytea), now())";
        let added = sqlx::query(statement)
            .bind(Uuid::new_v4())
            .bind(name)
            .bind(role.as_str())
            .bind(&token);
        added.execute(db).await.expect(statement);
        Self {
            token,
            url: url.to_owned(),
            client: Client::new(),
        }
    }

    /// Revokes the token.
    pub async fn revoke(&self, db: &PgPool) {
        self.end(db, "revoked_at = now()").await;
    }

    /// Lets the token expire at once.
    pub async fn expire(&self, db: &PgPool) {
        self.end(db, "expires_at = now()").await;
    }

    async fn end(&self, db: &PgPool, change: &str) {
        let statement = format!(
            "update operators set {change} where digest = sha256('{}'::bytea)",
            self.token
        );
        let ended = sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(db)
            .await;
        assert_eq!(ended.expect("an operator has a row").rows_affected(), 1);
    }

    /// Builds a request below `/operator/v1` without a token.
    pub fn ask_openly(&self, method: Method, path: &str) -> Ask {
        let url = format!("{}{BASE}{path}", self.url);
        Ask::new(self.client.request(method, url))
    }

    /// Builds a request below `/operator/v1`.
    pub fn ask(&self, method: Method, path: &str) -> Ask {
        let authorization = format!("Bearer {}", self.token);
        self.ask_openly(method, path)
            .header("authorization", &authorization)
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path).send().await
    }

    /// Reads one page of a list, and returns its rows.
    pub async fn rows(&self, path: &str) -> Vec<Value> {
        let body = self.get(path).await.ok();
        body["data"].as_array().cloned().unwrap_or_default()
    }

    /// Sends a POST request with a new idempotency key.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.post_once(&key(), path, body).await
    }

    /// Sends a POST request with a given idempotency key.
    pub async fn post_once(&self, key: &str, path: &str, body: Value) -> Reply {
        let ask = self.ask(Method::POST, path).key(key).json(&body);
        ask.send().await
    }
}
