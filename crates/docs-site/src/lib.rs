//! Pages of Markdown as a site of HTML: navigation, sections with addresses, and links that are checked.
//!
//! It knows nothing of this product: the caller has the list of the pages and the template around them. All links
//! between pages are relative, so the site works below any path. Its pages need neither scripts nor inline styles.

mod code;
mod links;
mod markdown;
mod navigation;

use std::{fs, path::Path};

use thiserror::Error;

use self::markdown::Document;

/// A site: its pages in groups, in the order of the navigation.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The folder in which the paths of the sources begin.
    pub root: &'a Path,
    /// The first segment of the path of each page, such as `docs`.
    pub folder: &'a str,
    /// The URL that stands for the base URL of the site in the sources, without a trailing slash.
    pub base_url: &'a str,
    /// The HTML around each page, with `{{title}}`, `{{kind}}`, `{{index}}` (the link to the first page), `{{folder}}`
    /// (the beginning of links to files below the folder), `{{navigation}}`, `{{content}}`, `{{contents}}` (its
    /// sections) and `{{neighbors}}`.
    pub template: &'a str,
    /// The groups of pages.
    pub groups: &'a [Group<'a>],
}

/// Pages with a common title in the navigation.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// The title.
    pub title: &'a str,
    /// The pages.
    pub pages: &'a [Page<'a>],
}

/// A page.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The last segment of its path; empty for the page at the folder's own path.
    pub name: &'a str,
    /// The title in the navigation and of the window.
    pub title: &'a str,
    /// The path of the source: Markdown, or HTML (`.html`), which is taken as it is.
    pub source: &'a str,
}

/// A page in HTML.
#[derive(Debug)]
pub struct Rendered {
    /// The name of the page.
    pub name: String,
    /// The page.
    pub html: String,
}

/// All errors in the sources, each with its file and line.
#[derive(Debug, Error)]
#[error("{}", .0.join("\n"))]
pub struct SiteErrors(pub Vec<String>);

impl<'a> Site<'a> {
    /// Returns all pages in their order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &'a Page<'a>> {
        let groups: &'a [Group<'a>] = self.groups;
        groups.iter().flat_map(|group| group.pages)
    }

    /// Renders all pages.
    pub fn render(&self) -> Result<Vec<Rendered>, SiteErrors> {
        let mut problems = Vec::new();
        let mut documents = Vec::new();
        for page in self.pages() {
            match fs::read_to_string(self.root.join(page.source)) {
                Ok(text) if page.is_html() => documents.push((page, Document::of_html(text))),
                Ok(text) => documents.push((page, Document::render(self, page, &text))),
                Err(error) => problems.push(format!("{}: {error}", page.source)),
            }
        }
        for (page, document) in &documents {
            problems.extend(document.problems.iter().cloned());
            problems.extend(find_lost_anchors(page, document, &documents));
        }
        if !problems.is_empty() {
            return Err(SiteErrors(problems));
        }
        let fill = |(page, document): &(&'a Page<'a>, Document<'a>)| Rendered {
            name: page.name.to_owned(),
            html: self.fill(page, document),
        };
        Ok(documents.iter().map(fill).collect())
    }

    /// Puts a page into the template.
    fn fill(&self, page: &Page<'_>, document: &Document<'_>) -> String {
        let folder = match page.name {
            "" => format!("{}/", self.folder),
            _ => String::new(),
        };
        let kind = if page.is_html() { "wide" } else { "text" };
        // The content comes last: it may contain any text.
        self.template
            .replace("{{title}}", &escape(page.title))
            .replace("{{kind}}", kind)
            .replace("{{index}}", &links::href(self, page, ""))
            .replace("{{folder}}", &folder)
            .replace("{{navigation}}", &navigation::menu(self, page))
            .replace("{{neighbors}}", &navigation::neighbors(self, page))
            .replace("{{contents}}", &navigation::contents(&document.headings))
            .replace("{{content}}", &document.html)
    }
}

impl Page<'_> {
    fn is_html(&self) -> bool {
        self.source.ends_with(".html")
    }
}

/// Returns an error for each link to a section that its page lacks. A page in HTML may have any.
fn find_lost_anchors<'a>(
    page: &Page<'_>,
    document: &Document<'a>,
    documents: &[(&'a Page<'a>, Document<'a>)],
) -> Vec<String> {
    let is_lost = |link: &&links::Link<'_>| {
        let target = documents.iter().find(|(it, _)| it.name == link.page.name);
        target.is_some_and(|(to, document)| {
            !to.is_html() && document.headings.iter().all(|it| it.id != link.anchor)
        })
    };
    let lost = document.links.iter().filter(is_lost);
    let lost = lost.map(|link| {
        let (file, line, anchor) = (page.source, link.line, &link.anchor);
        let target = link.page.source;
        format!("{file}:{line}: `#{anchor}` is no section of `{target}`")
    });
    lost.collect()
}

