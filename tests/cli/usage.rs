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
        ("Documents and tools:", "certify"),
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

#[test]
fn help_and_errors_list_the_values_that_an_operator_may_set() {
    for (arguments, values) in [
        (
            &["order", "fulfillment"][..],
            "export_processing, awaiting_pickup]",
        ),
        (
            &["order", "advance"],
            "acquiring, secured, shipping, cancelled, failed]",
        ),
        (
            &["order", "advance"],
            "outbid, outbid_internally, vehicle_unavailable, auction_cancelled]",
        ),
        (
            &["order", "advance"],
            "auction_rescheduled_too_soon, auction_cancelled, seller_withdrew]",
        ),
        (
            &["webhook", "deliveries"],
            "pending, delivered, failed, delivery_skipped]",
        ),
        (&["catalog", "import"], "dealer, glovis, sk, aj, lotte, "),
        (&["partner", "limits"], "read, write]"),
    ] {
        let help = printed(&[arguments, &["-h"]].concat());
        // A long list is wrapped.
        let help: Vec<_> = help.split_whitespace().collect();
        let listed = format!("[possible values: {values}");
        assert!(help.join(" ").contains(&listed), "{listed} in {help:?}");
    }
    let order = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for value in ["bogus", "in_transit", "customs"] {
        let refused = run(&["order", "fulfillment", order, value], &[]);
        let words = words(&refused);
        assert_eq!(refused.status.code(), Some(2), "{words}");
        let listed = "[possible values: export_processing, awaiting_pickup]";
        assert!(words.contains(listed), "{words}");
    }
}
