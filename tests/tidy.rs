//! Rules of the source that no compiler checks: names, sizes, purity, and the ranks of ARCHITECTURE.md.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests fail loudly, spawn freely and share their support"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Maximum number of lines of a file, without its tests.
const LINES_MAX: usize = 350;

/// Names that do not say what a file contains.
const FORBIDDEN_NAMES: [&str; 7] = [
    "utils", "util", "common", "helpers", "types", "services", "dto",
];

/// Returns every file below `src` by its path there, without its tests.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let product = text
                .split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .to_owned();
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            files.insert(name, product);
        }
    }
    assert!(files.len() > 40, "the source is where it was");
    files
}

/// Returns the lines that are not comments.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Returns whether a file is a store, or in the folder of one.
fn is_store(file: &str) -> bool {
    file.ends_with("/store.rs") || file.contains("/store/")
}

/// Returns the rank of a file, which may import from its own folder and from lower ranks.
fn rank(file: &str) -> u8 {
    let name = file.rsplit('/').next().unwrap_or(file);
    let folder = file.split('/').next().unwrap_or(file);
    match (folder, name) {
        (
            _,
            "model.rs" | "state.rs" | "transition.rs" | "outcome.rs" | "view.rs" | "catalogue.rs",
        ) => 0,
        ("errors", "entry.rs") | ("orders", "rendered.rs") | ("vehicles", "names.rs") => 0,
        ("errors", "routes.rs") => 4,
        ("webhooks", "address.rs" | "signature.rs" | "schedule.rs") => 0,
        ("values", _) => 0,
        _ if file.starts_with("vehicles/demo/") || file == "vehicles/import/fields.rs" => 0,
        _ if file == "vehicles/import/change.rs" => 0,
        ("config" | "telemetry" | "database" | "errors" | "http", _) => 1,
        (_, "store.rs" | "row.rs" | "filter.rs" | "filters.rs" | "sort.rs") => 2,
        ("webhooks", "client.rs") => 2,
        _ if is_store(file) || file.starts_with("vehicles/search/") => 2,
        ("request" | "idempotency" | "app.rs", _) => 2,
        ("middleware", _) => 3,
        (_, "routes.rs" | "lists.rs" | "status.rs" | "answer.rs" | "query.rs")
        | ("sandbox" | "openapi", _) => 4,
        (
            _,
            "changes.rs" | "transitions.rs" | "progress.rs" | "auction.rs" | "effects.rs"
            | "operator.rs" | "sweeps.rs",
        ) => 4,
        ("vehicles", "cache.rs" | "facets.rs" | "render.rs" | "batch.rs" | "snapshot.rs") => 4,
        ("webhooks", "worker.rs" | "backlog.rs") if !is_store(file) => 4,
        (_, "mod.rs") => 4,
        ("lib.rs" | "main.rs" | "router.rs" | "server" | "cli", _) => 5,
        _ => panic!("{file} has no rank: give it one here and in ARCHITECTURE.md"),
    }
}

/// Returns the paths below `crate::` that a file imports, with groups expanded.
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let mut paths = Vec::new();
    for rest in code.split("crate::").skip(1) {
        expand(rest, "", &mut paths);
    }
    paths
}

/// Reads one path or group; returns the text that follows it.
fn expand<'a>(text: &'a str, before: &str, paths: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let next = expand(rest, before, paths);
            rest = next.trim_start().trim_start_matches(',');
            if next.len() == rest.len() && !rest.starts_with('}') {
                return rest;
            }
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let path = format!("{before}{}", &text[..end]);
    match text[end..].strip_prefix("::") {
        Some(rest) => expand(rest, &format!("{path}::"), paths),
        None => {
            paths.push(path);
            &text[end..]
        }
    }
}

/// Returns the file that a path leads to: the longest match.
fn target(path: &str, sources: &BTreeMap<String, String>) -> Option<String> {
    let parts: Vec<&str> = path.split("::").collect();
    (1..=parts.len()).rev().find_map(|n| {
        let stem = parts[..n].join("/");
        [format!("{stem}.rs"), format!("{stem}/mod.rs")]
            .into_iter()
            .find(|file| sources.contains_key(file))
    })
}

#[test]
fn files_begin_with_a_module_comment_and_are_short() {
    for (file, text) in sources() {
        let opening = match file.ends_with(".lua") {
            true => "-- ",
            false => "//! ",
        };
        assert!(
            text.starts_with(opening),
            "{file} does not begin with a module comment"
        );
        let lines = text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{file} has {lines} lines, more than {LINES_MAX}: split it"
        );
    }
}

#[test]
fn names_of_files_are_nouns_of_the_product() {
    for file in sources().keys() {
        for name in file.trim_end_matches(".rs").split('/') {
            assert!(
                !FORBIDDEN_NAMES.contains(&name),
                "{file}: name it by a noun of the product"
            );
        }
    }
}