/// Escapes text for HTML and for quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "<title>{{title}}</title>{{navigation}}|{{content}}|{{contents}}{{neighbors}}\
                            <a href=\"{{index}}\"></a><link href=\"{{folder}}x.css\">";
    const PAGES: &[Page<'static>] = &[
        Page {
            name: "",
            title: "Start",
            source: "docs/index.md",
        },
        Page {
            name: "orders",
            title: "Orders & bids",
            source: "docs/orders.md",
        },
        Page {
            name: "changes",
            title: "Changes",
            source: "CHANGES.md",
        },
        Page {
            name: "reference",
            title: "Reference",
            source: "docs/reference.html",
        },
    ];

    /// Renders four pages; those that are not given are empty.
    fn render(sources: &[(&str, &str)]) -> Result<Vec<Rendered>, SiteErrors> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        for page in PAGES {
            fs::write(root.path().join(page.source), "").unwrap();
        }
        for (path, text) in sources {
            fs::write(root.path().join(path), text).unwrap();
        }
        let site = Site {
            root: root.path(),
            folder: "docs",
            base_url: "https://base.example",
            template: TEMPLATE,
            groups: &[Group {
                title: "All",
                pages: PAGES,
            }],
        };
        site.render()
    }

    fn page(sources: &[(&str, &str)], name: &str) -> String {
        let pages = render(sources).unwrap();
        let page = pages.into_iter().find(|it| it.name == name);
        page.unwrap().html
    }

    #[test]
    fn links_between_sources_are_relative_links_between_pages() {
        let index = "[a](orders.md) [b](../CHANGES.md) [c](/docs/reference#/x) [d](https://base.example/docs/orders) \
                     [e](/v1/errors) [f](https://base.example/v1/errors) [g](https://other.example/#x) <a@b.example>";
        let html = page(&[("docs/index.md", index)], "");
        for (text, href) in [
            ("a", "docs/orders"),
            ("b", "docs/changes"),
            ("c", "docs/reference#/x"),
            ("d", "docs/orders"),
            ("e", "v1/errors"),
            ("f", "https://base.example/v1/errors"),
            ("g", "https://other.example/#x"),
            ("a@b.example", "mailto:a@b.example"),
        ] {
            let link = format!("<a href=\"{href}\">{text}</a>");
            assert!(html.contains(&link), "{link} in {html}");
        }
        assert!(html.contains("<link href=\"docs/x.css\">"), "{html}");
        let changes = "[a](docs/index.md) [b](./docs/orders.md) [c](/v1/errors)";
        let html = page(&[("CHANGES.md", changes)], "changes");
        for href in ["../docs", "orders", "../v1/errors"] {
            assert!(html.contains(&format!("<a href=\"{href}\">")), "{html}");
        }
        assert!(html.contains("<link href=\"x.css\">"), "{html}");
    }

    #[test]
    fn links_that_lead_nowhere_are_all_reported() {
        let index = "# A\n\n[a](none.md) [b](orders.md#some-title)\n[c](#c) [d](/docs/none)\n\n![e](none.svg)";
        let orders = "# Some title!\n\n[a](index.md#a) [b](#some-title) [c](../README.md)";
        let errors = render(&[("docs/index.md", index), ("docs/orders.md", orders)]).unwrap_err();
        let errors = errors.to_string();
        let begins: Vec<_> = errors
            .lines()
            .map(|it| it.split_once(": ").unwrap())
            .collect();
        let files: Vec<_> = begins.iter().map(|it| it.0).collect();
        let expected = [
            "docs/index.md:3",
            "docs/index.md:4",
            "docs/index.md:6",
            "docs/index.md:4",
            "docs/orders.md:3",
        ];
        assert_eq!(files, expected, "{errors}");
        assert!(begins[0].1.contains("`docs/none.md`"), "{errors}");
        assert!(begins[3].1.contains("`#c`"), "{errors}");
    }

    #[test]
    fn navigation_marks_the_page_and_leads_to_its_neighbors() {
        let html = page(&[], "orders");
        assert!(
            html.starts_with("<title>Orders &amp; bids</title>"),
            "{html}"
        );
        assert_eq!(html.matches("aria-current=\"page\"").count(), 1, "{html}");
        assert!(html.contains("<a rel=\"prev\" href=\"../docs\">"), "{html}");
        assert!(html.contains("<a rel=\"next\" href=\"changes\">"), "{html}");
        assert!(!page(&[], "").contains("rel=\"prev\""));
        assert!(!page(&[], "reference").contains("rel=\"next\""));
    }

    #[test]
    fn page_in_html_is_taken_as_it_is() {
        let html = page(
            &[("docs/reference.html", "<i>`x`</i> {{title}}")],
            "reference",
        );
        assert!(html.contains("|<i>`x`</i> {{title}}|"), "{html}");
    }

    #[test]
    fn scripts_and_inline_styles_are_refused() {
        for text in [
            "<script>x</script>",
            "a <b style=\"x\">b</b>",
            "<style>x</style>",
        ] {
            assert!(render(&[("docs/index.md", text)]).is_err(), "{text}");
        }
        let text = "<details><summary>a</summary>\n\n`style=\"x\"`\n\n</details>";
        assert!(render(&[("docs/index.md", text)]).is_ok());
    }
}
