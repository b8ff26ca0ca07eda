//! The catalogue over HTTP.

mod cache;
mod car;
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
mod walks;

use crate::support::{Partner, Service};

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

/// Raises the catalogue's version without announcing it.
const SILENCE: &str = "do $$
    declare
        spoken text := pg_get_functiondef('raise_catalogue_version'::regproc);
        silent text := replace(spoken, 'perform pg_notify(''lmn_catalogue'', '''');', '');
    begin
        assert spoken <> silent, 'there is nothing to leave out';
        execute silent;
    end $$";

/// Loses the announcements of changes from here on.
async fn silence(service: &Service) {
    service.sql_elsewhere(SILENCE).await;
}
