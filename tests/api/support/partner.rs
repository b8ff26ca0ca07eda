//! [`Partner`]: a client with an API key.

use std::sync::atomic::{AtomicU16, Ordering};

use lmn_partner_api::values::rate_limit::Policy;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::Reply;

/// Path of a partner's webhook endpoint.
pub const ENDPOINT: &str = "/v1/webhook_endpoint";

/// A partner that calls the API.
#[derive(Clone)]
pub struct Partner {
    pub id: Uuid,
    pub api_key: String,
    pub url: String,
    client: Client,
}

/// Returns a new idempotency key.
pub fn key() -> String {
    Uuid::new_v4().to_string()
}

/// Returns a limit of requests in a window of some seconds, and of a burst at once.
pub fn limit(requests: u32, window_seconds: u32, burst: u32) -> Policy {
    Policy::new(requests, window_seconds, burst).expect("it is a limit")
}

/// Returns a limit of some requests at once, after which none becomes available while a test runs.
pub fn burst_alone(burst: u32) -> Policy {
    limit(1, 20_000, burst)
}

/// Number of partners that this process has added.
static PARTNERS: AtomicU16 = AtomicU16::new(0);

impl Partner {
    /// Adds a partner with an API key to a database. The partner calls the service at `url`.
    pub async fn add(db: &PgPool, url: &str, name: &str) -> Self {
        let id = Uuid::new_v4();
        sqlx::query(
            "insert into partners (id, name, created_at, read_limit, read_window_seconds, read_burst,
                                   write_limit, write_window_seconds, write_burst)
             values ($1, $2, now(), 100000, 1, 100000, 100000, 1, 100000)",
        )
        .bind(id)
        .bind(name)
        .execute(db)
        .await
        .expect("a partner can be added");
        // Keys are told apart by four characters, which must differ within a database.
        let number = PARTNERS.fetch_add(1, Ordering::Relaxed);
        let random = Uuid::new_v4().simple().to_string();
        let rest = random.get(..24).expect("a UUID has 32 digits");
        let api_key = format!("lmn_stg_{number:04x}{rest}");
        let partner = Self::known(url, id, &api_key);
        partner.issue(db, &partner.api_key).await;
        partner
    }

    /// Returns a partner that already exists in the database, with its API key.
    pub fn known(url: &str, id: Uuid, api_key: &str) -> Self {
        Self {
            id,
            api_key: api_key.to_owned(),
            url: url.to_owned(),
            client: Client::new(),
        }
    }

    /// Stores an API key of this partner.
    pub async fn issue(&self, db: &PgPool, api_key: &str) {
        sqlx::query(
            "insert into api_keys (id, partner_id, digest, prefix, created_at)
             values ($1, $2, sha256($3::text::bytea), left($3, 12), now())",
        )
        .bind(Uuid::new_v4())
        .bind(self.id)
        .bind(api_key)
        .execute(db)
        .await
        .expect("a key can be issued");
    }

    /// Revokes an API key of this partner.
    pub async fn revoke(&self, db: &PgPool, api_key: &str) {
        let statement =
            "update api_keys set revoked_at = now() where digest = sha256($1::text::bytea)";
        let revoked = sqlx::query(statement).bind(api_key).execute(db).await;
        assert_eq!(revoked.expect(statement).rows_affected(), 1);
    }

    /// Lets an API key of this partner expire in some seconds, or at once if they are zero or negative.
    pub async fn expire(&self, db: &PgPool, api_key: &str, seconds: i64) {
        let statement = "update api_keys set expires_at = now() + $2 * interval '1 second'
                         where digest = sha256($1::text::bytea)";
        let expired = sqlx::query(statement).bind(api_key).bind(seconds);
        let expired = expired.execute(db).await;
        assert_eq!(expired.expect(statement).rows_affected(), 1);
    }

    /// Sets the limit of this partner's reads.
    pub async fn set_read_limit(&self, db: &PgPool, limit: Policy) {
        let statement =
            "update partners set read_limit = $2, read_window_seconds = $3, read_burst = $4
                         where id = $1";
        self.set_limit(db, statement, limit).await;
    }

    /// Sets the limit of this partner's writes.
    pub async fn set_write_limit(&self, db: &PgPool, limit: Policy) {
        let statement =
            "update partners set write_limit = $2, write_window_seconds = $3, write_burst = $4
                         where id = $1";
        self.set_limit(db, statement, limit).await;
    }

    async fn set_limit(&self, db: &PgPool, statement: &'static str, limit: Policy) {
        let set = sqlx::query(statement)
            .bind(self.id)
            .bind(i64::from(limit.limit()))
            .bind(i64::from(limit.window_seconds()))
            .bind(i64::from(limit.burst()));
        set.execute(db).await.expect(statement);
    }

    /// Adds networks to this partner's allowlist, in one statement.
    pub async fn allow_networks(&self, db: &PgPool, networks: &[&str]) {
        let statement = "insert into allowed_networks (partner_id, network, created_at)
                         select $1, network::cidr, now() from unnest($2::text[]) as network";
        let allowed = sqlx::query(statement).bind(self.id).bind(networks);
        allowed.execute(db).await.expect(statement);
    }

    /// Returns the same partner with another API key.
    pub fn with_key(&self, api_key: &str) -> Self {
        Self {
            api_key: api_key.to_owned(),
            ..self.clone()
        }
    }

    /// Returns the same partner, which calls another replica.
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// Builds a request with the API key.
    pub fn ask(&self, method: Method, path: &str) -> Ask {
        let request = self.client.request(method, format!("{}{path}", self.url));
        Ask(request.header("x-api-key", &self.api_key))
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path).send().await
    }

    /// Sends a POST request with a new idempotency key.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.post_once(&key(), path, body).await
    }

    /// Sends a POST request with a given idempotency key.
    pub async fn post_once(&self, key: &str, path: &str, body: Value) -> Reply {
        self.ask(Method::POST, path)
            .key(key)
            .json(&body)
            .send()
            .await
    }

    /// Places an order with a new idempotency key.
    pub async fn place_order(&self, vehicle_id: &str, max_bid: impl Into<Option<i64>>) -> Reply {
        self.place_order_once(&key(), vehicle_id, max_bid).await
    }

    /// Places an order with a given idempotency key.
    pub async fn place_order_once(
        &self,
        key: &str,
        vehicle_id: &str,
        max_bid: impl Into<Option<i64>>,
    ) -> Reply {
        let body = json!({"vehicle_id": vehicle_id, "max_bid_amount_usd": max_bid.into()});
        self.post_once(key, "/v1/orders", body).await
    }

    /// Reads an order.
    pub async fn order(&self, id: &str) -> Reply {
        self.get(&format!("/v1/orders/{id}")).await
    }

    /// Reports the status of an order.
    pub async fn report(&self, id: &str, report: Value) -> Reply {
        self.post(&format!("/v1/orders/{id}/status"), report).await
    }

    /// Reads one page of a list, and returns its rows.
    pub async fn rows(&self, path: &str) -> Vec<Value> {
        let body = self.get(path).await.ok();
        body["data"].as_array().cloned().unwrap_or_default()
    }

    /// Reads the payloads of an order's events, oldest first.
    pub async fn events_of(&self, id: &str) -> Vec<Value> {
        let rows = self
            .rows(&format!("/v1/orders/{id}/events?limit=200"))
            .await;
        rows.into_iter()
            .rev()
            .map(|row| row["payload"].clone())
            .collect()
    }

    /// Advances this partner's sandbox clock, and returns the clock.
    pub async fn wait(&self, seconds: i64) -> Value {
        let body = json!({"advance_seconds": seconds});
        self.post("/v1/sandbox/clock", body).await.ok()
    }

    /// Resets this partner's sandbox clock to real time.
    pub async fn reset_clock(&self) {
        let reset = self.ask(Method::DELETE, "/v1/sandbox/clock").key(&key());
        reset.send().await.ok();
    }

    /// Creates or changes this partner's webhook endpoint.
    pub async fn hook(&self, settings: Value) -> Reply {
        self.ask(Method::PUT, ENDPOINT).json(&settings).send().await
    }

    /// Deletes this partner's webhook endpoint.
    pub async fn unhook(&self) -> Reply {
        self.ask(Method::DELETE, ENDPOINT).key(&key()).send().await
    }

    /// Gives this partner's webhook endpoint another secret, and returns it.
    pub async fn rotate_secret(&self) -> String {
        let path = format!("{ENDPOINT}/rotate_secret");
        let rotated = self.post(&path, json!({})).await.ok();
        let secret = rotated["secret"].as_str();
        secret.expect("the new secret is shown").to_owned()
    }

    /// Lets LMN send a test event to this partner's webhook endpoint, and returns the event.
    pub async fn test_endpoint(&self) -> Value {
        let test = self.post(&format!("{ENDPOINT}/test"), json!({})).await;
        test.expect(202)
    }

    /// Cancels an order with a new idempotency key.
    pub async fn cancel(&self, id: &str) -> Reply {
        self.cancel_once(&key(), id).await
    }

    /// Cancels an order with a given idempotency key.
    pub async fn cancel_once(&self, key: &str, id: &str) -> Reply {
        self.ask(Method::DELETE, &format!("/v1/orders/{id}"))
            .key(key)
            .send()
            .await
    }
}

/// A request that is being built.
pub struct Ask(RequestBuilder);

impl Ask {
    pub fn new(request: RequestBuilder) -> Self {
        Self(request)
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    pub async fn send(self) -> Reply {
        Reply::of(self.0.send().await.expect("the service answers")).await
    }
}
