//! The catalogue over HTTP.

mod car;
mod facets;
mod filters;
mod fresh;
mod inputs;
mod list;
mod model;
mod walks;

use crate::support::Partner;

/// Walks a list to its end in pages of three.
async fn walk(partner: &Partner, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = partner
            .get(&format!("/v1/vehicles?{query}&limit=3{cursor}"))
            .await;
        ids.extend(page.ids());
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}
