//! Requests to the catalogue: pages, vehicles, and the pages of a list up to a depth.

use anyhow::Context;
use serde_json::Value;

use super::{
    http::{Client, Expected},
    plan::api_key,
};

/// The response with a page or a vehicle.
pub const READ: Expected = Expected {
    status: "200",
    header: "\r\ncontent-type: application/json\r\n",
};

/// Writes the request for a path or query below `/v1/vehicles`.
pub fn get(client: usize, below: &str, bytes: &mut Vec<u8>) {
    let api_key = api_key(client);
    let head = format!(
        "GET /v1/vehicles{below} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {api_key}\r\n\r\n"
    );
    bytes.extend_from_slice(head.as_bytes());
}

/// Reads a page, or a vehicle.
pub async fn read(client: &mut Client, below: &str) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    get(0, below, &mut bytes);
    Ok(serde_json::from_slice(
        client.ask(&bytes, READ).await?.body,
    )?)
}

/// Reads the pages of a list, each as large as possible, up to a number of vehicles; returns the query parameter of
/// the cursor there.
pub async fn skip(client: &mut Client, query: &str, vehicles: usize) -> anyhow::Result<String> {
    let mut cursor = String::new();
    let mut passed = 0;
    while passed < vehicles {
        let limit = (vehicles - passed).min(200);
        let page = read(client, &format!("?{query}&limit={limit}{cursor}")).await?;
        passed += page["data"].as_array().context("no page")?.len();
        let next = page["next_cursor"]
            .as_str()
            .with_context(|| format!("the list ends after {passed} vehicles"))?;
        cursor = format!("&cursor={next}");
    }
    Ok(cursor)
}
