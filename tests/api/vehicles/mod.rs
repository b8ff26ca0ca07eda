//! Vehicles over HTTP.

mod cache;
mod changing;
mod cut_off;
mod facets;
mod filters;
mod fresh;
mod importer;
mod inputs;
mod list;
mod loading;
mod model;
mod orderable;
mod relisted;
mod replicas;
mod vehicle;
mod walks;

use crate::support::{Partner, Service};

/// Reads all pages of a list, three vehicles a page, and returns the ids.
async fn list_all(partner: &Partner, query: &str) -> Vec<String> {
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

/// Stops the notifications of catalogue changes, by another version of the function that sends them.
async fn disable_notifications(service: &Service) {
    let disable = "do $$
        declare
            spoken text := pg_get_functiondef('raise_catalogue_version'::regproc);
            silent text := replace(spoken, 'perform pg_notify(''lmn_catalogue'', '''');', '');
        begin
            assert spoken <> silent, 'there is nothing to leave out';
            execute silent;
        end $$";
    service.sql_elsewhere(disable).await;
}
