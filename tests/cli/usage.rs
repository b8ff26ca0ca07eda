//! The help, the version and the completions of the command line.

use crate::process::{run, words};

/// Returns what a command prints that needs no database.
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {}", words(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn version_names_the_commit_and_its_date() {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("LMN_COMMIT"));
    let date = env!("LMN_COMMIT_DATE");
    let expected = format!("lmn {version} ({commit} {date})\n");
    for option in ["--version", "-V"] {
        assert_eq!(printed(&[option]), expected);
    }
}

#[test]
fn help_lists_the_commands_in_groups() {
    let expected = [
        ("Run:", "dev"),
        ("Orders:", "order"),
        ("Catalogue:", "catalog"),
        ("Partners:", "partner"),
        ("Reports:", "report"),
        ("Documents:", "openapi"),
        ("Options:", "-h,"),
    ];
    for arguments in ["--help", "-h", "help"] {
        let help = printed(&[arguments]);
        let lines: Vec<_> = help.lines().collect();
        let headings = lines.iter().zip(lines.iter().skip(1));
        let headings = headings.filter(|(line, _)| !line.starts_with(' ') && line.ends_with(':'));
        let found = headings.map(|(line, next)| (*line, next.split_whitespace().next().unwrap()));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{help}");
    }
}

#[test]
fn completions_of_each_shell_offer_commands_and_values() {
    for (shell, registration) in [
        ("bash", "complete -F _lmn "),
        ("zsh", "#compdef lmn"),
        ("fish", "complete -c lmn "),
    ] {
        let script = printed(&["completions", shell]);
        for word in [registration, "allowlist", "overdue", "snapshot", "glovis"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let unknown = run(&["completions", "cmd"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(words(&unknown).contains("[possible values: bash, "));
}
