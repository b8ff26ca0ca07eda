//! The limit of the vehicles that a snapshot withdraws.

use std::{fs, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    catalog::{lines, summary},
    command::{Cli, documents},
    import::{dealers, done, lot, priced},
    process::words,
};

/// Everything that an import can change, as one value.
const CONTENT: &str =
    "select (select md5(string_agg(vehicles::text, ',' order by id)) from vehicles)
                           || (select count(*) from audit_log)";
const LISTED: &str = "select count(*) from vehicles where withdrawn_at is null";

/// Returns lots of one source.
fn lots(count: usize) -> Vec<Value> {
    (0..count).map(|n| lot(&format!("sk_{n}"))).collect()
}

fn repriced(vehicles: &[Value]) -> Vec<Value> {
    let vehicles = vehicles.iter().cloned();
    vehicles.map(|it| priced(it, 9_000)).collect()
}

impl Cli {
    /// Imports a snapshot from a file.
    fn import_file(&self, sources: &str, vehicles: &[Value], more: &[&str]) -> Output {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("vehicles");
        fs::write(&file, lines(vehicles)).unwrap();
        let file = file.to_str().unwrap();
        self.import_from(file, sources, vehicles, more)
    }

    /// Imports a snapshot from standard input.
    fn import_stdin(&self, sources: &str, vehicles: &[Value], more: &[&str]) -> Output {
        self.import_from("-", sources, vehicles, more)
    }

    fn import_from(&self, file: &str, sources: &str, vehicles: &[Value], more: &[&str]) -> Output {
        let import = ["catalog", "import", file, "--json", "--snapshot", sources];
        self.run_with(&[&import[..], more].concat(), &lines(vehicles))
    }
}

fn withdrawn(output: &Output) -> u64 {
    done(output)["withdrawn"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_leaves_out_more_than_a_tenth_of_a_source_changes_nothing() {
    let cli = Cli::new().await;
    let vehicles = lots(22);
    cli.import(&lines(&vehicles));
    // A withdrawn vehicle is not listed, so it does not count.
    cli.all(&["catalog", "withdraw", "sk_0"]);
    let before: String = cli.ask(CONTENT).await;
    let output = cli.import_file("glovis,sk", &repriced(&vehicles[4..]), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        words(&output),
        "lmn: the file leaves out 3 of the 21 listed vehicles of glovis, and --withdraw-up-to allows 10 percent of a \
         source; nothing was changed\n"
    );
    assert!(output.stdout.is_empty());
    assert_eq!(cli.ask::<String>(CONTENT).await, before);

    let output = cli.import_file("glovis,sk", &vehicles[3..], &[]);
    assert_eq!(withdrawn(&output), 2);
    assert_eq!(cli.ask::<i64>(LISTED).await, 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_that_leaves_out_more_than_a_tenth_of_a_source_withdraws_nothing() {
    let cli = Cli::new().await;
    let vehicles = lots(21);
    cli.import(&lines(&vehicles));
    // New vehicles of the file do not count towards the size of the source.
    let mut snapshot = repriced(&vehicles[3..]);
    snapshot.extend((0..30).map(|n| lot(&format!("new_{n}"))));
    let output = cli.import_stdin("glovis", &snapshot, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        words(&output),
        "lmn: the file leaves out 3 of the 21 listed vehicles of glovis, and --withdraw-up-to allows 10 percent of a \
         source, so no vehicle was withdrawn; 0 of 48 lines were rejected\n"
    );
    assert_eq!(documents(&output), [summary(48, 30, 18, 0)]);
    assert_eq!(cli.ask::<i64>(LISTED).await, 51);

    snapshot.push(vehicles[0].clone());
    let output = cli.import_stdin("glovis", &snapshot, &[]);
    assert_eq!(withdrawn(&output), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_of_withdrawals_applies_to_each_source() {
    let cli = Cli::new().await;
    let mut vehicles = lots(20);
    vehicles.extend([dealers("d_1"), dealers("d_2")]);
    cli.import(&lines(&vehicles));
    let mut snapshot = vehicles.clone();
    snapshot.pop();
    for more in [&[][..], &["--withdraw-up-to", "49"]] {
        let output = cli.import_file("dealer,glovis", &snapshot, more);
        assert_eq!(output.status.code(), Some(1));
        let words = words(&output);
        assert!(
            words.contains("leaves out 1 of the 2 listed vehicles of dealer, and"),
            "{words}"
        );
    }
    let output = cli.import_file("dealer,glovis", &snapshot, &["--withdraw-up-to", "50"]);
    assert_eq!(withdrawn(&output), 1);
    let output = cli.import_file("dealer,glovis", &snapshot[1..], &["--withdraw-up-to", "0"]);
    let words = words(&output);
    assert!(
        words.contains("1 of the 20 listed vehicles of glovis, and"),
        "{words}"
    );
    let output = cli.import_file(
        "dealer,glovis",
        &snapshot[..1],
        &["--withdraw-up-to", "100"],
    );
    assert_eq!(withdrawn(&output), 20);
}
