//! The documentation at `/docs`: it needs no key and no other host, and everything that it names is there.

use std::collections::{BTreeMap, HashMap};

use lmn_partner_api::errors::catalogue::Code;
use regex::Regex;
use reqwest::{Method, Url};

use crate::support::{Document, Partner, Reply, Service};

/// A base URL with a path, which a gateway removes.
const PUBLIC_URL: &str = "https://api.example.com/lmn";
/// The page that runs scripts.
const REFERENCE: &str = "/docs/reference";
/// The least number of pages.
const PAGES_MIN: usize = 12;

/// The pages, each with its path.
struct Portal {
    _service: Service,
    keyless: Partner,
    pages: BTreeMap<String, Reply>,
}

impl Portal {
    /// Reads all pages in the navigation of the first one.
    async fn open() -> Self {
        let service = Service::with(&[("PUBLIC_URL", PUBLIC_URL)]).await;
        let keyless = service.partner("acme").await.with_key("");
        let first = html(&keyless.get("/docs").await);
        let (_, menu) = first.split_once("aria-label=\"Documentation\"").unwrap();
        let (menu, _) = menu.split_once("</nav>").unwrap();
        let mut pages = BTreeMap::new();
        for link in links(menu) {
            let path = at(&keyless, "/docs").join(&link).unwrap().path().to_owned();
            let page = keyless.get(&path).await;
            pages.insert(path, page);
        }
        assert!(pages.len() >= PAGES_MIN, "{:?}", pages.keys());
        Self {
            _service: service,
            keyless,
            pages,
        }
    }

    /// Sends a request for a file that the client already has.
    async fn revalidate(&self, path: &str, file: &Reply) -> u16 {
        let ask = self.keyless.ask(Method::GET, path);
        let ask = ask.header("if-none-match", file.header("etag"));
        ask.send().await.status
    }
}

fn html(page: &Reply) -> String {
    String::from_utf8(page.body.to_vec()).unwrap()
}

/// Returns the text without code.
fn without_code(html: &str) -> String {
    let code = Regex::new("(?s)<code.*?</code>").unwrap();
    code.replace_all(html, "").into_owned()
}

/// Returns the addresses of links, style sheets, scripts and images.
fn links(html: &str) -> Vec<String> {
    let attribute = Regex::new(r#" (?:href|src)="([^"]*)""#).unwrap();
    let values = attribute.captures_iter(html);
    values.map(|it| it[1].replace("&amp;", "&")).collect()
}

/// Returns the address of a path at the service.
fn at(partner: &Partner, path: &str) -> Url {
    format!("{}{path}", partner.url).parse().unwrap()
}

#[tokio::test]
async fn changelog_has_nothing_that_concerns_operators_only() {
    let portal = Portal::open().await;
    let changelog = html(&portal.pages["/docs/changelog"]);
    assert!(changelog.contains("/v1/requests"), "{changelog}");
    for text in ["For operators", "Migration 0", "lmn migrate", "/operator/"] {
        assert!(!changelog.contains(text), "{text}");
    }
}

#[tokio::test]
async fn pages_need_no_key_and_run_no_scripts() {
    let portal = Portal::open().await;
    for (path, page) in &portal.pages {
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("http"), "{policy}");
        let html = html(page);
        let text = without_code(&html);
        let is_reference = path == REFERENCE;
        assert_eq!(policy.contains("script-src"), is_reference, "{path}");
        assert_eq!(policy.contains("unsafe"), is_reference, "{path}");
        assert_eq!(text.contains("<script"), is_reference, "{path}");
        assert!(!text.contains(" style="), "{path} has an inline style");
        assert_eq!(portal.revalidate(path, page).await, 304, "{path}");
    }
    let unknown = portal.keyless.get("/docs/x").await;
    unknown.refused(404, Code::NotFound);
}

#[tokio::test]
async fn pages_are_rendered_for_this_deployment() {
    let portal = Portal::open().await;
    let mut named = 0;
    for (path, page) in &portal.pages {
        let html = html(page);
        let text = without_code(&html);
        assert!(!html.contains("lmn.example"), "{path}");
        assert!(!text.contains("{{"), "{path} has a placeholder");
        assert!(!text.contains('`'), "{path} has backticks");
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        assert_eq!(html.matches("aria-current=\"page\"").count(), 1, "{path}");
        named += html.matches(PUBLIC_URL).count();
    }
    assert!(named > 0, "the pages name the base URL");
}

#[tokio::test]
async fn links_lead_to_what_is_served() {
    let portal = Portal::open().await;
    let keyless = &portal.keyless;
    let document = Document::read();
    let mut served: HashMap<String, Reply> = HashMap::new();
    for (path, page) in &portal.pages {
        for link in links(&without_code(&html(page))) {
            assert!(
                !link.starts_with('/'),
                "{path}: `{link}` would not work below the path of a gateway"
            );
            let local = link.replace(PUBLIC_URL, &keyless.url);
            let target = at(keyless, path).join(&local).unwrap();
            if !target.as_str().starts_with(&keyless.url) {
                assert!(
                    matches!(target.scheme(), "https" | "mailto"),
                    "{path}: {link}"
                );
                continue;
            }
            let to = target.path().to_owned();
            let file = match served.get(&to) {
                Some(file) => file.clone(),
                None => {
                    let file = keyless.get(&to).await;
                    served.insert(to.clone(), file.clone());
                    file
                }
            };
            assert_eq!(file.status, 200, "{path}: {link}");
            match target.fragment() {
                Some(operation) if to == REFERENCE => check_operation(&document, operation),
                Some(id) => {
                    let id = format!(" id=\"{id}\"");
                    assert!(html(&file).contains(&id), "{path}: {link}");
                }
                None => {}
            }
        }
    }
    for (path, file) in served.iter().filter(|it| it.0.starts_with("/docs/")) {
        assert_eq!(portal.revalidate(path, file).await, 304, "{path}");
    }
}

/// Checks that the reference shows an operation, `/<tag>/<operation id>`, or is the skip link of the page.
fn check_operation(document: &Document, fragment: &str) {
    if let Some((tag, id)) = fragment.trim_start_matches('/').split_once('/') {
        assert_eq!(document.operation(id).members["tags"][0], tag, "{fragment}");
    } else {
        assert_eq!(fragment, "main-content");
    }
}

#[tokio::test]
async fn paths_that_pages_name_are_in_the_document() {
    let portal = Portal::open().await;
    let document = Document::read();
    let templates: Vec<_> = document.text["paths"].as_object().unwrap().keys().collect();
    let tags = Regex::new("<[^>]*>").unwrap();
    let named = Regex::new(r"/v1/[\w{}$<>./-]+").unwrap();
    let mut seen = 0;
    for (page, reply) in &portal.pages {
        let text = tags.replace_all(&html(reply), " ").into_owned();
        let text = text.replace("&lt;", "<").replace("&gt;", ">");
        for path in named.find_iter(&text) {
            let path = path.as_str().trim_end_matches(['.', '/', '>', '-']);
            seen += 1;
            assert!(
                templates.iter().any(|it| begins_with(it, path)),
                "{page}: there is no `{path}`"
            );
        }
    }
    assert!(seen > 20, "paths are read");
}

/// Returns whether a path, in which any text may stand for a parameter, is a path of the document or its beginning.
fn begins_with(template: &str, path: &str) -> bool {
    let mut segments = template.split('/');
    path.split('/').all(|it| {
        let segment = segments.next();
        segment.is_some_and(|segment| segment == it || segment.starts_with('{'))
    })
}
