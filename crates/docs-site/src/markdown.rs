//! Markdown as HTML: sections with addresses, labelled samples of code, tables and diagrams that scroll in themselves.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what is not changed passes as it is"
)]

use std::{collections::HashMap, fs, iter::Peekable};

use pulldown_cmark::{
    BlockQuoteKind, CodeBlockKind, Event, HeadingLevel, LinkType, OffsetIter, Options, Parser, Tag,
    TagEnd, html::push_html,
};

use crate::{
    Page, Site,
    code::{self, Code},
    escape,
    links::{self, Link},
};

/// Tags and attributes that the content security policy of a page blocks.
const BLOCKED: [&str; 3] = ["<script", "<style", " style="];

/// A page without its template.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    /// The HTML.
    pub(crate) html: String,
    /// The headings, in their order.
    pub(crate) headings: Vec<Heading>,
    /// The links to sections.
    pub(crate) links: Vec<Link<'a>>,
    /// The errors in the source.
    pub(crate) problems: Vec<String>,
}

/// The heading of a section.
#[derive(Debug)]
pub(crate) struct Heading {
    /// Its level.
    pub(crate) level: HeadingLevel,
    /// Its id, which is unique in the page.
    pub(crate) id: String,
    /// Its text, not escaped.
    pub(crate) title: String,
}

