//! Links: the page that a link of a source leads to, and its address there.

use crate::{Page, Site};

/// A link to a section of a page.
#[derive(Debug)]
pub(crate) struct Link<'a> {
    /// The line of the source that has the link.
    pub(crate) line: usize,
    /// The page that it leads to.
    pub(crate) page: &'a Page<'a>,
    /// The id of the section.
    pub(crate) anchor: String,
}

/// A link as the page has it.
#[derive(Debug)]
pub(crate) struct Resolved<'a> {
    /// The value of `href`.
    pub(crate) href: String,
    /// The page and the id of the section, if the link leads to a section of a page.
    pub(crate) section: Option<(&'a Page<'a>, String)>,
}

/// Returns the relative link from one page to another, given by its name.
pub(crate) fn href(site: &Site<'_>, from: &Page<'_>, to: &str) -> String {
    match (from.name, to) {
        ("", "") => site.folder.to_owned(),
        ("", to) => format!("{}/{to}", site.folder),
        (_, "") => format!("../{}", site.folder),
        (_, to) => to.to_owned(),
    }
}

/// Resolves a link of a source.
///
/// A relative link names another source. An absolute path, also one below the base URL, is a path of the site. All other
/// links lead elsewhere and stay as they are.
pub(crate) fn resolve<'a>(
    site: &Site<'a>,
    from: &'a Page<'a>,
    url: &str,
) -> Result<Resolved<'a>, String> {
    let below_base = url.strip_prefix(site.base_url);
    let link = below_base
        .filter(|path| page_name(site, path).is_some())
        .unwrap_or(url);
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(Resolved {
            href: link.to_owned(),
            section: None,
        });
    }
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    let to = if path.is_empty() {
        from
    } else if let Some(name) = page_name(site, path) {
        let mut pages = site.pages();
        pages
            .find(|it| it.name == name)
            .ok_or_else(|| format!("`{url}` is not the path of a page"))?
    } else if path.starts_with('/') {
        let up = if from.name.is_empty() { "" } else { "../" };
        return Ok(Resolved {
            href: format!("{up}{}", link.trim_start_matches('/')),
            section: None,
        });
    } else {
        let source = join(from.source, path);
        let mut pages = site.pages();
        pages
            .find(|it| it.source == source)
            .ok_or_else(|| format!("the link `{url}` leads to `{source}`, which is not a page"))?
    };
    let page = match path {
        "" => String::new(),
        _ => href(site, from, to.name),
    };
    Ok(Resolved {
        href: anchor.map_or_else(|| page.clone(), |anchor| format!("{page}#{anchor}")),
        section: anchor.map(|anchor| (to, anchor.to_owned())),
    })
}

/// Returns the path of a file that another one names by a relative path.
pub(crate) fn join(source: &str, path: &str) -> String {
    let mut parts: Vec<&str> = source.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns the name of the page that an absolute path, with or without a section, would belong to.
fn page_name<'t>(site: &Site<'_>, path: &'t str) -> Option<&'t str> {
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    let rest = path.strip_prefix('/')?.strip_prefix(site.folder)?;
    match rest {
        "" => Some(""),
        _ => rest.strip_prefix('/'),
    }
}
