//! docs/settings.md, whose tables are generated from config/default.toml.

use std::{env, fs, path::Path};

const DEFAULTS: &str = include_str!("../../config/default.toml");
const HEAD: &str = "| Setting | Variable | Default | Meaning |\n|---|---|---|---|\n";

/// Returns the tables of the page: one of each section with settings, in the order of the file.
fn tables() -> String {
    let (_, settings) = DEFAULTS.split_once("\n\n").unwrap();
    let (mut page, mut section, mut comment) = (String::new(), String::new(), String::new());
    let mut head = HEAD.to_owned();
    for line in settings.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(text);
        } else if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
            page.push_str(&format!("\n## {section}\n"));
            if !comment.is_empty() {
                page.push_str(&format!("\n{comment}\n"));
            }
            head = format!("\n{HEAD}");
            comment.clear();
        } else if let Some((key, default)) = line.split_once(" = ") {
            page.push_str(&head);
            page.push_str(&row(&section, key, default, &comment));
            head.clear();
            comment.clear();
        }
    }
    page
}

fn row(section: &str, key: &str, default: &str, comment: &str) -> String {
    let name = match section {
        "" => key.to_owned(),
        _ => format!("{section}.{key}"),
    };
    let variable = match name.as_str() {
        "database.url" => "DATABASE_URL".to_owned(),
        _ => format!("LMN_{}", name.replace('.', "__").to_uppercase()),
    };
    let meaning = match comment {
        "" => "See the setting above.",
        _ => comment,
    };
    format!("| `{name}` | `{variable}` | `{default}` | {meaning} |\n")
}

#[test]
fn docs_settings_md_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let page = fs::read_to_string(&path).unwrap();
    let start = page.find("| Setting |").unwrap();
    let expected = page[..start].to_owned() + &tables();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
        return;
    }
    let hint = "regenerate it: UPDATE_DOCS=1 cargo test --test api docs_settings_md";
    assert_eq!(page, expected, "{hint}");
}