impl<'a> Document<'a> {
    /// Returns the document of a page whose source is HTML.
    pub(crate) fn of_html(html: String) -> Self {
        Self {
            html,
            headings: Vec::new(),
            links: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Renders a source in Markdown.
    pub(crate) fn render(site: &Site<'a>, page: &'a Page<'a>, text: &str) -> Self {
        let options = Options::ENABLE_TABLES | Options::ENABLE_GFM;
        let mut renderer = Renderer {
            site,
            page,
            text,
            events: Parser::new_ext(text, options).into_offset_iter().peekable(),
            written: Vec::new(),
            ids: HashMap::new(),
            samples: 0,
            document: Self::of_html(String::new()),
        };
        while let Some((event, range)) = renderer.events.next() {
            renderer.take(event, range.start);
        }
        let Renderer {
            written,
            mut document,
            ..
        } = renderer;
        push_html(&mut document.html, written.into_iter());
        document
    }
}

/// The state while a source is read.
struct Renderer<'r, 'a, 't> {
    site: &'r Site<'a>,
    page: &'a Page<'a>,
    text: &'t str,
    events: Peekable<OffsetIter<'t>>,
    written: Vec<Event<'t>>,
    /// The number of headings that wanted each id.
    ids: HashMap<String, usize>,
    /// The number of samples in several languages.
    samples: usize,
    document: Document<'a>,
}

impl<'t> Renderer<'_, '_, 't> {
    /// Takes an event that begins at a byte of the source.
    fn take(&mut self, event: Event<'t>, at: usize) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => self.take_heading(level),
            Event::Start(Tag::CodeBlock(kind)) => self.take_code(&kind),
            Event::Start(Tag::Image { dest_url, .. }) => self.take_diagram(&dest_url, at),
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }) if link_type != LinkType::Email => {
                let dest_url = self.resolve(&dest_url, at).into();
                self.written.push(Event::Start(Tag::Link {
                    link_type,
                    dest_url,
                    title,
                    id,
                }));
            }
            Event::Start(Tag::Table(_)) => {
                self.write("<div class=\"table\">\n");
                // Alignments would become inline styles.
                self.written.push(Event::Start(Tag::Table(Vec::new())));
            }
            Event::End(TagEnd::Table) => {
                self.written.push(event);
                self.write("</div>\n");
            }
            Event::Start(Tag::BlockQuote(Some(kind))) => {
                self.written.push(event);
                let title = title_of(kind);
                self.write(format!("<p class=\"note-title\">{title}</p>\n"));
            }
            Event::Html(ref html) | Event::InlineHtml(ref html) => {
                self.refuse_blocked(html, at);
                self.written.push(event);
            }
            event => self.written.push(event),
        }
    }

    fn write(&mut self, html: impl Into<String>) {
        let html: String = html.into();
        self.written.push(Event::Html(html.into()));
    }

    /// Adds an error at a byte of the source.
    fn complain(&mut self, at: usize, problem: &str) {
        let (file, line) = (self.page.source, self.line_of(at));
        self.document
            .problems
            .push(format!("{file}:{line}: {problem}"));
    }

    fn line_of(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    fn refuse_blocked(&mut self, html: &str, at: usize) {
        for word in BLOCKED.iter().filter(|it| html.contains(**it)) {
            let problem = format!("`{}` would be blocked by the browser", word.trim());
            self.complain(at, &problem);
        }
    }

    /// Returns the address for a link, and notes which section it leads to.
    fn resolve(&mut self, url: &str, at: usize) -> String {
        let resolved = match links::resolve(self.site, self.page, url) {
            Ok(resolved) => resolved,
            Err(problem) => {
                self.complain(at, &problem);
                return url.to_owned();
            }
        };
        if let Some((page, anchor)) = resolved.section {
            let line = self.line_of(at);
            self.document.links.push(Link { line, page, anchor });
        }
        resolved.href
    }

    /// Writes a heading with an id, and with a link to itself unless it is the title of the page.
    fn take_heading(&mut self, level: HeadingLevel) {
        let start = self.written.len();
        let mut title = String::new();
        while let Some((event, range)) = self.events.next() {
            if matches!(event, Event::End(TagEnd::Heading(_))) {
                break;
            }
            if let Event::Text(text) | Event::Code(text) = &event {
                title.push_str(text);
            }
            self.take(event, range.start);
        }
        let id = self.id_of(&title);
        let opening = format!("<{level} id=\"{id}\">");
        self.written.insert(start, Event::Html(opening.into()));
        if level != HeadingLevel::H1 {
            let label = format!("Link to the section {}", escape(&title));
            self.write(format!(
                " <a class=\"anchor\" href=\"#{id}\" aria-label=\"{label}\">#</a>"
            ));
        }
        self.write(format!("</{level}>\n"));
        self.document.headings.push(Heading { level, id, title });
    }

    /// Returns the id of a heading, as code hosts make it: a second one of the same name ends in `-1`.
    fn id_of(&mut self, title: &str) -> String {
        let kept = |it: char| match it {
            ' ' => Some('-'),
            '-' | '_' => Some(it),
            it => it.is_alphanumeric().then_some(it),
        };
        let id: String = title.to_lowercase().chars().filter_map(kept).collect();
        let count = self.ids.entry(id.clone()).or_default();
        *count += 1;
        match *count {
            1 => id,
            count => format!("{id}-{}", count - 1),
        }
    }

    /// Writes a block of code, with the ones that follow it if they are the same sample in other languages.
    fn take_code(&mut self, kind: &CodeBlockKind<'t>) {
        let mut blocks = vec![self.read_code(kind)];
        while let Some((Event::Start(Tag::CodeBlock(kind)), _)) = self.events.peek() {
            let language = code::language_of(kind);
            let is_other = |it: &Code| code::is_sample(&it.language) && it.language != language;
            if !code::is_sample(&language) || !blocks.iter().all(is_other) {
                break;
            }
            let kind = kind.clone();
            self.events.next();
            blocks.push(self.read_code(&kind));
        }
        let html = match blocks.as_slice() {
            [block] => block.figure(),
            blocks => {
                self.samples += 1;
                code::stack(blocks, self.samples)
            }
        };
        self.write(html);
    }

    /// Reads the rest of a block of code.
    fn read_code(&mut self, kind: &CodeBlockKind<'_>) -> Code {
        let mut text = String::new();
        for (event, _) in self.events.by_ref() {
            match event {
                Event::End(TagEnd::CodeBlock) => break,
                Event::Text(part) => text.push_str(&part),
                _ => {}
            }
        }
        Code {
            language: code::language_of(kind),
            text,
        }
    }

    /// Writes the drawing of an SVG file, whose lines have the colour of the text if they are `currentColor`.
    fn take_diagram(&mut self, url: &str, at: usize) {
        let mut label = String::new();
        for (event, _) in self.events.by_ref() {
            match event {
                Event::End(TagEnd::Image) => break,
                Event::Text(text) | Event::Code(text) => label.push_str(&text),
                Event::SoftBreak => label.push(' '),
                _ => {}
            }
        }
        let path = links::join(self.page.source, url);
        let file = fs::read_to_string(self.site.root.join(&path));
        let Ok(file) = file else {
            return self.complain(at, &format!("`{path}` cannot be read"));
        };
        let Some(drawing) = file.find("<svg").and_then(|start| file.get(start..)) else {
            return self.complain(at, &format!("`{path}` is no SVG file"));
        };
        self.refuse_blocked(drawing, at);
        let label = escape(&label);
        self.write(format!(
            "<span class=\"diagram\" role=\"img\" aria-label=\"{label}\">{}</span>",
            drawing.trim_end()
        ));
    }
}

