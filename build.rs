//! Renders the documentation for partners, and gives the program the commit that it is built from.

#![allow(
    clippy::print_stdout,
    reason = "cargo reads the directives of a build script there"
)]

use std::{
    env,
    error::Error,
    fs::{self, read_to_string},
    path::{Path, PathBuf},
    process::Command,
};

use docs_site::{Group, Page, Site};

/// The pages of the documentation, in the order of the navigation.
const GROUPS: &[Group<'static>] = &[
    Group {
        title: "Start",
        pages: &[
            page("", "Overview", "docs/portal/index.md"),
            page("quickstart", "Quickstart", "docs/portal/quickstart.md"),
            page("concepts", "Concepts", "docs/portal/concepts.md"),
        ],
    },
    Group {
        title: "Guides",
        pages: &[
            page("idempotency", "Idempotency", "docs/portal/idempotency.md"),
            page("errors", "Errors and retries", "docs/portal/errors.md"),
            page("pagination", "Pagination", "docs/portal/pagination.md"),
            page("rate-limits", "Rate limits", "docs/portal/rate-limits.md"),
            page("events", "Events", "docs/portal/events.md"),
            page("webhooks", "Webhooks", "docs/portal/webhooks.md"),
        ],
    },
    Group {
        title: "Test and launch",
        pages: &[
            page("sandbox", "Sandbox", "docs/portal/sandbox.md"),
            page("going-live", "Going live", "docs/portal/going-live.md"),
            page("versioning", "Versioning", "docs/portal/versioning.md"),
            page("status", "Service status", "docs/portal/status.md"),
        ],
    },
    Group {
        title: "Reference",
        pages: &[
            page("reference", "API reference", "docs/page/reference.html"),
            page("error-catalogue", "Error catalogue", "docs/errors.md"),
            page("changelog", "Changelog", "CHANGELOG.md"),
        ],
    },
];
/// The sources of the pages, besides the list above.
const SOURCES: [&str; 4] = ["docs/portal", "docs/page", "docs/errors.md", "CHANGELOG.md"];
/// The number of characters of a commit that are shown.
const COMMIT_LENGTH: usize = 12;

const fn page(name: &'static str, title: &'static str, source: &'static str) -> Page<'static> {
    Page {
        name,
        title,
        source,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    render_pages()?;
    name_commit();
    Ok(())
}

/// Writes each page to a file, and `pages.rs`, the list of their names and texts.
fn render_pages() -> Result<(), Box<dyn Error>> {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let template = read_to_string("docs/page/page.html")?;
    let site = Site {
        root: Path::new("."),
        folder: "docs",
        base_url: "https://lmn.example",
        template: &template,
        groups: GROUPS,
    };
    let pages = match site.render() {
        Ok(pages) => pages,
        Err(errors) => {
            // Each fails the build.
            for error in errors.0 {
                println!("cargo::error={error}");
            }
            return Ok(());
        }
    };
    let mut list = "&[\n".to_owned();
    for page in pages {
        let file = format!("page-{}.html", page.name);
        fs::write(out.join(&file), page.html)?;
        let name = page.name;
        list.push_str(&format!(
            "({name:?}, include_str!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))),\n"
        ));
    }
    list.push_str("]\n");
    fs::write(out.join("pages.rs"), list)?;
    Ok(())
}

/// Sets the variables `LMN_COMMIT` and `LMN_COMMIT_DATE` of the program: from git, else from the variables of the same
/// names that the build is given, else `unknown`.
///
/// Only a release build reads git: in development each commit would build the package again.
fn name_commit() {
    let is_release = env::var("PROFILE").is_ok_and(|it| it == "release");
    let git = is_release.then(commit_of_git).flatten().unwrap_or_default();
    for (name, found) in [("LMN_COMMIT", git.0), ("LMN_COMMIT_DATE", git.1)] {
        println!("cargo::rerun-if-env-changed={name}");
        let given = || env::var(name).ok();
        let value = found.or_else(given).filter(|it| !it.is_empty());
        let value = value.unwrap_or_else(|| "unknown".to_owned());
        let value: String = value.chars().take(COMMIT_LENGTH).collect();
        println!("cargo::rustc-env={name}={value}");
    }
}

/// Returns the commit of this checkout and its date, and lets the build run again when it changes.
fn commit_of_git() -> Option<(Option<String>, Option<String>)> {
    // A release that is unpacked inside another repository has no commit.
    let is_root = git(&["rev-parse", "--show-prefix"])?.is_empty();
    if !is_root {
        return None;
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
    for file in ["HEAD", "logs/HEAD", &branch] {
        let path = git(&["rev-parse", "--git-path", file]);
        if let Some(path) = path.filter(|it| Path::new(it).is_file()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some((
        git(&["rev-parse", "HEAD"]),
        git(&["log", "-1", "--format=%cs"]),
    ))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