#[test]
fn models_are_pure() {
    for (file, text) in sources() {
        let text = code(&text);
        if rank(&file) == 0 {
            for word in [
                "axum",
                "sqlx",
                "tokio",
                "async ",
                "std::fs",
                "std::env",
                "Instant::now",
                "::now()",
            ] {
                assert!(
                    !text.contains(word),
                    "{file} is pure and must not use `{word}`"
                );
            }
        }
    }
}

#[test]
fn sql_is_in_stores_and_http_at_the_edges() {
    for (file, text) in sources() {
        let text = code(&text);
        let name = file.rsplit('/').next().unwrap_or_default();
        let may_sql = is_store(&file)
            || matches!(name, "row.rs" | "filter.rs")
            || file.starts_with("database/")
            || file.starts_with("cli/");
        let speaks_sql = [
            "query!(",
            "query_as!(",
            "query_scalar!(",
            "QueryBuilder",
            "raw_sql(",
            "sqlx::query",
        ]
        .iter()
        .any(|it| text.contains(it));
        assert!(may_sql || !speaks_sql, "{file} contains SQL");
        let may_http = matches!(
            name,
            "routes.rs"
                | "lists.rs"
                | "status.rs"
                | "answer.rs"
                | "facets.rs"
                | "app.rs"
                | "router.rs"
        ) || [
            "http/",
            "request/",
            "idempotency/",
            "middleware/",
            "errors/",
            "server/",
            "sandbox/",
            "openapi/",
        ]
        .iter()
        .any(|it| file.starts_with(it));
        assert!(may_http || !text.contains("axum"), "{file} uses axum");
        if is_store(&file) {
            for word in ["ApiError", "crate::http", "axum", ".commit(", "begin("] {
                assert!(
                    !text.contains(word),
                    "{file} is a store and must not use `{word}`"
                );
            }
        }
    }
}

#[test]
fn routes_are_all_in_the_document() {
    // The operator's listener has a document of its own, and the files of a page are not operations.
    let partners =
        |(file, _): &(String, String)| !file.starts_with("operator/") && file != "openapi/page.rs";
    for (file, text) in sources().into_iter().filter(partners) {
        let text = code(&text);
        for way_around in [
            ".route(",
            ".route_service(",
            ".nest(",
            ".nest_service(",
            "axum::routing",
        ] {
            assert!(
                !text.contains(way_around),
                "{file} puts up a route by `{way_around}`, of which the document does not contain: use `routes!`"
            );
        }
    }
}

#[test]
fn queries_that_are_read_are_documented() {
    let mut seen = 0;
    for (file, text) in sources() {
        let handlers = code(&text);
        for handler in handlers.split("#[utoipa::path(").skip(1) {
            let (described, handler) = handler.split_once("))]").unwrap();
            let arguments = handler.split_once('{').unwrap().0;
            for query in arguments.split(": Query<").skip(1) {
                let name = query.split_once('>').unwrap().0;
                if name == "()" {
                    continue;
                }
                let parameters = described.split_once("params(").map_or("", |(_, it)| it);
                let parameters = parameters.split_once(')').map_or("", |(it, _)| it);
                assert!(
                    parameters.split(", ").any(|it| it == name),
                    "{file}: `{name}` is read and not documented: add it to `params`"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 2, "handlers are read");
}

#[test]
fn files_import_from_their_own_folder_and_lower_ranks() {
    let sources = sources();
    let mut seen = 0;
    for (file, text) in &sources {
        let folder = |file: &str| file.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        for path in imports(text) {
            let Some(target) = target(&path, &sources) else {
                continue;
            };
            seen += 1;
            let same_folder = folder(file).is_some() && folder(file) == folder(&target);
            assert!(
                same_folder || rank(&target) <= rank(file),
                "{file} (rank {}) imports {target} (rank {}) through {path}",
                rank(file),
                rank(&target)
            );
            let feature = |file: &str| file.split('/').next().map(str::to_owned);
            let are_stores = is_store(file) && is_store(&target);
            let are_routes = file.ends_with("/routes.rs") && target.ends_with("/routes.rs");
            let sideways = (are_stores || are_routes) && feature(file) != feature(&target);
            assert!(
                !sideways,
                "{file} imports {target}: two stores, or two files of routes, meet in a handler"
            );
        }
    }
    assert!(seen > 100, "imports are read");
}

#[test]
fn import_groups_are_expanded() {
    let text = "use crate::{a::{b, c::D}, e}; fn f() -> crate::g::H {}";
    assert_eq!(imports(text), ["a::b", "a::c::D", "e", "g::H"]);
}
