//! An example receiver: it makes itself the webhook endpoint of the sandbox of `lmn dev`, and prints what arrives.
//!
//! ```sh
//! cargo run                        # in one terminal: the sandbox
//! cargo run --example receiver     # in another one
//! ```
//!
//! Arguments, all optional: the API's URL, the file of the API key, and the port to listen on. Like every receiver
//! should, it verifies deliveries, answers at once, takes every event once, and checks the sequence of each order.

#![allow(clippy::print_stdout, reason = "the output is for a person")]
#![allow(
    clippy::indexing_slicing,
    reason = "a JSON value without a member is null there"
)]

mod receive;
mod verify;

use std::{
    env,
    error::Error,
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::http::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let api = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:8080".into());
    let key_file = arguments.next().unwrap_or_else(|| ".lmn/api_key".into());
    let port = arguments.next().unwrap_or_else(|| "9999".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let url = format!("http://{}/lmn", listener.local_addr()?);
    let secret = register_endpoint(&api, fs::read_to_string(key_file)?.trim(), &url).await?;
    println!("Events of {api} are sent to {url}.");
    axum::serve(listener, receive::routes(secret, is_from_lmn)).await?;
    Ok(())
}

/// Makes `url` the partner's endpoint; returns its secret, a new one if the endpoint existed before.
async fn register_endpoint(api: &str, key: &str, url: &str) -> Result<String, Box<dyn Error>> {
    let ask = async |method: Method, path: &str, body: Value| -> Result<Value, Box<dyn Error>> {
        let request = Client::new().request(method, format!("{api}{path}"));
        let request = request
            .header("x-api-key", key)
            .header("idempotency-key", Uuid::new_v4().to_string())
            .header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        match status.is_success() {
            true => Ok(serde_json::from_str(&text)?),
            false => Err(format!("{path} answers {status}: {text}").into()),
        }
    };
    let mut endpoint = ask(Method::PUT, "/v1/webhook_endpoint", json!({"url": url})).await?;
    if endpoint["secret"].is_null() {
        let rotate = "/v1/webhook_endpoint/rotate_secret";
        endpoint = ask(Method::POST, rotate, json!({})).await?;
    }
    let secret = endpoint["secret"].as_str();
    Ok(secret.ok_or("there is no secret")?.to_owned())
}

/// Returns whether a delivery is LMN's, by the scheme of LMN's own header.
fn is_from_lmn(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let signature = headers.get("x-lmn-signature");
    let signature = signature.and_then(|it| it.to_str().ok());
    verify::is_from_lmn(secret, signature.unwrap_or_default(), body, now())
}

#[allow(
    clippy::disallowed_methods,
    reason = "a receiver has only the clock of its machine"
)]
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |it| it.as_secs().cast_signed())
}
