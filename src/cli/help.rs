//! The help of `lmn`, which lists the commands in groups: clap has one list of commands, without headings.

use clap::{Subcommand, builder::Styles};

use super::Command;

/// The groups in the order of the help, with the names of their commands.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "Run",
        &["dev", "serve", "worker", "migrate", "config", "healthcheck"],
    ),
    ("Orders", &["order", "auction"]),
    ("Catalogue", &["catalog"]),
    ("Partners", &["partner", "key", "allowlist", "webhook"]),
    ("Reports", &["report", "request", "audit", "operator"]),
    (
        "Documents and tools",
        &["certify", "openapi", "errors", "completions"],
    ),
];

/// Returns the template of the help, with the commands as they describe themselves.
pub(super) fn template() -> String {
    let styles = Styles::default();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let commands = Command::augment_subcommands(clap::Command::new("lmn"));
    let names = GROUPS.iter().flat_map(|(_, names)| *names);
    let width = names.map(|name| name.len()).max().unwrap_or_default();
    let mut template = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (group, names) in GROUPS {
        template += &format!("\n{header}{group}:{header:#}\n");
        for command in names.iter().filter_map(|it| commands.find_subcommand(it)) {
            let name = command.get_name();
            let about = command.get_about().map(ToString::to_string);
            let (about, padding) = (about.unwrap_or_default(), width - name.len());
            template += &format!("  {literal}{name}{literal:#}{:padding$}  {about}\n", "");
        }
    }
    template += &format!("\n{header}Options:{header:#}\n{{options}}{{after-help}}");
    template
}

#[cfg(test)]
mod tests {
    use clap::builder::StyledStr;

    use super::*;

    /// The width of a usual terminal, in characters.
    const TERMINAL: usize = 80;

    #[test]
    fn every_command_is_in_one_group() {
        let commands = Command::augment_subcommands(clap::Command::new("lmn"));
        let shown = commands.get_subcommands().filter(|it| !it.is_hide_set());
        let mut shown: Vec<_> = shown.map(clap::Command::get_name).collect();
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|it| it.1.iter().copied()).collect();
        shown.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, shown);
    }

    #[test]
    fn list_of_commands_fits_a_terminal() {
        let text = StyledStr::from(template()).to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= TERMINAL, "{line}");
        }
    }
}
