//! The navigation: all pages, the sections of one, and the pages before and after it.

use std::fmt::Write;

use pulldown_cmark::HeadingLevel;

use crate::{Page, Site, escape, links, markdown::Heading};

/// The least number of sections that are listed.
const SECTIONS_MIN: usize = 2;

/// Returns the list of all pages, in which `here` is marked.
pub(crate) fn menu(site: &Site<'_>, here: &Page<'_>) -> String {
    let mut html = String::new();
    // Writing to a string cannot fail.
    for group in site.groups {
        let _ = writeln!(html, "<p class=\"group\">{}</p>\n<ul>", escape(group.title));
        for page in group.pages {
            let current = match page.name == here.name {
                true => " aria-current=\"page\"",
                false => "",
            };
            let (href, title) = (links::href(site, here, page.name), escape(page.title));
            let _ = writeln!(html, "<li><a href=\"{href}\"{current}>{title}</a></li>");
        }
        html.push_str("</ul>\n");
    }
    html
}

/// Returns the list of the sections of a page, or nothing if it has hardly any.
pub(crate) fn contents(headings: &[Heading]) -> String {
    let sections: Vec<_> = headings
        .iter()
        .filter(|it| it.level == HeadingLevel::H2)
        .collect();
    if sections.len() < SECTIONS_MIN {
        return String::new();
    }
    let title = "On this page";
    let mut html = format!(
        "<nav class=\"contents\" aria-label=\"{title}\">\n<p class=\"group\">{title}</p>\n<ul>\n"
    );
    for Heading { id, title, .. } in sections {
        let _ = writeln!(html, "<li><a href=\"#{id}\">{}</a></li>", escape(title));
    }
    html.push_str("</ul>\n</nav>\n");
    html
}

/// Returns links to the pages before and after `here`.
pub(crate) fn neighbors(site: &Site<'_>, here: &Page<'_>) -> String {
    let link = |page: &Page<'_>, relation: &str, label: &str| {
        let (href, title) = (links::href(site, here, page.name), escape(page.title));
        format!("<a rel=\"{relation}\" href=\"{href}\"><span>{label}</span>{title}</a>\n")
    };
    let before = site.pages().take_while(|it| it.name != here.name).last();
    let after = site.pages().skip_while(|it| it.name != here.name).nth(1);
    let before = before.map(|it| link(it, "prev", "Previous"));
    let after = after.map(|it| link(it, "next", "Next"));
    format!(
        "<nav class=\"neighbors\" aria-label=\"Previous and next page\">\n{}{}</nav>\n",
        before.unwrap_or_default(),
        after.unwrap_or_default()
    )
}