fn title_of(kind: BlockQuoteKind) -> &'static str {
    match kind {
        BlockQuoteKind::Note => "Note",
        BlockQuoteKind::Tip => "Tip",
        BlockQuoteKind::Important => "Important",
        BlockQuoteKind::Warning => "Warning",
        BlockQuoteKind::Caution => "Caution",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const PAGE: Page<'static> = Page {
        name: "a",
        title: "A",
        source: "a.md",
    };

    fn render(text: &str) -> Document<'static> {
        let site = Site {
            root: Path::new("."),
            folder: "docs",
            base_url: "https://base.example",
            template: "",
            groups: &[],
        };
        Document::render(&site, &PAGE, text)
    }

    #[test]
    fn headings_have_ids_and_links_to_themselves() {
        let document =
            render("# A title\n\n## `order_id` & *more*, (twice)\n\n### Twice\n\n### Twice\n");
        let ids: Vec<_> = document.headings.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["a-title", "order_id--more-twice", "twice", "twice-1"]);
        let html = document.html;
        assert!(
            html.starts_with("<h1 id=\"a-title\">A title</h1>\n"),
            "{html}"
        );
        let section = "<h2 id=\"order_id--more-twice\"><code>order_id</code> &amp; <em>more</em>, (twice) \
                       <a class=\"anchor\" href=\"#order_id--more-twice\" \
                       aria-label=\"Link to the section order_id &amp; more, (twice)\">#</a></h2>";
        assert!(html.contains(section), "{html}");
    }

    #[test]
    fn consecutive_blocks_in_several_languages_are_one_sample() {
        let html =
            render("```python\na < b\n```\n```go\nc\n```\n\n```go\nd\n```\n```json\n{}\n```\n")
                .html;
        assert_eq!(
            html.matches("<details name=\"sample-1\"").count(),
            2,
            "{html}"
        );
        assert_eq!(html.matches(" open>").count(), 1, "{html}");
        assert!(html.contains("<summary>Python</summary>"), "{html}");
        assert!(
            html.contains("<code class=\"language-python\">a &lt; b\n</code>"),
            "{html}"
        );
        assert_eq!(html.matches("<figure class=\"code\">").count(), 2, "{html}");
        assert!(html.contains("<figcaption>JSON</figcaption>"), "{html}");
        let plain = render("```\na\n```\n").html;
        assert_eq!(
            plain,
            "<figure class=\"code\">\n<pre><code>a\n</code></pre>\n</figure>\n"
        );
    }

    #[test]
    fn tables_have_a_frame_and_no_inline_styles() {
        let html = render("|a|b|\n|---|--:|\n|1|2|\n").html;
        assert!(html.starts_with("<div class=\"table\">\n<table>"), "{html}");
        assert!(html.ends_with("</table>\n</div>\n"), "{html}");
        assert!(!html.contains("style"), "{html}");
    }

    #[test]
    fn quotes_with_a_kind_have_a_title() {
        let html = render("> [!WARNING]\n> Hot.\n").html;
        let title = "<p class=\"note-title\">Warning</p>";
        assert!(html.contains(title) && !html.contains("[!"), "{html}");
    }
}
