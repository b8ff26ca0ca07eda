//! Rules of the source that no compiler checks: the order of the folders, names, sizes, purity, the places of SQL and HTTP.

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

/// The folders and files of `src` in their order. Each imports only from those before it; one line is one rank.
const ORDER: [&str; 28] = [
    "values",
    "config",
    "telemetry",
    "database",
    "errors",
    "http",
    "audit",
    "partners",
    "operators",
    "request",
    "request_log",
    "idempotency",
    "middleware",
    "events",
    "vehicles",
    "orders",
    "webhooks",
    "catalogue_import",
    "sandbox",
    "operator",
    "status",
    "console",
    "jobs",
    "openapi",
    "app",
    "router",
    "server",
    "cli",
];

/// Maximum number of lines of a file, without its tests.
const LINES_MAX: usize = 350;

/// Names that do not say what a file contains.
const FORBIDDEN_NAMES: [&str; 7] = [
    "utils", "util", "common", "helpers", "types", "services", "dto",
];

/// Files that decide on values and a given time: no I/O, no clock, no database, no HTTP.
const PURE: [&str; 10] = [
    "model.rs",
    "api_key.rs",
    "placing.rs",
    "state_machine.rs",
    "locked_order.rs",
    "event.rs",
    "view.rs",
    "target.rs",
    "signature.rs",
    "schedule.rs",
];

/// Folders and files that handle HTTP with axum, besides `handlers.rs` and `list_handlers.rs`.
const HTTP: [&str; 14] = [
    "errors/",
    "http/",
    "request/",
    "idempotency/",
    "middleware/",
    "sandbox/",
    "operator/",
    "status/",
    "console/",
    "openapi/",
    "app.rs",
    "router.rs",
    "router/",
    "server/",
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
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            let name = path.strip_prefix(&root).unwrap().to_string_lossy();
            files.insert(name.into_owned(), product.to_owned());
        }
    }
    assert!(files.len() > 40, "the source is where it was");
    files
}

/// Returns the text without comments.
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

/// Returns the folder or file below `src` that a path begins with.
fn first(path: &str) -> &str {
    path.split(['/', ':'])
        .next()
        .unwrap_or(path)
        .trim_end_matches(".rs")
}

/// Returns the place of a folder in the order.
fn rank(folder: &str) -> usize {
    let place = ORDER.iter().position(|it| *it == folder);
    place.unwrap_or_else(|| {
        panic!("`{folder}` has no place in ORDER: give it one, and describe it in ARCHITECTURE.md")
    })
}

/// Returns the folders that a file imports from, also in its doc links: what follows `crate::`, groups expanded.
fn imports(text: &str) -> Vec<String> {
    let mut folders = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_');
            folders.push(rest[..end.unwrap_or(rest.len())].to_owned());
            continue;
        };
        let mut depth = 0;
        let mut name = String::new();
        for it in group.chars() {
            match it {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => folders.push(std::mem::take(&mut name)),
                it if depth == 0 => name.push(it),
                _ => {}
            }
        }
        folders.push(name);
    }
    let folders = folders.iter().map(|it| first(it.trim()).to_owned());
    folders.filter(|it| !it.is_empty()).collect()
}

#[test]
fn folders_import_only_from_folders_before_them() {
    let mut seen = 0;
    for (file, text) in sources() {
        let folder = first(&file);
        if matches!(folder, "lib" | "main") {
            continue;
        }
        for imported in imports(&text) {
            seen += 1;
            assert!(
                rank(&imported) <= rank(folder),
                "src/{file} imports from `{imported}`, which comes after `{folder}`: move what both need to `{folder}` or \
                 before it, or move the caller to `{imported}`"
            );
        }
    }
    assert!(seen > 300, "imports are read");
}

#[test]
fn import_groups_are_expanded() {
    let text = "use crate::{a::{b, c::D}, e,}; fn f() -> crate::g::H {} // [`crate::i`]";
    assert_eq!(imports(text), ["a", "e", "g", "i"]);
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
    let is_pure = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file);
        file.starts_with("values/") || PURE.contains(&name)
    };
    for (file, text) in sources().into_iter().filter(|it| is_pure(&it.0)) {
        let text = code(&text);
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

#[test]
fn sql_is_in_stores_and_http_at_the_edges() {
    for (file, text) in sources() {
        let text = code(&text);
        let may_sql = is_store(&file) || file.starts_with("database/") || file.starts_with("cli/");
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
        assert!(
            may_sql || !speaks_sql,
            "{file} contains SQL: move it to a store"
        );
        let may_http = file.ends_with("handlers.rs") || HTTP.iter().any(|it| file.starts_with(it));
        assert!(
            may_http || !text.contains("axum"),
            "{file} uses axum: only handlers, extractors and layers do"
        );
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
fn routes_are_all_in_the_router() {
    for (file, text) in sources().into_iter().filter(|it| first(&it.0) != "router") {
        let text = code(&text);
        for way_around in [
            "routes!(",
            ".route(",
            ".route_service(",
            ".nest(",
            ".nest_service(",
            "axum::routing",
        ] {
            assert!(
                !text.contains(way_around),
                "{file} adds a route by `{way_around}`: list it in router.rs, or in router/"
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
