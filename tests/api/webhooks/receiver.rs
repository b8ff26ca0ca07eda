//! The example receiver, as a process of its own, with a replica that delivers to it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Lines},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::{
    database::TestDatabase,
    process::Process,
    support::{Operator, Partner, Vehicle, settings},
};

/// A process of the receiver, killed on drop.
struct Receiver {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Receiver {
    /// Starts a receiver for a partner.
    fn start(partner: &Partner) -> Self {
        let keys = tempfile::NamedTempFile::new().unwrap();
        fs::write(&keys, &partner.api_key).unwrap();
        let child = Command::new(Self::binary())
            .args([partner.url.as_ref(), keys.path().as_os_str()])
            .arg("0")
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("`cargo build --example receiver` makes it");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut receiver = Self { child, lines };
        let first = receiver.line();
        assert!(first.starts_with("Events of http://"), "{first}");
        receiver
    }

    /// Returns the path at which Cargo puts the binary, which is built along with the tests.
    fn binary() -> PathBuf {
        let test = env::current_exe().unwrap();
        let profile = test.parent().and_then(|it| it.parent()).unwrap();
        profile.join("examples/receiver")
    }

    /// Waits for the next line of output.
    fn line(&mut self) -> String {
        self.lines.next().expect("the receiver is running").unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn example_receiver_verifies_events_and_checks_their_sequence() {
    let database = TestDatabase::new().await;
    let arguments = ["serve", "--json"];
    let server = Process::on(&database.url(), &arguments, &[settings::LOCAL_ENDPOINTS]);
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let mut receiver = {
        let acme = acme.clone();
        tokio::task::spawn_blocking(move || Receiver::start(&acme))
            .await
            .unwrap()
    };
    Vehicle::lot("glovis_1").insert(&database).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    Operator::at(&database.product).ships(&order).await;
    let lines = tokio::task::spawn_blocking(move || [(); 3].map(|()| receiver.line()));
    for (n, line) in lines.await.unwrap().iter().enumerate() {
        let status = ["acquiring", "secured", "shipping"][n];
        let place = format!("order {order} #{} (in order): {status}", n + 1);
        assert!(
            line.starts_with("verified  evt_") && line.ends_with(&place),
            "{line}"
        );
    }
    let delivered = acme.rows("/v1/events?delivery_status=delivered").await;
    assert!(
        delivered.len() >= 2,
        "the response to the last one may be still on its way"
    );
}
