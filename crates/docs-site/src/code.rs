//! Blocks of code, each with the name of its language.

use std::fmt::Write;

use pulldown_cmark::CodeBlockKind;

use crate::escape;

/// The languages of code: the word after the fence, the label, and whether consecutive blocks in several of them are
/// the same sample in each.
const LANGUAGES: &[(&str, &str, bool)] = &[
    ("sh", "Shell", true),
    ("python", "Python", true),
    ("javascript", "Node.js", true),
    ("typescript", "TypeScript", true),
    ("go", "Go", true),
    ("java", "Java", true),
    ("php", "PHP", true),
    ("rust", "Rust", true),
    ("csharp", "C#", true),
    ("json", "JSON", false),
    ("http", "HTTP", false),
];

/// A block of code.
#[derive(Debug)]
pub(crate) struct Code {
    /// The word after the fence; empty if there is none.
    pub(crate) language: String,
    /// The code.
    pub(crate) text: String,
}

impl Code {
    /// Returns the block with its label.
    pub(crate) fn figure(&self) -> String {
        let label = label_of(&self.language);
        let caption = match label.is_empty() {
            true => String::new(),
            false => format!("<figcaption>{}</figcaption>\n", escape(label)),
        };
        format!(
            "<figure class=\"code\">\n{caption}{}</figure>\n",
            self.pre()
        )
    }

    fn pre(&self) -> String {
        let (language, text) = (escape(&self.language), escape(&self.text));
        let class = match language.is_empty() {
            true => String::new(),
            false => format!(" class=\"language-{language}\""),
        };
        format!("<pre><code{class}>{text}</code></pre>\n")
    }
}

/// Returns a sample in several languages, one of which is open.
pub(crate) fn stack(blocks: &[Code], number: usize) -> String {
    let mut html = "<div class=\"samples\">\n".to_owned();
    for (n, block) in blocks.iter().enumerate() {
        let open = if n == 0 { " open" } else { "" };
        let (label, code) = (escape(label_of(&block.language)), block.pre());
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<details name=\"sample-{number}\"{open}>\n<summary>{label}</summary>\n{code}</details>\n"
        );
    }
    html.push_str("</div>\n");
    html
}

/// Returns the first word after the fence; empty if there is none.
pub(crate) fn language_of(kind: &CodeBlockKind<'_>) -> String {
    match kind {
        CodeBlockKind::Indented => String::new(),
        CodeBlockKind::Fenced(info) => {
            let word = info.split_whitespace().next();
            word.unwrap_or_default().to_owned()
        }
    }
}

/// Returns the name of a language for readers; one that is not listed has none.
fn label_of(language: &str) -> &'static str {
    let row = LANGUAGES.iter().find(|it| it.0 == language);
    row.map_or("", |it| it.1)
}

/// Returns whether consecutive blocks in a language and in others are the same sample.
pub(crate) fn is_sample(language: &str) -> bool {
    LANGUAGES.iter().any(|it| it.0 == language && it.2)
}
